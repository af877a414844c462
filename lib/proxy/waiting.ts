// hot
/** Requests that wait for a connection of their pool: a bounded number for a bounded time. */

import { Ring } from "../base/ring.ts";
import { Deadline } from "../base/wheel.ts";
import type { CloseReason } from "../host/net.ts";
import type { Attempt } from "./attempt.ts";
import type { PathContext } from "./context.ts";

/** A pool's queue, in the order of arrival. */
export class Waiting extends Ring<Attempt> {
  readonly #context: PathContext;
  readonly #deadline: Deadline<Waiting>;

  constructor(context: PathContext) {
    super();
    this.#context = context;
    this.#deadline = new Deadline<Waiting>(this, expire);
  }

  /** Adds a request; one that finds no room, or waits too long, is told. */
  override push(attempt: Attempt): void {
    const { outboundQueueMax, outboundQueueMs } = this.#context.env.settings.limits;
    if (this.length >= outboundQueueMax) {
      attempt.shed("loadshed");
      return;
    }
    super.push(attempt);
    if (this.#deadline.atMs === Infinity) {
      this.#context.wheel.schedule(this.#deadline, attempt.queuedAtMs + outboundQueueMs);
    }
  }

  override take(): Attempt | undefined {
    const attempt = super.take();
    this.#left();
    return attempt;
  }

  override remove(attempt: Attempt): boolean {
    const had = super.remove(attempt);
    this.#left();
    return had;
  }

  /** Tells those that have waited too long. */
  expire(): void {
    const { outboundQueueMs } = this.#context.env.settings.limits;
    const overMs = this.#context.nowMs() - outboundQueueMs;
    for (;;) {
      const attempt = this.peek();
      if (attempt === undefined) return;
      if (attempt.queuedAtMs > overMs) {
        this.#context.wheel.schedule(this.#deadline, attempt.queuedAtMs + outboundQueueMs);
        return;
      }
      this.take();
      attempt.shed("failfast");
    }
  }

  #left(): void {
    if (this.length === 0) this.#context.wheel.cancel(this.#deadline);
  }
}

/**
 * A connection that was begun then could not be made. Who has waited for as long as it took waits no
 * longer; what is told may queue anew, behind the others.
 */
export function failWaiting(waiting: Waiting, beganAtMs: number, reason: CloseReason): void {
  const given: Attempt[] = [];
  // The queue is in the order of arrival.
  for (;;) {
    const attempt = waiting.peek();
    if (attempt === undefined || attempt.queuedAtMs > beganAtMs) break;
    waiting.take();
    given.push(attempt);
  }
  for (let i = 0; i < given.length; i++) given[i]!.unreachable(reason);
}

function expire(waiting: Waiting): void {
  waiting.expire();
}
