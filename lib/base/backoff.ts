/** Exponential back-off with jitter, for whatever is tried again. Does not wait itself. */

import { assert } from "./assert.ts";

/** Bounds of the waits, in milliseconds: 0 < `minMs` ≤ `maxMs`. */
export interface BackoffBounds {
  /** The first wait. */
  readonly minMs: number;
  /** The longest wait. */
  readonly maxMs: number;
  /** A wait is lengthened by up to this share of itself, so that clients do not come in step. */
  readonly jitter: number;
}

/** The waits of one thing that is tried again. */
export class Backoff {
  readonly #bounds: BackoffBounds;
  readonly #random: () => number;
  #failures = 0;

  /** `random` gives a number in [0, 1). */
  constructor(bounds: BackoffBounds, random: () => number) {
    const { minMs, maxMs, jitter } = bounds;
    assert(minMs > 0 && maxMs >= minMs && jitter >= 0, "a back-off needs 0 < min ≤ max");
    this.#bounds = bounds;
    this.#random = random;
  }

  /** How often `next` was called since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** The wait before the next try in milliseconds; doubles each time, never above the maximum. */
  next(): number {
    const { minMs, maxMs, jitter } = this.#bounds;
    // 2^1023 is the last finite power of two; by then any maximum is reached.
    const base = Math.min(maxMs, minMs * 2 ** Math.min(this.#failures, 1023));
    this.#failures++;
    return Math.min(maxMs, base + base * jitter * this.#random());
  }

  /** After a success: the next wait is the shortest again. */
  reset(): void {
    this.#failures = 0;
  }
}
