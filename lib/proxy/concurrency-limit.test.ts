import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { CONCURRENCY_MAX } from "../base/limits.ts";
import { capacityOf, overload, type ServiceModel } from "../../test/sim/overload.ts";
import { AdaptiveLimit } from "./concurrency-limit.ts";
import type { ConcurrencySetting } from "./path-limits.ts";

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

/** Good answers a second between two seconds, as a share of what the service could do. */
function share(good: readonly number[], from: number, to: number, service: ServiceModel): number {
  return mean(Array.from({ length: to - from }, (_, i) => good[from + i] ?? 0)) /
    capacityOf(service);
}

const SERVICES: ServiceModel[] = [];
for (const workers of [1, 2, 4, 8, 32]) {
  for (const meanMs of [10, 50, 200]) {
    SERVICES.push({ workers, meanMs, spread: "constant" });
    SERVICES.push({ workers, meanMs, spread: "exponential" });
  }
}

setDefaultTimeout(60_000);

describe("a limit that finds itself", () => {
  for (const service of SERVICES) {
    const { workers, meanMs, spread } = service;
    test(`${workers} workers, ${spread} ${meanMs} ms, asked for twice as much`, () => {
      const seconds = 60;
      const run = (limit: ConcurrencySetting) =>
        overload({
          seed: 7,
          service,
          rates: [2 * capacityOf(service)],
          timeoutMs: Math.max(1_000, 20 * meanMs),
          durationMs: seconds * 1_000,
          limit,
        });
      const limited = run("adaptive");
      expect(share(limited.good, 10, seconds, service)).toBeGreaterThan(0.9);
      expect(limited.waitingMost).toBeLessThanOrEqual(Math.max(8, limited.limitMost / 2 + 1));
      // Without it nearly all is done for callers that have gone.
      expect(share(run("off").good, 10, seconds, service)).toBeLessThan(0.2);
      // It stays where it is: between probes most of its values are near each other.
      const late = limited.limits.slice(200).sort((a, b) => a - b);
      const [low = 0, high = 0] = [
        late[Math.floor(late.length * 0.25)],
        late[Math.floor(late.length * 0.95)],
      ];
      expect(high - low).toBeLessThanOrEqual(Math.max(5, 0.7 * high));
    });
  }

  const before: ServiceModel = { workers: 8, meanMs: 50, spread: "exponential" };
  for (
    const after of [
      { ...before, meanMs: 5 },
      { ...before, meanMs: 250 },
      { ...before, workers: 2 },
      { ...before, workers: 64 },
    ]
  ) {
    test(`the service changes to ${after.workers} workers, ${after.meanMs} ms`, () => {
      const { good } = overload({
        seed: 11,
        service: before,
        change: { atMs: 30_000, service: after },
        rates: [2 * Math.max(capacityOf(before), capacityOf(after))],
        timeoutMs: 2_000,
        durationMs: 90_000,
        limit: "adaptive",
      });
      expect(share(good, 10, 30, before)).toBeGreaterThan(0.85);
      expect(share(good, 45, 90, after)).toBeGreaterThan(0.85);
    });
  }

  test("a modest load is let through whole", () => {
    const service: ServiceModel = { workers: 8, meanMs: 50, spread: "exponential" };
    const result = overload({
      seed: 3,
      service,
      rates: [0.6 * capacityOf(service)],
      timeoutMs: 2_000,
      durationMs: 120_000,
      limit: "adaptive",
    });
    const asked = 120 * 0.6 * capacityOf(service);
    expect(result.shed).toBeLessThan(0.01 * asked);
  });

  test("a greedy caller takes no more than its share", () => {
    const service: ServiceModel = { workers: 4, meanMs: 20, spread: "exponential" };
    const { goodOf } = overload({
      seed: 5,
      service,
      rates: [0.3 * capacityOf(service), 5 * capacityOf(service)],
      timeoutMs: 1_000,
      durationMs: 60_000,
      limit: "adaptive",
    });
    // It asks for less than half: it gets nearly all of that.
    expect(goodOf[0]! / (60 * 0.3 * capacityOf(service))).toBeGreaterThan(0.9);
  });

  test("stays within its bounds, whatever it is told", () => {
    const step = fc.record({
      latencyMs: fc.double({ min: 0, max: 1e6, noNaN: true }),
      afterMs: fc.double({ min: 0, max: 1e4, noNaN: true }),
      share: fc.double({ min: 0, max: 2, noNaN: true }),
      isAnswered: fc.boolean(),
    });
    fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const limit = new AdaptiveLimit(0, () => 0.5);
      let now = 0;
      for (const { latencyMs, afterMs, share, isAnswered } of steps) {
        now += afterMs;
        const inFlight = Math.max(1, Math.round(limit.current * share));
        const tell = isAnswered ? "answered" : "unanswered";
        limit[tell](latencyMs, now - latencyMs, inFlight, now);
        expect(Number.isInteger(limit.current)).toBe(true);
        expect(limit.current).toBeGreaterThanOrEqual(1);
        expect(limit.current).toBeLessThanOrEqual(CONCURRENCY_MAX);
      }
    }));
  });
});
