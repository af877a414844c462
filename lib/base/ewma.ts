// hot
/**
 * Peak-sensitive exponentially weighted moving average of a latency, as Finagle and tower have it: a
 * slower sample counts at once, faster ones wear it down over the decay time. Without samples the
 * value sinks towards 0, so that an endpoint that was slow once is tried again.
 */

import { assert } from "./assert.ts";

/** The latency estimate of one endpoint. */
export class PeakEwma {
  readonly #decayMs: number;
  #estimateMs: number;
  #updatedMs: number;

  /** `defaultMs` stands in for samples at first; `decayMs`: after that, 63 % of a sample is forgotten. */
  constructor(defaultMs: number, decayMs: number, nowMs: number) {
    assert(decayMs > 0 && defaultMs >= 0, "an average needs a positive decay and a default");
    this.#decayMs = decayMs;
    this.#estimateMs = defaultMs;
    this.#updatedMs = nowMs;
  }

  /** Takes a sample that was complete at `nowMs`. */
  observe(rttMs: number, nowMs: number): void {
    const weight = this.#weight(nowMs);
    const decayed = this.#estimateMs * weight;
    // A sample above the estimate of this moment replaces it; else both are mixed by age.
    this.#estimateMs = rttMs > this.#estimateMs ? rttMs : decayed + rttMs * (1 - weight);
    if (nowMs > this.#updatedMs) this.#updatedMs = nowMs;
  }

  /** Forgets everything but one sample that was complete at `nowMs`. */
  restart(rttMs: number, nowMs: number): void {
    this.#estimateMs = rttMs;
    this.#updatedMs = nowMs;
  }

  /** The estimate at `nowMs` in milliseconds. */
  value(nowMs: number): number {
    return this.#estimateMs * this.#weight(nowMs);
  }

  /** The share that is left of what was known at the last update. */
  #weight(nowMs: number): number {
    const elapsed = nowMs - this.#updatedMs;
    return elapsed <= 0 ? 1 : Math.exp(-elapsed / this.#decayMs);
  }
}
