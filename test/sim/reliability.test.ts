import { expect, test } from "bun:test";
import { describeSum, reliabilityOf, SECOND_LOOKS_MOST } from "./reliability.ts";

const SEEDS = 10_000;

test(`balancer, accrual, budget and limits hold together over ${SEEDS} seeds`, () => {
  const sum = reliabilityOf(1, SEEDS);
  console.log(describeSum(SEEDS, sum));
  expect(sum.failures).toEqual([]);
  expect(sum.secondLooks).toBeLessThanOrEqual(SECOND_LOOKS_MOST * sum.rounds);
  expect(sum.retries).toBeGreaterThan(SEEDS);
  // A week of the simulated time and more, some of it without a break.
  const hourMs = 3_600_000;
  expect(sum.virtualMs).toBeGreaterThan(7 * 24 * hourMs);
  expect(sum.longestMs).toBeGreaterThan(5 * hourMs);
}, 600_000);
