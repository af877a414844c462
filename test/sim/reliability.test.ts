import { expect, test } from "bun:test";
import { reliability } from "./reliability.ts";

const SEEDS = 500;

test(`balancer, accrual, budget and limits hold together over ${SEEDS} seeds`, () => {
  const failures: string[] = [];
  let retries = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = reliability(seed);
    retries += result.retries;
    if (result.failure !== null) {
      failures.push(`npm run sim:reliability -- --seed ${seed}: ${result.failure}`);
    }
  }
  expect(failures).toEqual([]);
  expect(retries).toBeGreaterThan(SEEDS);
}, 120_000);
