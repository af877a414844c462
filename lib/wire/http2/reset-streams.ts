// hot
/**
 * Streams that we have reset lately: their frames that were on the way are no mistake of the peer's. The
 * oldest are forgotten.
 */

import { RESET_STREAMS_REMEMBERED } from "../../base/limits.ts";

/** Of one connection. */
export class ResetStreams {
  #ids: Set<number> | null = null;

  has(streamId: number): boolean {
    return this.#ids !== null && this.#ids.has(streamId);
  }

  add(streamId: number): void {
    this.#ids ??= new Set();
    const ids = this.#ids;
    ids.add(streamId);
    if (ids.size <= RESET_STREAMS_REMEMBERED) return;
    for (const oldest of ids) {
      ids.delete(oldest);
      return;
    }
  }
}
