// hot
/** A first-in, first-out queue in a circular array: `take` costs the same at any depth. */

import { assert } from "./assert.ts";

/** A queue that grows by doubling and never shrinks. */
export class Ring<T> {
  #slots: (T | undefined)[];
  #mask: number;
  #head = 0;
  #length = 0;

  /** `capacity` is rounded up to a power of two, at least 2. */
  constructor(capacity = 8) {
    let size = 2;
    while (size < capacity) size *= 2;
    this.#slots = new Array<T | undefined>(size).fill(undefined);
    this.#mask = size - 1;
  }

  get length(): number {
    return this.#length;
  }

  push(item: T): void {
    if (this.#length > this.#mask) this.#grow();
    this.#slots[(this.#head + this.#length) & this.#mask] = item;
    this.#length++;
  }

  /** Removes the oldest item; undefined when there is none. */
  take(): T | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.#length--;
    return item;
  }

  /** Removes the newest item; undefined when there is none. */
  pop(): T | undefined {
    if (this.#length === 0) return undefined;
    this.#length--;
    const slot = (this.#head + this.#length) & this.#mask;
    const item = this.#slots[slot];
    this.#slots[slot] = undefined;
    return item;
  }

  /** The oldest item, which stays; undefined when there is none. */
  peek(): T | undefined {
    return this.#slots[this.#head];
  }

  /** The item at `index`, 0 being the oldest; undefined out of range. */
  at(index: number): T | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#head + index) & this.#mask];
  }

  /** Removes the first item that is `item`, keeping the order of the others; linear. */
  remove(item: T): boolean {
    let from = 0;
    while (from < this.#length && this.at(from) !== item) from++;
    if (from === this.#length) return false;
    for (let i = from; i < this.#length - 1; i++) {
      this.#slots[(this.#head + i) & this.#mask] = this.#slots[(this.#head + i + 1) & this.#mask];
    }
    this.pop();
    return true;
  }

  clear(): void {
    this.#slots.fill(undefined);
    this.#head = 0;
    this.#length = 0;
  }

  #grow(): void {
    const size = this.#slots.length * 2;
    const grown = new Array<T | undefined>(size).fill(undefined);
    for (let i = 0; i < this.#length; i++) grown[i] = this.#slots[(this.#head + i) & this.#mask];
    assert(this.#length === this.#slots.length, "a ring grows only when it is full");
    this.#slots = grown;
    this.#mask = size - 1;
    this.#head = 0;
  }
}
