// hot
/**
 * What the peer may still send on a connection, all streams together. It is told of more as soon as
 * bytes come, so that a stream which nobody reads does not stop the others; only when too much waits
 * for slow readers does the connection wait with them.
 */

import type { ByteBuffer } from "../../base/bytes.ts";
import { CONNECTION_HELD_BYTES_MAX, CONNECTION_WINDOW_BYTES } from "../../base/limits.ts";
import { writeWindowUpdate } from "./frame.ts";

/** Of one connection. */
export class ReceiveWindow {
  /** Bytes on all streams that their users have not consumed. */
  held = 0;
  #window = CONNECTION_WINDOW_BYTES;
  #unacknowledged = 0;

  /** So many bytes come; false when the peer may not have sent them. */
  take(length: number): boolean {
    this.#window -= length;
    this.#unacknowledged += length;
    return this.#window >= 0;
  }

  /** Tells the peer of more, if that is worth a frame. */
  acknowledge(out: ByteBuffer): void {
    if (this.#unacknowledged < CONNECTION_WINDOW_BYTES >> 1) return;
    if (this.held > CONNECTION_HELD_BYTES_MAX) return;
    writeWindowUpdate(out, 0, this.#unacknowledged);
    this.#window += this.#unacknowledged;
    this.#unacknowledged = 0;
  }
}
