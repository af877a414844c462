import { expect, test } from "bun:test";
import { Prng } from "../base/prng.ts";
import { AddedRetries, InheritedRetries, RetryBudget } from "./retry-budget.ts";

const POLICY = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };

function drain(budget: RetryBudget, nowMs: number, inherited = 0): number {
  let count = 0;
  while (budget.withdraw(nowMs, inherited)) count++;
  return count;
}

test("without requests there are a few retries a second", () => {
  const budget = new RetryBudget(POLICY, 0);
  expect(drain(budget, 0)).toBe(100);
  expect(drain(budget, 5_000)).toBe(0);
  expect(drain(budget, 10_000)).toBe(100);
});

test("requests add their share, as long as they count", () => {
  const budget = new RetryBudget({ ...POLICY, minPerSecond: 0 }, 0);
  for (let i = 0; i < 1_000; i++) budget.deposit(i);
  expect(drain(budget, 1_000)).toBe(200);
  expect(drain(budget, 9_000)).toBe(0);
  for (let i = 0; i < 10; i++) budget.deposit(30_000);
  expect(drain(budget, 30_000)).toBe(2);
});

test("a budget of nothing allows nothing", () => {
  const budget = new RetryBudget({ ratio: 0, minPerSecond: 0, ttlMs: 1_000 }, 7);
  budget.deposit(8);
  expect(budget.withdraw(9, 0)).toBe(false);
});

test("over any time of its length, retries stay within the share of requests", () => {
  const prng = new Prng(1);
  const budget = new RetryBudget({ ...POLICY, minPerSecond: 0 }, 0);
  const requests: number[] = [];
  const retries: number[] = [];
  let now = 0;
  for (let i = 0; i < 20_000; i++) {
    now += prng.below(20);
    if (prng.below(3) > 0) {
      budget.deposit(now);
      requests.push(now);
    } else if (budget.withdraw(now, 0)) retries.push(now);
  }
  expect(retries.length).toBeGreaterThan(100);
  for (const at of retries) {
    const within = (times: readonly number[], ms: number) =>
      times.filter((time) => time > at - ms && time <= at).length;
    // A tenth of the time is forgotten at once.
    expect(within(retries, 9_000)).toBeLessThanOrEqual(0.2 * within(requests, 10_000));
  }
});

test("what others have retried counts as spent", () => {
  const asked = new InheritedRetries(0);
  expect(asked.share(0)).toBe(0);
  for (let i = 0; i < 1_000; i++) asked.asked(false, 0);
  for (let i = 0; i < 100; i++) asked.asked(true, 0);
  const budget = new RetryBudget({ ...POLICY, minPerSecond: 0 }, 0);
  for (let i = 0; i < 1_100; i++) budget.deposit(0);
  // 1,000 requests may have 200 retries; 100 have been made.
  expect(drain(budget, 0, asked.share(0))).toBe(100);
  expect(asked.share(10_000)).toBe(0);
});

test("along a chain of services that fails at its end, retries fit into one budget", () => {
  const HOPS = 4;
  const policy = { ...POLICY, minPerSecond: 0 };
  const budgets = Array.from({ length: HOPS }, () => new RetryBudget(policy, 0));
  const asked = Array.from({ length: HOPS }, () => new InheritedRetries(0));
  const prng = new Prng(5);
  let now = 0;
  let served = 0;
  /** Asks service number `hop` behind the first one; each asks the next, and all fails. */
  function ask(hop: number, isRetry: boolean): void {
    if (hop === HOPS) {
      served++;
      return;
    }
    if (hop > 0) asked[hop]!.asked(isRetry, now);
    budgets[hop]!.deposit(now);
    ask(hop + 1, asked[hop]!.isInherited(now, () => prng.float()));
    while (budgets[hop]!.withdraw(now, asked[hop]!.share(now))) ask(hop + 1, true);
  }
  const requests = 20_000;
  for (let i = 0; i < requests; i++) {
    now = i * 10;
    ask(0, false);
  }
  // Without the share of others' retries it would be 1.2⁴ = 2.07.
  expect(served / requests).toBeWithin(1.1, 1.3);
});

test("what those behind have added counts as spent", () => {
  const added = new AddedRetries(0);
  expect([added.isNone, added.share(0)]).toEqual([true, 0]);
  for (let i = 0; i < 1_000; i++) added.asked(0);
  for (let i = 0; i < 100; i++) added.retried(0);
  expect(added.share(0)).toBeCloseTo(0.1);
  added.told(0.05, 0);
  added.told(0.02, 1);
  // Its own retries had retries behind them as well.
  expect(added.share(1)).toBeCloseTo(0.155);
  const budget = new RetryBudget({ ...POLICY, minPerSecond: 0 }, 0);
  for (let i = 0; i < 1_000; i++) budget.deposit(0);
  const drained = () => {
    let count = 0;
    while (budget.withdraw(0, 0, added.share(1))) count++;
    return count;
  };
  // A fifth less 0.155 of a thousand.
  expect(drained()).toBe(44);
  expect(added.share(20_000)).toBe(0);
  expect(added.isNone).toBe(true);
});

test("along a chain whose last fails by chance, retries fit into one budget as well", () => {
  const HOPS = 5;
  const policy = { ...POLICY, minPerSecond: 0 };
  const budgets = Array.from({ length: HOPS }, () => new RetryBudget(policy, 0));
  const asked = Array.from({ length: HOPS }, () => new InheritedRetries(0));
  const added = Array.from({ length: HOPS }, () => new AddedRetries(0));
  const prng = new Prng(5);
  let now = 0;
  let served = 0;
  let failsEach = 2;
  /** Asks service number `hop` behind the first one; whether that succeeded, and what it tells. */
  function ask(hop: number, isRetry: boolean): { good: boolean; told: number } {
    if (hop === HOPS) {
      served++;
      return { good: failsEach === 0 || prng.below(failsEach) > 0, told: 0 };
    }
    if (hop > 0) asked[hop]!.asked(isRetry, now);
    budgets[hop]!.deposit(now);
    added[hop]!.asked(now);
    let answer = ask(hop + 1, asked[hop]!.isInherited(now, () => prng.float()));
    while (!answer.good) {
      added[hop]!.told(answer.told, now);
      if (!budgets[hop]!.withdraw(now, asked[hop]!.share(now), answer.told)) break;
      added[hop]!.retried(now);
      answer = ask(hop + 1, true);
    }
    return { good: answer.good, told: added[hop]!.share(now) };
  }
  const requests = 10_000;
  // Good times first: what they have saved is there to spend for every hop.
  failsEach = 0;
  for (let i = 0; i < requests; i++) ask(0, false);
  served = 0;
  failsEach = 2;
  for (let i = 0; i < requests; i++) {
    now = i / 2;
    ask(0, false);
  }
  // A fifth of the bad times and of the good ones; whoever is nearest spends it first, and if the others
  // did not hear of it, each would spend as much.
  expect(served / requests).toBeWithin(1.35, 1.45);
});
