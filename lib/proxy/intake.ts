// hot
/**
 * Bytes that came and are not yet used: `bytes[start, end)`. The first chunk is taken as it is; only
 * a second one on top of unused bytes is copied. Bytes once handed out never change, so whoever holds
 * `bytes` with offsets needs no copy of its own.
 */

import { copyBytes } from "../base/bytes.ts";

const NOTHING = new Uint8Array(0);

/** The reading side's buffer of one connection. */
export class Intake {
  bytes: Uint8Array = NOTHING;
  start = 0;
  end = 0;
  /** Behind `end` there is room that belongs to nobody else. */
  #growing = false;

  get length(): number {
    return this.end - this.start;
  }

  /** Adds a chunk, which belongs to the intake from now on. */
  push(chunk: Uint8Array): void {
    if (this.start === this.end) {
      this.bytes = chunk;
      this.start = 0;
      this.end = chunk.length;
      this.#growing = false;
      return;
    }
    const needed = this.end - this.start + chunk.length;
    if (!this.#growing || this.end + chunk.length > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, 2 * (this.end - this.start), 1_024));
      copyBytes(this.bytes, this.start, this.end, grown, 0);
      this.end -= this.start;
      this.start = 0;
      this.bytes = grown;
      this.#growing = true;
    }
    copyBytes(chunk, 0, chunk.length, this.bytes, this.end);
    this.end += chunk.length;
  }

  /** Marks `count` bytes as used; an empty intake lets go of its array. */
  consume(count: number): void {
    this.start += count;
    if (this.start === this.end) this.clear();
  }

  clear(): void {
    this.bytes = NOTHING;
    this.start = 0;
    this.end = 0;
    this.#growing = false;
  }
}
