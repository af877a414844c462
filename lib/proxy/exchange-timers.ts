// hot
/**
 * The deadlines of one exchange; made only where its route or its client has set some.
 *
 *     request   from the request's head to the response's end, all tries together
 *     try       from a try's beginning to its response's head
 *     response  from the request's end, or the response's head where that comes first, to the response's end
 *     idle      between any two pieces in either direction
 *     head      while a call's response head is held back for its status
 */

import { Deadline } from "../base/wheel.ts";
import type { RouteTimeouts } from "../mesh/reliability.ts";
import type { PathContext } from "./context.ts";

const NO_TIMEOUTS: RouteTimeouts = { requestMs: 0, responseMs: 0, idleMs: 0 };

/**
 * How long a call's response head may wait for its status. A call that fails at once sends both together;
 * one that streams may send its head long before anything else, and its client may wait for that.
 */
const HEAD_HELD_MS = 50;

/** Is told what is over. */
export interface TimedExchange {
  timedOut(): void;
  tryTimedOut(): void;
  headHeldTooLong(): void;
}

/** Deadlines; each kind that is 0 never comes. */
export class ExchangeTimers {
  readonly #context: PathContext;
  readonly #exchange: TimedExchange;
  readonly #timeouts: RouteTimeouts;
  readonly #tryMs: number;
  // Each is made when it is first needed.
  #request: Deadline<TimedExchange> | null = null;
  #response: Deadline<TimedExchange> | null = null;
  #idle: Deadline<TimedExchange> | null = null;
  #try: Deadline<TimedExchange> | null = null;
  #head: Deadline<TimedExchange> | null = null;

  constructor(
    context: PathContext,
    exchange: TimedExchange,
    timeouts: RouteTimeouts | null,
    tryMs: number,
  ) {
    this.#context = context;
    this.#exchange = exchange;
    this.#timeouts = timeouts ?? NO_TIMEOUTS;
    this.#tryMs = tryMs;
  }

  /** The request has so long from now on; 0: any time. */
  requestBegan(requestMs: number): void {
    if (requestMs <= 0) return;
    this.#request = new Deadline<TimedExchange>(this.#exchange, timedOut);
    this.#schedule(this.#request, requestMs);
  }

  /** A try begins. */
  tryBegan(): void {
    if (this.#tryMs <= 0) return;
    this.#try ??= new Deadline<TimedExchange>(this.#exchange, tryTimedOut);
    this.#schedule(this.#try, this.#tryMs);
  }

  /** The try has brought a response that is not thrown away, or none. */
  tryEnded(): void {
    this.#cancel(this.#try);
    this.#cancel(this.#head);
  }

  /** All of the request has been brought, or the response has begun before. */
  responseExpected(): void {
    if (this.#timeouts.responseMs <= 0 || this.#response !== null) return;
    this.#response = new Deadline<TimedExchange>(this.#exchange, timedOut);
    this.#schedule(this.#response, this.#timeouts.responseMs);
  }

  /** A piece came, from either side. */
  touched(): void {
    if (this.#timeouts.idleMs <= 0) return;
    this.#idle ??= new Deadline<TimedExchange>(this.#exchange, timedOut);
    this.#schedule(this.#idle, this.#timeouts.idleMs);
  }

  /** A response head is held back. */
  headHeld(): void {
    this.#head ??= new Deadline<TimedExchange>(this.#exchange, headHeldTooLong);
    this.#schedule(this.#head, HEAD_HELD_MS);
  }

  stop(): void {
    this.#cancel(this.#request);
    this.#cancel(this.#response);
    this.#cancel(this.#idle);
    this.#cancel(this.#try);
    this.#cancel(this.#head);
  }

  #schedule(deadline: Deadline<TimedExchange>, ms: number): void {
    this.#context.scheduleFine(deadline, this.#context.nowMs() + ms);
  }

  #cancel(deadline: Deadline<TimedExchange> | null): void {
    if (deadline !== null) this.#context.cancelFine(deadline);
  }
}

/** The shorter of two times, where 0 is any. */
export function sooner(a: number, b: number): number {
  if (a === 0 || b === 0) return a + b;
  return Math.min(a, b);
}

function timedOut(exchange: TimedExchange): void {
  exchange.timedOut();
}

function tryTimedOut(exchange: TimedExchange): void {
  exchange.tryTimedOut();
}

function headHeldTooLong(exchange: TimedExchange): void {
  exchange.headHeldTooLong();
}

/** The timers of an exchange whose route or client has set some time; null: none has. */
export function timersOf(
  context: PathContext,
  exchange: TimedExchange,
  timeouts: RouteTimeouts | null,
  tryMs: number,
  requestMs: number,
): ExchangeTimers | null {
  if (timeouts === null && tryMs === 0 && requestMs === 0) return null;
  const timers = new ExchangeTimers(context, exchange, timeouts, tryMs);
  timers.requestBegan(requestMs);
  timers.touched();
  return timers;
}
