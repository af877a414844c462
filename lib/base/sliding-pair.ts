// hot
/** How often two things happened in the last seconds: by parts of that time, the oldest forgotten whole. */

import { assert } from "./assert.ts";

/** Parts of the time. */
const SLOTS = 10;

/** Two counts over one span of time. */
export class SlidingPair {
  /** Of the first thing, as of the last `turn`. */
  first = 0;
  /** Of the second. */
  second = 0;
  readonly #slotMs: number;
  readonly #firsts = new Float64Array(SLOTS);
  readonly #seconds = new Float64Array(SLOTS);
  /** The slot of now, counted from the clock's zero. */
  #slot: number;

  constructor(spanMs: number, nowMs: number) {
    assert(spanMs > 0, "counts need a span of time");
    this.#slotMs = spanMs / SLOTS;
    this.#slot = Math.floor(nowMs / this.#slotMs);
  }

  addFirst(nowMs: number): void {
    this.turn(nowMs);
    this.#firsts[this.#slot % SLOTS]!++;
    this.first++;
  }

  addSecond(nowMs: number): void {
    this.turn(nowMs);
    this.#seconds[this.#slot % SLOTS]!++;
    this.second++;
  }

  /** Forgets what is too old. */
  turn(nowMs: number): void {
    const slot = Math.floor(nowMs / this.#slotMs);
    if (slot <= this.#slot) return;
    const first = Math.max(this.#slot + 1, slot - SLOTS + 1);
    for (let i = first; i <= slot; i++) {
      const at = i % SLOTS;
      this.first -= this.#firsts[at]!;
      this.second -= this.#seconds[at]!;
      this.#firsts[at] = 0;
      this.#seconds[at] = 0;
    }
    this.#slot = slot;
  }
}
