import { expect, test } from "bun:test";
import { Backoff } from "./backoff.ts";

test("waits double up to the maximum and begin anew after a success", () => {
  const backoff = new Backoff({ minMs: 100, maxMs: 1_000, jitter: 0 }, () => 0.9);
  expect([1, 2, 3, 4, 5, 6].map(() => backoff.next())).toEqual([100, 200, 400, 800, 1000, 1000]);
  backoff.reset();
  expect(backoff.next()).toBe(100);
});

test("jitter lengthens a wait by its share at most", () => {
  const low = new Backoff({ minMs: 100, maxMs: 1_000, jitter: 0.5 }, () => 0);
  const high = new Backoff({ minMs: 100, maxMs: 1_000, jitter: 0.5 }, () => 0.999);
  expect(low.next()).toBe(100);
  expect(high.next()).toBeCloseTo(149.95);
});

test("a thousand failures still wait the maximum", () => {
  const backoff = new Backoff({ minMs: 100, maxMs: 60_000, jitter: 0 }, () => 0);
  for (let failure = 0; failure < 1_000; failure++) backoff.next();
  expect(backoff.next()).toBe(60_000);
});
