import { describe, expect, test } from "bun:test";
import { Prng } from "../base/prng.ts";
import type { FailureAccrual } from "../mesh/reliability.ts";
import { Breaker } from "./breaker.ts";

const POLICY: FailureAccrual = {
  failuresMax: 3,
  backoff: { minMs: 1_000, maxMs: 8_000, jitter: 0 },
  endpointsMin: 1,
};

function breakerOf(policy: Partial<FailureAccrual> = {}, mayOpen = () => true): Breaker {
  return new Breaker({ ...POLICY, ...policy }, () => 0, mayOpen, 0);
}

function fail(breaker: Breaker, times: number, nowMs: number): void {
  for (let i = 0; i < times; i++) breaker.judged(false, nowMs, nowMs);
}

describe("failures in a row", () => {
  test("open it, and a good response in between does not let them add up", () => {
    const breaker = breakerOf();
    fail(breaker, 2, 0);
    breaker.judged(true, 0, 0);
    fail(breaker, 2, 0);
    expect(breaker.isOpen(0)).toBe(false);
    fail(breaker, 1, 0);
    expect([breaker.isOpen(0), breaker.isOpen(999)]).toEqual([true, true]);
  });

  test("after the penalty one request tries it; a good one closes it", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    expect(breaker.isOpen(1_000)).toBe(false);
    breaker.began(1_000);
    expect(breaker.isOpen(1_001)).toBe(true);
    expect(breaker.judged(true, 1_000, 1_100)).toBe(true);
    expect([breaker.isOpen(1_100), breaker.isEjected]).toEqual([false, false]);
    fail(breaker, 2, 1_200);
    expect(breaker.isOpen(1_200)).toBe(false);
  });

  test("a bad one makes the penalty longer, up to its bound", () => {
    const breaker = breakerOf();
    let now = 0;
    fail(breaker, 3, now);
    for (const penalty of [1_000, 2_000, 4_000, 8_000, 8_000]) {
      expect(breaker.isOpen(now + penalty - 1)).toBe(true);
      now += penalty;
      expect(breaker.isOpen(now)).toBe(false);
      breaker.began(now);
      breaker.judged(false, now, now);
    }
  });

  test("a relapse makes the penalty longer; who was good for as long is healed", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    let now = 1_000;
    const takeBack = () => {
      expect(breaker.isOpen(now)).toBe(false);
      breaker.began(now);
      expect(breaker.judged(true, now, now)).toBe(true);
    };
    takeBack();
    for (const penalty of [2_000, 4_000]) {
      now += 500;
      fail(breaker, 3, now);
      expect(breaker.isOpen(now + penalty - 1)).toBe(true);
      now += penalty;
      takeBack();
    }
    now += 4_000;
    fail(breaker, 3, now);
    now += 1_000;
    expect(breaker.isOpen(now)).toBe(false);
  });

  test("only the probe says whether it is good again", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    expect(breaker.isOpen(1_000)).toBe(false);
    // What began before is late.
    expect(breaker.judged(true, 0, 1_000)).toBe(false);
    breaker.began(1_000);
    expect(breaker.judged(false, 0, 1_001)).toBe(false);
    breaker.ended(0);
    expect([breaker.isOpen(1_002), breaker.awaitsProbe]).toEqual([true, false]);
    expect(breaker.judged(true, 1_000, 1_003)).toBe(true);
  });

  test("where nobody does better it may be tried after the shortest penalty", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    breaker.isOpen(1_000);
    breaker.began(1_000);
    breaker.judged(false, 1_000, 1_000);
    breaker.reprieve();
    expect([breaker.isOpen(1_999), breaker.isOpen(2_000)]).toEqual([true, false]);
  });

  test("a try that nobody waited for lets another one try", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    expect(breaker.isOpen(1_000)).toBe(false);
    breaker.began(1_000);
    breaker.ended(1_000);
    expect(breaker.isOpen(1_001)).toBe(false);
  });

  test("answers to what began before do not shorten a penalty", () => {
    const breaker = breakerOf();
    fail(breaker, 3, 0);
    breaker.judged(true, 0, 10);
    expect(breaker.isOpen(20)).toBe(true);
  });

  test("it stays closed while it may not open", () => {
    let may = false;
    const breaker = breakerOf({}, () => may);
    fail(breaker, 50, 0);
    expect(breaker.isOpen(0)).toBe(false);
    may = true;
    fail(breaker, 1, 0);
    expect(breaker.isOpen(0)).toBe(true);
  });
});

describe("the success rate", () => {
  const successRate = { threshold: 0.8, windowMs: 10_000, requestsMin: 20 };

  /** When an endpoint that fails this share of requests is left alone; undefined: never. */
  function opensAfter(failing: number, everyMs: number): number | undefined {
    const prng = new Prng(7);
    const breaker = breakerOf({ failuresMax: 0, successRate });
    for (let i = 1; i <= 2_000; i++) {
      breaker.judged(prng.float() >= failing, i * everyMs, i * everyMs);
      if (breaker.isEjected) return i;
    }
    return undefined;
  }

  test.each([1, 10, 100])("below the threshold opens it, above does not, at one in %d ms", (ms) => {
    expect(opensAfter(0.1, ms)).toBeUndefined();
    expect(opensAfter(0.5, ms)).toBeGreaterThanOrEqual(successRate.requestsMin);
    expect(opensAfter(0.5, ms)).toBeLessThan(400);
  });

  test("a few responses say nothing", () => {
    const breaker = breakerOf({ failuresMax: 0, successRate });
    fail(breaker, successRate.requestsMin - 1, 0);
    expect(breaker.isOpen(0)).toBe(false);
  });

  test("who keeps failing does not swing in and out where few requests come", () => {
    /** How often it is left alone in five minutes; the longest penalty is 8 s. */
    const openings = (seed: number, everyMs: number) => {
      const prng = new Prng(seed);
      const breaker = breakerOf({
        failuresMax: 0,
        successRate: { ...successRate, requestsMin: 5 },
      });
      let count = 0;
      for (let now = 0; now < 300_000; now += everyMs) {
        if (breaker.isOpen(now)) continue;
        breaker.began(now);
        const wasEjected = breaker.isEjected;
        breaker.judged(prng.float() >= 0.4, now, now);
        breaker.ended(now);
        if (breaker.isEjected && !wasEjected) count++;
      }
      return count;
    };
    const sum = (everyMs: number) =>
      Array.from({ length: 100 }, (_, seed) => openings(seed, everyMs)).reduce((a, b) => a + b);
    // At one a second, five take longer than its first penalties.
    expect(sum(1_000)).toBeWithin(0.5 * sum(100), sum(100));
  });
});
