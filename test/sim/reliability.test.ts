import { expect, test } from "bun:test";
import { JUDGED_TWICE_MOST, reliability } from "./reliability.ts";

const SEEDS = 500;

test(`balancer, accrual, budget and limits hold together over ${SEEDS} seeds`, () => {
  const failures: string[] = [];
  let retries = 0;
  let judgedTwice = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = reliability(seed);
    retries += result.retries;
    if (result.isSecondLook) judgedTwice++;
    if (result.failure !== null) {
      failures.push(`npm run sim:reliability -- --seed ${seed}: ${result.failure}`);
    }
  }
  expect(failures).toEqual([]);
  expect(judgedTwice).toBeLessThanOrEqual(JUDGED_TWICE_MOST * SEEDS);
  expect(retries).toBeGreaterThan(SEEDS);
}, 120_000);
