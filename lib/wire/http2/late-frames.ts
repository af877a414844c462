// hot
/**
 * Which streams that are over may still get frames without a mistake of the peer's: those frames were on
 * their way when we reset the stream, or when we said that we take no more.
 */

import { RESET_STREAMS_REMEMBERED } from "../../base/limits.ts";

/** Of one connection. */
export class LateFrames {
  /** Streams above were never taken, and the peer knows it. */
  takenUpTo = Infinity;
  readonly #isServer: boolean;
  /** Those that we have reset; the oldest are forgotten. */
  #ids: Set<number> | null = null;

  constructor(isServer: boolean) {
    this.#isServer = isServer;
  }

  /**
   * Whether a frame on this stream, which is over, may have been on its way. A client does not keep
   * count: it may reset more streams at a time than are worth remembering, and a server that sends on
   * what is over harms itself alone.
   */
  may(streamId: number): boolean {
    return !this.#isServer || streamId > this.takenUpTo ||
      (this.#ids !== null && this.#ids.has(streamId));
  }

  /** We have reset this stream before its peer ended it. */
  add(streamId: number): void {
    if (!this.#isServer) return;
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
