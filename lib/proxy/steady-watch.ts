/**
 * One watch of the control plane that outlives its streams. A stream that fails, stays silent at its
 * start, falls silent later or grows old is opened anew; what the last one told stays true meanwhile.
 * Every new stream tells full state first: `next` says so, and the receiver replaces what it had.
 *
 *     opening ── first value ──▶ live ── silent or old ──▶ opening
 *        └──── fault or silence ────┴──▶ waiting ── back-off ──▶ opening      final fault ▶ over
 */

import { Backoff, type BackoffBounds } from "../base/backoff.ts";
import { Fault } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { Sink, Unwatch } from "../mesh/discovery.ts";

/** The contract's wait between tries of the control plane. */
export const CONTROL_BACKOFF: BackoffBounds = { minMs: 100, maxMs: 60_000, jitter: 0.5 };

/** How long streams may take and last, in milliseconds. */
export interface StreamTimes {
  readonly initialMs: number;
  readonly idleMs: number;
  readonly lifetimeMs: number;
}

/** The host's part of a watch. */
export interface WatchHost {
  readonly clock: Clock;
  readonly random: () => number;
  readonly times: StreamTimes;
}

/** What is watched, and who is told. */
export interface WatchOptions<T> {
  open(sink: Sink<T>): Unwatch;
  /** `full`: the first value of a stream, which replaces all that was known. */
  next(value: T, full: boolean): void;
  /** A stream failed; unless `isFinal` said that asking again makes no sense, it is opened anew. */
  failed(fault: Error): void;
  isFinal(fault: Error): boolean;
}

/** A running watch. */
export class SteadyWatch<T> {
  readonly #host: WatchHost;
  readonly #options: WatchOptions<T>;
  readonly #backoff: Backoff;
  /** Tells the stream of now from those that were given up. */
  #generation = 0;
  #unwatch: Unwatch | null = null;
  #timer: Timer | null = null;
  #openedAtMs = 0;
  #valueAtMs = 0;
  #isFull = true;
  #isStopped = false;

  constructor(host: WatchHost, options: WatchOptions<T>) {
    this.#host = host;
    this.#options = options;
    this.#backoff = new Backoff(CONTROL_BACKOFF, host.random);
  }

  /** Opens the first stream; values may come before this returns. */
  start(): this {
    this.#open();
    return this;
  }

  /** Ends the watch for good. */
  stop(): void {
    this.#isStopped = true;
    this.#close();
  }

  #open(): void {
    this.#close();
    const generation = this.#generation;
    const isCurrent = () => generation === this.#generation && !this.#isStopped;
    const { clock, times } = this.#host;
    this.#isFull = true;
    this.#openedAtMs = clock.monotonicMs();
    this.#timer = clock.after(times.initialMs, () => {
      const message = `Control plane gave no first answer within ${times.initialMs} ms`;
      this.#fail(new Fault("deadline_exceeded", message, { retry: true }));
    });
    const unwatch = this.#options.open({
      next: (value) => isCurrent() && this.#take(value),
      fail: (fault) => isCurrent() && this.#fail(fault),
    });
    // It may have failed, or have been stopped by what it told, before it was even returned.
    if (isCurrent()) this.#unwatch = unwatch;
    else unwatch();
  }

  #take(value: T): void {
    const { clock } = this.#host;
    const full = this.#isFull;
    this.#valueAtMs = clock.monotonicMs();
    if (full) {
      this.#isFull = false;
      this.#backoff.reset();
      this.#timer?.cancel();
      this.#scheduleRenewal();
    }
    this.#options.next(value, full);
  }

  /** Looks when the stream may have become silent or old; values only write down their time. */
  #scheduleRenewal(): void {
    const { clock, times } = this.#host;
    const now = clock.monotonicMs();
    const dueMs = Math.min(this.#valueAtMs + times.idleMs, this.#openedAtMs + times.lifetimeMs);
    if (dueMs <= now) return this.#open();
    this.#timer = clock.after(dueMs - now, () => this.#scheduleRenewal());
  }

  #fail(fault: Error): void {
    this.#close();
    if (!this.#options.isFinal(fault)) {
      this.#timer = this.#host.clock.after(this.#backoff.next(), () => this.#open());
    }
    this.#options.failed(fault);
  }

  #close(): void {
    this.#generation++;
    this.#timer?.cancel();
    this.#timer = null;
    this.#unwatch?.();
    this.#unwatch = null;
  }
}

/** Whether the control plane understood the question and refused it: asking again changes nothing. */
export function isRefusal(fault: Error): boolean {
  return fault instanceof Fault &&
    (fault.code === "invalid_argument" || fault.code === "failed_precondition");
}
