// hot
/** Requests that wait for a connection of their pool. */

import type { Ring } from "../base/ring.ts";
import type { CloseReason } from "../host/net.ts";
import type { Attempt } from "./attempt.ts";

/**
 * A connection that was begun then could not be made. Who has waited for as long as it took waits no
 * longer; what is told may queue anew, behind the others.
 */
export function failWaiting(waiting: Ring<Attempt>, beganAtMs: number, reason: CloseReason): void {
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
