// hot
/**
 * Body bytes of one stream that the peer's windows do not admit yet. The first chunk is kept as it is
 * where its array lasts; what comes on top is copied. Whoever fills it looks at `length` and pauses its
 * source, so that no more is kept than one turn brings.
 */

import { ByteBuffer, copyBytes } from "../../base/bytes.ts";

/** A queue of bytes. */
export class SendQueue {
  /** Bytes that wait. */
  length = 0;
  #held: Uint8Array | null = null;
  #start = 0;
  #end = 0;
  #more: ByteBuffer | null = null;

  /** Keeps `bytes[start, end)`; the array must never change when `lasting`. */
  push(bytes: Uint8Array, start: number, end: number, lasting: boolean): void {
    this.length += end - start;
    if (lasting && this.#held === null && this.#more === null) {
      this.#held = bytes;
      this.#start = start;
      this.#end = end;
      return;
    }
    this.#more ??= new ByteBuffer(end - start);
    this.#more.append(bytes, start, end);
  }

  /** Moves `count` bytes, at most `length`, to the end of `out`. */
  take(count: number, out: ByteBuffer): void {
    this.length -= count;
    out.reserve(count);
    let left = count;
    if (this.#held !== null) {
      const taken = Math.min(left, this.#end - this.#start);
      copyBytes(this.#held, this.#start, this.#start + taken, out.bytes, out.end);
      out.end += taken;
      this.#start += taken;
      left -= taken;
      if (this.#start === this.#end) this.#held = null;
    }
    const more = this.#more;
    if (left === 0 || more === null) return;
    out.append(more.bytes, more.start, more.start + left);
    more.consume(left);
    if (more.length === 0) this.#more = null;
  }

  clear(): void {
    this.length = 0;
    this.#held = null;
    this.#more = null;
  }
}
