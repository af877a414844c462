// hot
/**
 * What retries may add to the load of one destination, all of a proxy's clients together: a share of
 * the requests of the last seconds, and a few besides, so that retries also work where requests are rare.
 * When everything fails, this is what keeps retries from making it worse.
 *
 * Along a chain of services the shares must neither multiply nor add up. A request that is a retry says so
 * to the next proxy; the share of retries among what a pod is asked is taken for the same share of what it
 * asks, since nobody knows which request led to which. That share says so too, and counts as spent already.
 * The other way round a response says what share of retries the pod has added, with those behind it: whoever
 * gets a failure in spite of them has that much less to spend. So the retries of all services before and
 * behind a proxy and its own fit into one budget, whoever of them retries first.
 *
 *     ─request: "I am a retry"─▶  ─▶  ─▶        ◀─  ◀─  ◀─response: "20 % are retries from here on"─
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
   * that others have caused by their own retries; `behind`: what those who are asked have added to them.
   */
  withdraw(nowMs: number, inherited: number, behind = 0): boolean {
    const { ratio, minPerSecond, ttlMs } = this.#policy;
    const spent = this.#spent;
    spent.turn(nowMs);
    const own = Math.max(0, ratio * (1 - inherited) - inherited - behind);
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

/** The share of retries that a pod has added to what it asks, with those behind whom it asks. */
export class AddedRetries {
  /** Requests that may be retried, and retries. */
  readonly #made: SlidingPair;
  /** The largest share that was told lately. */
  #behind = 0;
  #behindAtMs = 0;

  constructor(nowMs: number) {
    this.#made = new SlidingPair(ASKED_SPAN_MS, nowMs);
  }

  /** A request has come that may be retried. */
  asked(nowMs: number): void {
    this.#made.addFirst(nowMs);
  }

  /** A retry is made. */
  retried(nowMs: number): void {
    this.#made.addSecond(nowMs);
  }

  /** A response tells the share of whoever sent it. */
  told(share: number, nowMs: number): void {
    if (share < this.#behind && nowMs - this.#behindAtMs < ASKED_SPAN_MS) return;
    this.#behind = share;
    this.#behindAtMs = nowMs;
  }

  /** Nothing has been added for a while: usual, and known without a look at the clock. */
  get isNone(): boolean {
    return this.#made.second === 0 && this.#behind === 0;
  }

  /** From 0 on. */
  share(nowMs: number): number {
    const made = this.#made;
    made.turn(nowMs);
    if (nowMs - this.#behindAtMs >= ASKED_SPAN_MS) this.#behind = 0;
    const own = made.first === 0 ? 0 : made.second / made.first;
    return own + (1 + own) * this.#behind;
  }
}
