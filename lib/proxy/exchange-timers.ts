// hot
/**
 * The deadlines of one exchange; made only where its route or its client has set some.
 *
 *     request   from the request's head to the response's end, all tries together
 *     try       from a try's beginning to its response's head
 *     response  from the request's end to the response's end
 *     idle      between any two pieces in either direction
 */

import { Deadline } from "../base/wheel.ts";
import type { RouteTimeouts } from "../mesh/reliability.ts";
import type { PathContext } from "./context.ts";

const NO_TIMEOUTS: RouteTimeouts = { requestMs: 0, responseMs: 0, idleMs: 0 };

/** Is told what is over. */
export interface TimedExchange {
  timedOut(): void;
  tryTimedOut(): void;
}

/** Deadlines; each kind that is 0 never comes. */
export class ExchangeTimers {
  readonly #context: PathContext;
  readonly #timeouts: RouteTimeouts;
  readonly #tryMs: number;
  readonly #request: Deadline<TimedExchange>;
  readonly #response: Deadline<TimedExchange>;
  readonly #idle: Deadline<TimedExchange>;
  readonly #try: Deadline<TimedExchange>;

  constructor(
    context: PathContext,
    exchange: TimedExchange,
    timeouts: RouteTimeouts | null,
    tryMs: number,
  ) {
    this.#context = context;
    this.#timeouts = timeouts ?? NO_TIMEOUTS;
    this.#tryMs = tryMs;
    this.#request = new Deadline<TimedExchange>(exchange, timedOut);
    this.#response = new Deadline<TimedExchange>(exchange, timedOut);
    this.#idle = new Deadline<TimedExchange>(exchange, timedOut);
    this.#try = new Deadline<TimedExchange>(exchange, tryTimedOut);
    this.#schedule(this.#request, this.#timeouts.requestMs);
  }

  /** A try begins. */
  tryBegan(): void {
    this.#schedule(this.#try, this.#tryMs);
  }

  /** The try has brought a response that is not thrown away, or none. */
  tryEnded(): void {
    this.#context.cancelFine(this.#try);
  }

  /** All of the request has been brought. */
  requestEnded(): void {
    this.#schedule(this.#response, this.#timeouts.responseMs);
  }

  /** A piece came, from either side. */
  touched(): void {
    this.#schedule(this.#idle, this.#timeouts.idleMs);
  }

  stop(): void {
    const context = this.#context;
    context.cancelFine(this.#request);
    context.cancelFine(this.#response);
    context.cancelFine(this.#idle);
    context.cancelFine(this.#try);
  }

  #schedule(deadline: Deadline<TimedExchange>, ms: number): void {
    if (ms > 0) this.#context.scheduleFine(deadline, this.#context.nowMs() + ms);
  }
}

function timedOut(exchange: TimedExchange): void {
  exchange.timedOut();
}

function tryTimedOut(exchange: TimedExchange): void {
  exchange.tryTimedOut();
}
