// hot
/**
 * Stands before an application and lets in as many requests as it can do with; some more wait, in turn of
 * their callers, for a bounded time. The rest is told at once, since whoever waits without end is lost too.
 *
 *     come ─▶ has a place ───────────────────────────────▶ left
 *       ├──▶ waits ─▶ has a place …
 *       │      └──── too long, displaced ──▶ shed
 *       └──── no room ─────────────────────▶ shed
 */

import { QUEUE_LEAST } from "../base/limits.ts";
import type { ConcurrencyLimit } from "./concurrency-limit.ts";
import { FairQueue, type Queued } from "./fair-queue.ts";

/** Why a request was not let in. */
export type ShedReason = "loadshed" | "failfast";

/** A request at a gate. */
export interface GateVisitor extends Queued {
  /** How many were under way when it was let in, itself included; 0: it is not in. */
  place: number;
  /** It has waited, and is let in now. */
  admitted(): void;
  /** It is not let in: there is no room, or it has waited too long. */
  shed(reason: ShedReason): void;
}

/** How a gate is kept. */
export interface GateOptions {
  readonly limit: ConcurrencyLimit;
  /** So many wait at most, whatever the limit is. */
  readonly queueMax: number;
  /** More than half as many as are under way need not wait: they would only wait longer. */
  readonly queuesAsLimit: boolean;
  readonly queueMs: number;
  /** The first one waits: `expire` is to be called in time. */
  readonly onWaiting: () => void;
  /** Nobody waits any more. */
  readonly onServed: () => void;
  /** Is shown each change; null: nobody looks. */
  readonly figures: GateFigures | null;
}

/** Shows how a gate stands. */
export interface GateFigures {
  show(limit: number, inFlight: number, waiting: number): void;
}

/** Of one application. */
export class Gate {
  readonly limit: ConcurrencyLimit;
  inFlight = 0;
  readonly #options: GateOptions;
  readonly #queue = new FairQueue<GateVisitor>();
  #waited = false;

  constructor(options: GateOptions) {
    this.#options = options;
    this.limit = options.limit;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  /** Another one would have to wait. */
  get isFull(): boolean {
    return this.inFlight >= this.limit.current || this.#queue.length > 0;
  }

  /** Lets it in now (true), or later, or not. */
  enter(visitor: GateVisitor): boolean {
    if (!this.isFull) {
      this.#admit(visitor);
      return true;
    }
    const queue = this.#queue;
    if (queue.length >= this.#capacity()) {
      const displaced = queue.displace(visitor.caller);
      if (displaced === undefined) {
        visitor.shed("loadshed");
        return false;
      }
      queue.push(visitor);
      displaced.shed("loadshed");
      return false;
    }
    queue.push(visitor);
    this.#show();
    if (this.#waited) return false;
    this.#waited = true;
    this.#options.onWaiting();
    return false;
  }

  /** It was answered well, after so long. */
  answered(visitor: GateVisitor, latencyMs: number, beganAtMs: number, nowMs: number): void {
    if (visitor.place === 0) return;
    this.limit.answered(latencyMs, beganAtMs, visitor.place, nowMs);
    this.#serve();
  }

  /** Nobody waits for its answer any more. */
  unanswered(visitor: GateVisitor, waitedMs: number, beganAtMs: number, nowMs: number): void {
    if (visitor.place > 0) this.limit.unanswered(waitedMs, beganAtMs, visitor.place, nowMs);
  }

  /** It is over, wherever it was. Calling it again does nothing. */
  left(visitor: GateVisitor): void {
    if (visitor.place === 0) {
      if (this.#queue.length > 0 && this.#queue.remove(visitor)) this.#show();
      return;
    }
    visitor.place = 0;
    this.inFlight--;
    this.#serve();
    this.#show();
  }

  /** Sheds who has waited too long. */
  expire(nowMs: number): void {
    for (;;) {
      const late = this.#queue.takeOlder(nowMs - this.#options.queueMs);
      if (late === undefined) break;
      late.shed("failfast");
    }
    this.#show();
  }

  #show(): void {
    if (this.#waited && this.#queue.length === 0) {
      this.#waited = false;
      this.#options.onServed();
    }
    this.#options.figures?.show(this.limit.current, this.inFlight, this.#queue.length);
  }

  #capacity(): number {
    const { queueMax, queuesAsLimit } = this.#options;
    return queuesAsLimit
      ? Math.min(queueMax, Math.max(QUEUE_LEAST, this.limit.current / 2))
      : queueMax;
  }

  #admit(visitor: GateVisitor): void {
    visitor.place = ++this.inFlight;
    this.#show();
  }

  #serve(): void {
    while (this.#queue.length > 0 && this.inFlight < this.limit.current) {
      const next = this.#queue.take();
      if (next === undefined) return;
      this.#admit(next);
      next.admitted();
    }
  }
}
