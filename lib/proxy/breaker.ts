// hot
/**
 * Leaves an endpoint alone while its responses are bad (failure accrual), and tries it with one request
 * at a time until they are good again. Pure but for the clock's readings that it is given.
 *
 *     CLOSED ──failures in a row, success rate──▶ OPEN ──penalty over──▶ HALF_OPEN
 *        ▲                                          ▲ bad: a longer penalty   │ one request
 *        └────────────────── good ──────────────────┴────────────────────────┘
 */

import { Backoff } from "../base/backoff.ts";
import type { FailureAccrual } from "../mesh/reliability.ts";

const CLOSED = 0;
const OPEN = 1;
const HALF_OPEN = 2;

/** Of one endpoint. */
export class Breaker {
  readonly #policy: FailureAccrual;
  readonly #backoff: Backoff;
  readonly #mayOpen: () => boolean;
  #state = CLOSED;
  #openUntilMs = 0;
  /** While half open: the one request is under way. */
  #isProbing = false;
  /** Failures in a row. */
  #failures = 0;
  /** Moving average of successes, 1 for a success. */
  #rate = 1;
  #rateAtMs: number;
  /** Responses since it was closed. */
  #judged = 0;

  /** `mayOpen` says whether enough other endpoints stay. */
  constructor(
    policy: FailureAccrual,
    random: () => number,
    mayOpen: () => boolean,
    nowMs: number,
  ) {
    this.#policy = policy;
    this.#backoff = new Backoff(policy.backoff, random);
    this.#mayOpen = mayOpen;
    this.#rateAtMs = nowMs;
  }

  /** No request should go there now. */
  isOpen(nowMs: number): boolean {
    if (this.#state === OPEN && nowMs >= this.#openUntilMs) {
      this.#state = HALF_OPEN;
      this.#isProbing = false;
    }
    return this.#state === OPEN || (this.#state === HALF_OPEN && this.#isProbing);
  }

  /** It has been left alone and is not closed again. */
  get isEjected(): boolean {
    return this.#state !== CLOSED;
  }

  /** A request goes there. */
  began(): void {
    if (this.#state === HALF_OPEN) this.#isProbing = true;
  }

  /** A request is over without a verdict: another one may try. */
  abandoned(): void {
    this.#isProbing = false;
  }

  /** A response was good or bad, or did not come. */
  judged(isGood: boolean, nowMs: number): void {
    switch (this.#state) {
      case OPEN:
        // It began before; the penalty stands.
        return;
      case HALF_OPEN:
        if (isGood) this.#close(nowMs);
        else this.#open(nowMs);
        return;
      default:
    }
    this.#count(isGood, nowMs);
    if (!isGood && this.#isTooBad() && this.#mayOpen()) this.#open(nowMs);
  }

  #count(isGood: boolean, nowMs: number): void {
    this.#judged++;
    this.#failures = isGood ? 0 : this.#failures + 1;
    const { successRate } = this.#policy;
    if (successRate === undefined) return;
    // A response weighs as the time since the last one; the first ones all the same.
    const age = 1 - Math.exp(-(nowMs - this.#rateAtMs) / successRate.windowMs);
    const weight = Math.max(age, 1 / this.#judged);
    this.#rate += ((isGood ? 1 : 0) - this.#rate) * weight;
    this.#rateAtMs = nowMs;
  }

  #isTooBad(): boolean {
    const { failuresMax, successRate } = this.#policy;
    if (failuresMax > 0 && this.#failures >= failuresMax) return true;
    return successRate !== undefined && this.#judged >= successRate.requestsMin &&
      this.#rate < successRate.threshold;
  }

  #open(nowMs: number): void {
    this.#state = OPEN;
    this.#openUntilMs = nowMs + this.#backoff.next();
  }

  #close(nowMs: number): void {
    this.#state = CLOSED;
    this.#backoff.reset();
    this.#failures = 0;
    this.#judged = 0;
    this.#rate = 1;
    this.#rateAtMs = nowMs;
  }
}
