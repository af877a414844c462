// hot
/**
 * Bytes that cannot go on yet, oldest first. Arrays that last are kept as they are; what comes on top of
 * a few of them is copied, since a short range can keep a large array alive. Whoever fills it looks at
 * `length` and pauses its source, so that no more is kept than one turn brings.
 */

import { ByteBuffer, copyBytes } from "./bytes.ts";
import { ARRAYS_HELD_MAX } from "./limits.ts";

/** A range of an array: `bytes[start, end)`. */
interface Part {
  readonly bytes: Uint8Array;
  start: number;
  end: number;
}

/** A queue of bytes. */
export class BytesQueue {
  /** Bytes that wait. */
  length = 0;
  /** Ranges of arrays that last, in front of what was copied; null while there never was one. */
  #parts: Part[] | null = null;
  /** The oldest of them. */
  #first = 0;
  /** Arrays that the parts are of; ranges of one array stand side by side. */
  #arrays = 0;
  #copied: ByteBuffer | null = null;

  /** Keeps `bytes[start, end)`; the array must never change when `lasting`. */
  push(bytes: Uint8Array, start: number, end: number, lasting: boolean): void {
    if (start === end) return;
    this.length += end - start;
    if (lasting && this.#copied === null && this.#hold(bytes, start, end)) return;
    this.#copied ??= new ByteBuffer(end - start);
    this.#copied.append(bytes, start, end);
  }

  /** What stands first, in one array: good until the next call. Only of a queue that is not empty. */
  peek(): Readonly<Part> {
    return this.#parts?.[this.#first] ?? this.#copied!;
  }

  /** Drops `count` bytes, at most all, of what `peek` shows. */
  consume(count: number): void {
    this.length -= count;
    const parts = this.#parts;
    const part = parts?.[this.#first];
    if (part !== undefined) {
      part.start += count;
      if (part.start === part.end && ++this.#first === parts!.length) this.#letGo();
    } else if (this.#copied !== null) {
      this.#copied.consume(count);
      if (this.#copied.length === 0) this.#copied = null;
    }
  }

  /** Moves `count` bytes, at most `length`, to the end of `out`. */
  take(count: number, out: ByteBuffer): void {
    out.reserve(count);
    let left = count;
    while (left > 0) {
      const { bytes, start, end } = this.peek();
      const taken = Math.min(left, end - start);
      copyBytes(bytes, start, start + taken, out.bytes, out.end);
      out.end += taken;
      left -= taken;
      this.consume(taken);
    }
  }

  clear(): void {
    this.length = 0;
    this.#letGo();
    this.#copied = null;
  }

  /** False when too many arrays would be kept alive. */
  #hold(bytes: Uint8Array, start: number, end: number): boolean {
    const parts = this.#parts ??= [];
    const newest = parts.at(-1);
    if (newest?.bytes === bytes) {
      if (newest.end === start) newest.end = end;
      else parts.push({ bytes, start, end });
      return true;
    }
    if (this.#arrays === ARRAYS_HELD_MAX) return false;
    this.#arrays++;
    parts.push({ bytes, start, end });
    return true;
  }

  #letGo(): void {
    if (this.#parts !== null) this.#parts.length = 0;
    this.#first = 0;
    this.#arrays = 0;
  }
}
