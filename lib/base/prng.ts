/**
 * A seeded source of pseudo-random numbers (sfc32): the same seed gives the same run on any runtime.
 * For balancing, jitter, simulation and tests; never for keys or tokens.
 */

import { assert } from "./assert.ts";

/** Numbers drawn before use, until close seeds have nothing in common. */
const WARM_UP = 16;

/** A stream of numbers. */
export class Prng {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** `seed` is an integer; its lower 53 bits count. */
  constructor(seed: number) {
    assert(Number.isSafeInteger(seed), "a seed must be an integer");
    this.#a = seed | 0;
    this.#b = Math.floor(seed / 2 ** 32) | 0;
    this.#c = 0x9e3779b9 | 0;
    for (let i = 0; i < WARM_UP; i++) this.uint32();
  }

  /** An integer in [0, 2^32). */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum | 0;
    return sum >>> 0;
  }

  /** A number in [0, 1). */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer in [0, bound); the bias is below bound / 2^32. */
  below(bound: number): number {
    return Math.floor(this.float() * bound);
  }

  /** An integer in [low, high], both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** Whether an event of this probability happens. */
  chance(probability: number): boolean {
    return this.float() < probability;
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    assert(items.length > 0, "nothing to pick from");
    return items[this.below(items.length)] as T;
  }

  /** Random bytes. */
  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.uint32() >>> 24;
    return bytes;
  }
}

/** The seeded twin of `Math.random`, for whoever takes a `() => number`. */
export function seededRandom(seed: number): () => number {
  const prng = new Prng(seed);
  return () => prng.float();
}
