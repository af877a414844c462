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

import { Scheduled } from "../base/wheel.ts";
import type { RouteTimeouts } from "../mesh/reliability.ts";
import type { PathContext } from "./context.ts";
import {
  IDLE_TIMEOUT,
  REQUEST_TIMEOUT,
  RESPONSE_HEADERS_TIMEOUT,
  RESPONSE_STREAM_TIMEOUT,
  type Timeout,
} from "./refusals.ts";

const NO_TIMEOUTS: RouteTimeouts = { requestMs: 0, responseMs: 0, idleMs: 0 };

/**
 * How long a call's response head may wait for its status. A call that fails at once sends both together;
 * one that streams may send its head long before anything else, and its client may wait for that.
 */
const HEAD_HELD_MS = 50;

/** Is told what is over. */
export interface TimedExchange {
  timedOut(timeout: Timeout): void;
  tryTimedOut(timeout: Timeout): void;
  headHeldTooLong(): void;
}

/** Deadlines, of which the wheel knows the next one; each kind that is 0 never comes. */
export class ExchangeTimers extends Scheduled {
  readonly #context: PathContext;
  readonly #exchange: TimedExchange;
  readonly #timeouts: RouteTimeouts;
  readonly #tryMs: number;
  // When each is over; Infinity: it is not running.
  #requestAtMs = Infinity;
  #responseAtMs = Infinity;
  #idleAtMs = Infinity;
  #tryAtMs = Infinity;
  #headAtMs = Infinity;

  constructor(
    context: PathContext,
    exchange: TimedExchange,
    timeouts: RouteTimeouts | null,
    tryMs: number,
  ) {
    super();
    this.#context = context;
    this.#exchange = exchange;
    this.#timeouts = timeouts ?? NO_TIMEOUTS;
    this.#tryMs = tryMs;
  }

  /** The request has so long from now on; 0: any time. `complete`: all of it has been brought. */
  requestBegan(requestMs: number, complete: boolean, nowMs: number): void {
    if (requestMs > 0) this.#requestAtMs = nowMs + requestMs;
    this.#touch(nowMs);
    if (complete) this.#expect(nowMs);
    this.#aimAt(this.#requestAtMs);
  }

  /** A piece of the request came; `last`: all of it has been brought. */
  requestCame(last: boolean): void {
    const now = this.#context.nowMs();
    this.#touch(now);
    if (last) this.#expect(now);
  }

  /** A try begins. */
  tryBegan(nowMs: number): void {
    if (this.#tryMs <= 0) return;
    this.#tryAtMs = nowMs + this.#tryMs;
    this.#aimAt(this.#tryAtMs);
  }

  /** The try has brought a response that is not thrown away, or none. */
  tryEnded(): void {
    this.#tryAtMs = Infinity;
    this.#headAtMs = Infinity;
  }

  /** The response has begun, and is not thrown away. */
  responseBegan(): void {
    const now = this.#context.nowMs();
    this.tryEnded();
    this.#touch(now);
    this.#expect(now);
  }

  /** A piece of the response came. */
  responseCame(): void {
    if (this.#timeouts.idleMs > 0) this.#touch(this.#context.nowMs());
  }

  /** A response head is held back. */
  headHeld(): void {
    this.#headAtMs = this.#context.nowMs() + HEAD_HELD_MS;
    this.#aimAt(this.#headAtMs);
  }

  stop(): void {
    this.#requestAtMs = Infinity;
    this.#responseAtMs = Infinity;
    this.#idleAtMs = Infinity;
    this.tryEnded();
    this.#context.cancelFine(this);
  }

  /** Something was over, or would have been. */
  override fire(): void {
    const now = this.#context.nowMs();
    if (this.#endsAtMs <= now) {
      this.#exchange.timedOut(this.#first);
      return;
    }
    if (this.#headAtMs <= now) {
      this.#headAtMs = Infinity;
      this.#exchange.headHeldTooLong();
    }
    if (this.#tryAtMs <= now) {
      this.#tryAtMs = Infinity;
      this.#exchange.tryTimedOut(RESPONSE_HEADERS_TIMEOUT);
    }
    this.#aimAt(Math.min(this.#endsAtMs, this.#headAtMs, this.#tryAtMs));
  }

  #touch(nowMs: number): void {
    const { idleMs } = this.#timeouts;
    if (idleMs <= 0) return;
    this.#idleAtMs = nowMs + idleMs;
    this.#aimAt(this.#idleAtMs);
  }

  /** The response has so long, from the first time that this is called. */
  #expect(nowMs: number): void {
    const { responseMs } = this.#timeouts;
    if (responseMs <= 0 || this.#responseAtMs !== Infinity) return;
    this.#responseAtMs = nowMs + responseMs;
    this.#aimAt(this.#responseAtMs);
  }

  /** When the exchange itself is over. */
  get #endsAtMs(): number {
    return Math.min(this.#requestAtMs, this.#responseAtMs, this.#idleAtMs);
  }

  /** The one of them that was over first. */
  get #first(): Timeout {
    const atMs = this.#endsAtMs;
    if (atMs === this.#requestAtMs) return REQUEST_TIMEOUT;
    return atMs === this.#responseAtMs ? RESPONSE_STREAM_TIMEOUT : IDLE_TIMEOUT;
  }

  /** What comes before the next one becomes that; what comes later is seen when that is over. */
  #aimAt(atMs: number): void {
    if (atMs < this.atMs) this.#context.scheduleFine(this, atMs);
  }
}

/** The shorter of two times, where 0 is any. */
export function sooner(a: number, b: number): number {
  if (a === 0 || b === 0) return a + b;
  return Math.min(a, b);
}

/** The timers of an exchange whose route or client has set some time; null: none has. */
export function timersOf(
  context: PathContext,
  exchange: TimedExchange,
  timeouts: RouteTimeouts | null,
  tryMs: number,
  requestMs: number,
  complete: boolean,
  nowMs: number,
): ExchangeTimers | null {
  if (timeouts === null && tryMs === 0 && requestMs === 0) return null;
  const timers = new ExchangeTimers(context, exchange, timeouts, tryMs);
  timers.requestBegan(requestMs, complete, nowMs);
  return timers;
}
