import { expect, test } from "bun:test";
import { Prng } from "../base/prng.ts";
import { RetryBudget } from "./retry-budget.ts";

const POLICY = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };

function drain(budget: RetryBudget, nowMs: number): number {
  let count = 0;
  while (budget.withdraw(nowMs)) count++;
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
  expect(budget.withdraw(9)).toBe(false);
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
    } else if (budget.withdraw(now)) retries.push(now);
  }
  expect(retries.length).toBeGreaterThan(100);
  for (const at of retries) {
    const within = (times: readonly number[], ms: number) =>
      times.filter((time) => time > at - ms && time <= at).length;
    // A tenth of the time is forgotten at once.
    expect(within(retries, 9_000)).toBeLessThanOrEqual(0.2 * within(requests, 10_000));
  }
});
