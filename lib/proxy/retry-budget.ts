// hot
/**
 * What retries may add to the load of one destination, all of a proxy's clients together: a share of
 * the requests of the last seconds, and a few besides, so that retries also work where requests are rare.
 * When everything fails, this is what keeps retries from making it worse.
 *
 * Along a chain of services the shares must not multiply. A request that is a retry says so to the next
 * proxy; the share of retries among what a pod is asked is taken for the same share of what it asks, since
 * nobody knows which request led to which. That share says so too, and counts as spent already: so the
 * retries of all services before it and its own fit into one budget.
 */

import { SlidingPair } from "../base/sliding-pair.ts";
import type { RetryBudget as BudgetPolicy } from "../mesh/reliability.ts";

/** How long a request counts for what a pod is asked. */
const ASKED_SPAN_MS = 10_000;

/** A budget in use. */
export class RetryBudget {
  readonly #policy: BudgetPolicy;
  /** Requests and retries. */
  readonly #spent: SlidingPair;

  constructor(policy: BudgetPolicy, nowMs: number) {
    this.#policy = policy;
    this.#spent = new SlidingPair(policy.ttlMs, nowMs);
  }

  /** A request has come, which may be retried or not. */
  deposit(nowMs: number): void {
    this.#spent.addFirst(nowMs);
  }

  /**
   * Takes one retry out of the budget; false when it is used up. `inherited`: the share of the requests
   * that others have caused by their own retries.
   */
  withdraw(nowMs: number, inherited: number): boolean {
    const { ratio, minPerSecond, ttlMs } = this.#policy;
    const spent = this.#spent;
    spent.turn(nowMs);
    const own = Math.max(0, ratio * (1 - inherited) - inherited);
    if (spent.second + 1 > spent.first * own + minPerSecond * ttlMs / 1_000) return false;
    spent.addSecond(nowMs);
    return true;
  }
}

/** The share of retries among the requests that a pod is asked by others of the mesh. */
export class InheritedRetries {
  readonly #asked: SlidingPair;

  constructor(nowMs: number) {
    this.#asked = new SlidingPair(ASKED_SPAN_MS, nowMs);
  }

  /** A request has come. */
  asked(isRetry: boolean, nowMs: number): void {
    this.#asked.addFirst(nowMs);
    if (isRetry) this.#asked.addSecond(nowMs);
  }

  /** Between 0 and 1. */
  share(nowMs: number): number {
    const asked = this.#asked;
    asked.turn(nowMs);
    return asked.first === 0 ? 0 : asked.second / asked.first;
  }

  /** Whether a request that the pod makes is to count as caused by a retry: by chance, as often as they are. */
  isInherited(nowMs: number, random: () => number): boolean {
    const share = this.share(nowMs);
    return share > 0 && random() < share;
  }
}
