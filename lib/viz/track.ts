/**
 * The history of one number. Only changes are kept, so a series that stands still costs nothing.
 * A counter that falls was reset by a restart: what it had counted before is kept as an offset, so
 * the track itself never falls and every question about it is a plain difference.
 */

import { HISTORY_SAMPLES_MAX } from "../base/limits.ts";

/** How values change: a counter starts again after a restart, a gauge goes up and down. */
export type TrackKind = "counter" | "gauge";

/** Values by time, for at most `HISTORY_SAMPLES_MAX` changes. */
export class Track {
  readonly #kind: TrackKind;
  /** Rings: the oldest change is at `#head`. They grow by doubling up to the limit. */
  #times = new Float64Array(4);
  #values = new Float64Array(4);
  #head = 0;
  #length = 0;
  /** The value before the oldest kept change. */
  #base: number;
  #last: number;
  #offset = 0;
  /** Of the last reading, before the offset; tells a reset. */
  #lastRaw: number;

  /** `base`: what the number was before the first reading; 0 for a series that is new since then. */
  constructor(kind: TrackKind, base: number) {
    this.#kind = kind;
    this.#base = base;
    this.#last = base;
    this.#lastRaw = base;
  }

  /** Takes a reading; times must not go back. */
  push(timeMs: number, raw: number): void {
    if (this.#kind === "counter" && raw < this.#lastRaw) this.#offset += this.#lastRaw;
    this.#lastRaw = raw;
    const value = raw + this.#offset;
    if (value === this.#last) return;
    this.#last = value;
    this.#append(timeMs, value);
  }

  /** The value of the last reading. */
  latest(): number {
    return this.#last;
  }

  /** The value at a time: that of the last change at or before it. */
  at(timeMs: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#read(this.#times, middle) <= timeMs) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? this.#base : this.#read(this.#values, low - 1);
  }

  /** By how much a counter grew after `fromMs` until now. */
  increaseSince(fromMs: number): number {
    return this.#last - this.at(fromMs);
  }

  #append(timeMs: number, value: number): void {
    if (this.#length === this.#times.length) {
      if (this.#length < HISTORY_SAMPLES_MAX) this.#grow();
      else {
        this.#base = this.#values[this.#head] ?? this.#base;
        this.#head = (this.#head + 1) % this.#times.length;
        this.#length--;
      }
    }
    const slot = (this.#head + this.#length) % this.#times.length;
    this.#times[slot] = timeMs;
    this.#values[slot] = value;
    this.#length++;
  }

  #grow(): void {
    const size = Math.min(this.#times.length * 2, HISTORY_SAMPLES_MAX);
    // Before the first wrap the head is 0, and growing happens only then: a plain copy keeps order.
    const times = new Float64Array(size);
    const values = new Float64Array(size);
    times.set(this.#times);
    values.set(this.#values);
    this.#times = times;
    this.#values = values;
  }

  #read(ring: Float64Array, index: number): number {
    return ring[(this.#head + index) % ring.length] ?? NaN;
  }
}
