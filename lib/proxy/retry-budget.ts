// hot
/**
 * What retries may add to the load of one destination, all of a proxy's clients together: a share of
 * the requests of the last seconds, and a few besides, so that retries also work where requests are rare.
 * When everything fails, this is what keeps retries from making it worse.
 */

import type { RetryBudget as BudgetPolicy } from "../mesh/reliability.ts";

/** Parts of the time that requests count for; the oldest part is forgotten as a whole. */
const SLOTS = 10;

/** A budget in use. */
export class RetryBudget {
  readonly #policy: BudgetPolicy;
  readonly #slotMs: number;
  readonly #requests = new Float64Array(SLOTS);
  readonly #retries = new Float64Array(SLOTS);
  /** The slot of now, counted from the clock's zero. */
  #slot: number;
  #requestSum = 0;
  #retrySum = 0;

  constructor(policy: BudgetPolicy, nowMs: number) {
    this.#policy = policy;
    this.#slotMs = policy.ttlMs / SLOTS;
    this.#slot = Math.floor(nowMs / this.#slotMs);
  }

  /** A request has come, which may be retried or not. */
  deposit(nowMs: number): void {
    this.#turn(nowMs);
    this.#requests[this.#slot % SLOTS]!++;
    this.#requestSum++;
  }

  /** Takes one retry out of the budget; false when it is used up. */
  withdraw(nowMs: number): boolean {
    this.#turn(nowMs);
    const { ratio, minPerSecond, ttlMs } = this.#policy;
    const allowed = this.#requestSum * ratio + minPerSecond * ttlMs / 1_000;
    if (this.#retrySum + 1 > allowed) return false;
    this.#retries[this.#slot % SLOTS]!++;
    this.#retrySum++;
    return true;
  }

  /** Forgets what is too old. */
  #turn(nowMs: number): void {
    const slot = Math.floor(nowMs / this.#slotMs);
    const first = Math.max(this.#slot + 1, slot - SLOTS + 1);
    for (let i = first; i <= slot; i++) {
      const at = i % SLOTS;
      this.#requestSum -= this.#requests[at]!;
      this.#retrySum -= this.#retries[at]!;
      this.#requests[at] = 0;
      this.#retries[at] = 0;
    }
    if (slot > this.#slot) this.#slot = slot;
  }
}
