/**
 * Bodies that tell on whoever loses, repeats or mixes bytes: each body is a run of one table of random
 * bytes, from an offset that its tag decides. A check is a comparison in place.
 */

import { Prng } from "../../lib/base/prng.ts";

/** Prime, so that no block size of anybody's divides it. */
const PERIOD = 65_521;
/** A run of any length up to this can be taken as one piece. */
const PIECE_MAX = 131_072;

const TABLE = Buffer.alloc(PERIOD + PIECE_MAX);
const drawn = new Prng(0x7ab1e).bytes(PERIOD);
for (let at = 0; at < TABLE.length; at++) TABLE[at] = drawn[at % PERIOD]!;

/** Bytes `[from, from + length)` of a body; shared, so not to be changed. */
export function payload(tag: number, from: number, length: number): Uint8Array {
  if (length > PIECE_MAX) throw new RangeError(`${length} bytes at once`);
  const at = offsetOf(tag, from);
  return TABLE.subarray(at, at + length);
}

/** Index of the first byte of `bytes[start, end)` that is not the body's from `from` on; −1: none. */
export function mismatch(
  tag: number,
  from: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  for (let at = start; at < end; at += PIECE_MAX) {
    const length = Math.min(PIECE_MAX, end - at);
    const wanted = offsetOf(tag, from + at - start);
    if (TABLE.compare(bytes, at, at + length, wanted, wanted + length) === 0) continue;
    for (let i = 0; i < length; i++) if (bytes[at + i] !== TABLE[wanted + i]) return at + i;
  }
  return -1;
}

function offsetOf(tag: number, from: number): number {
  return ((Math.imul(tag, 0x9e3779b1) >>> 0) + from) % PERIOD;
}
