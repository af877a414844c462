// hot
/**
 * A quantile of values that come one by one, without keeping any: each moves the estimate a little towards
 * itself, by as much as makes the shares on both sides right. It follows changes within some hundred values.
 */

import { assert } from "./assert.ts";

/** How far one value moves the estimate at most. */
const STEP = 0.05;
/** Fewer say nothing of a high quantile. */
const SAMPLES_MIN = 50;

/** The estimate of one quantile of positive values. */
export class RunningQuantile {
  readonly quantile: number;
  #estimate = 0;
  #samples = 0;

  /** `quantile` is between 0 and 1. */
  constructor(quantile: number) {
    assert(quantile > 0 && quantile < 1, "a quantile is between 0 and 1");
    this.quantile = quantile;
  }

  observe(value: number): void {
    this.#samples++;
    if (this.#samples === 1) this.#estimate = value;
    else if (value > this.#estimate) this.#estimate *= 1 + STEP * this.quantile;
    else this.#estimate *= 1 - STEP * (1 - this.quantile);
  }

  /** 0 while too little is known. */
  get value(): number {
    return this.#samples < SAMPLES_MIN ? 0 : this.#estimate;
  }
}
