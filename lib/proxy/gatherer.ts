// hot
/**
 * Puts the small writes of one turn together. An HTTP/2 connection brings the parts of many messages in
 * one chunk; between `begin` and `end` the connections that they go to collect what they get, and each
 * then writes once.
 */

import { ByteBuffer } from "../base/bytes.ts";
import { GATHER_BUFFERS_KEPT, GATHER_BYTES_MAX } from "../base/limits.ts";
import type { Outlet } from "./outlet.ts";

/** Of one proxy. */
export class Gatherer {
  /** Whether writes are being gathered now. */
  active = false;
  readonly #outlets: Outlet[] = [];
  readonly #free: ByteBuffer[] = [];

  /** From now on small writes wait for `end`. Does not nest: false when it has begun already. */
  begin(): boolean {
    if (this.active) return false;
    this.active = true;
    return true;
  }

  /** Writes everything that waits. */
  end(): void {
    this.active = false;
    const outlets = this.#outlets;
    // Writing may tell of room, and what that brings is written at once.
    for (let i = 0; i < outlets.length; i++) this.release(outlets[i]!);
    outlets.length = 0;
  }

  /** Keeps bytes for the outlet. */
  take(outlet: Outlet, bytes: Uint8Array, start: number, end: number): void {
    let buffer = outlet.gathered;
    if (buffer === null) {
      buffer = this.#free.pop() ?? new ByteBuffer(2_048); // reused
      outlet.gathered = buffer;
      this.#outlets.push(outlet);
    }
    buffer.append(bytes, start, end);
    if (buffer.length > GATHER_BYTES_MAX) this.release(outlet);
  }

  /** Writes what the outlet has gathered. */
  release(outlet: Outlet): void {
    const buffer = outlet.gathered;
    if (buffer === null) return;
    outlet.gathered = null;
    outlet.writeGathered(buffer);
    buffer.clear();
    if (this.#free.length < GATHER_BUFFERS_KEPT) this.#free.push(buffer);
  }
}
