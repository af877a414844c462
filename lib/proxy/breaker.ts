// hot
/**
 * Leaves an endpoint alone while its responses are bad (failure accrual), and tries it with one request
 * at a time until they are good again. Pure but for the clock's readings that it is given.
 *
 *     CLOSED ──failures in a row, success rate──▶ OPEN ──penalty over──▶ HALF_OPEN
 *        ▲                                          ▲ bad: a longer penalty   │ one request
 *        └────────────────── good ──────────────────┴────────────────────────┘
 *
 * One good response is little to go by: who is taken back and soon falls out again is left alone for
 * longer each time, as if it had never been back. So an endpoint that fails every other request does not
 * swing in and out.
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
  #openedAtMs = 0;
  #openUntilMs = 0;
  /** Until then a relapse counts as one. */
  #provenAtMs = 0;
  /** While half open: the one request is under way, since then. */
  #isProbing = false;
  #probeAtMs = 0;
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

  /** One request should try it; asked behind `isOpen`. */
  get awaitsProbe(): boolean {
    return this.#state === HALF_OPEN && !this.#isProbing;
  }

  /** Nothing bad is known of it now. */
  get isWell(): boolean {
    if (this.#state !== CLOSED || this.#failures > 0) return false;
    const { successRate } = this.#policy;
    return successRate === undefined || this.#judged < successRate.requestsMin ||
      this.#rate >= successRate.threshold;
  }

  /** Nobody does better: it may be tried as soon as it has been left alone for the shortest penalty. */
  reprieve(): void {
    if (this.#state !== OPEN) return;
    const atMs = this.#openedAtMs + this.#policy.backoff.minMs;
    if (atMs < this.#openUntilMs) this.#openUntilMs = atMs;
  }

  /** A request goes there. */
  began(nowMs: number): void {
    if (this.#state !== HALF_OPEN) return;
    this.#isProbing = true;
    this.#probeAtMs = nowMs;
  }

  /** A request that began then is over, judged or not: another one may try. */
  ended(beganAtMs: number): void {
    if (beganAtMs >= this.#probeAtMs) this.#isProbing = false;
  }

  /** The response to a request that began then was good or bad, or did not come; true when that closes it. */
  judged(isGood: boolean, beganAtMs: number, nowMs: number): boolean {
    switch (this.#state) {
      case OPEN:
        // It began before; the penalty stands.
        return false;
      case HALF_OPEN:
        // The same: only the probe says what is true now.
        if (!this.#isProbing || beganAtMs < this.#probeAtMs) return false;
        if (isGood) this.#close(nowMs);
        else this.#open(nowMs);
        return isGood;
      default:
    }
    this.#count(isGood, nowMs);
    if (!isGood && this.#isTooBad() && this.#mayOpen()) this.#open(nowMs);
    return false;
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
    if (this.#state === CLOSED && nowMs >= this.#provenAtMs) this.#backoff.reset();
    this.#state = OPEN;
    this.#openedAtMs = nowMs;
    this.#openUntilMs = nowMs + this.#backoff.next();
  }

  #close(nowMs: number): void {
    this.#state = CLOSED;
    // As long as it was left alone it must be good, before it counts as healed; and as long as its
    // responses are averaged, since where few come it is not judged earlier.
    const aloneMs = this.#openUntilMs - this.#openedAtMs;
    this.#provenAtMs = nowMs + Math.max(aloneMs, this.#policy.successRate?.windowMs ?? 0);
    this.#failures = 0;
    this.#judged = 0;
    this.#rate = 1;
    this.#rateAtMs = nowMs;
  }
}
