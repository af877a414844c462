/**
 * Scenarios from seeds, as many as take some seconds. `SIM_SEED=S` runs one and prints what happened;
 * `SIM_SEEDS=N` runs more. For long runs see `main.ts`.
 */

import { describe, expect, test } from "bun:test";
import { runSeed } from "./run.ts";

/** Of each kind. */
const SEEDS = Number(process.env["SIM_SEEDS"] ?? 1_000) / 4;
const ONE = process.env["SIM_SEED"];
const TIMEOUT_MS = 300_000;
const LINES_SHOWN = 80;

async function failureOf(seed: number, nastiness?: 0 | 1 | 2 | 3): Promise<string | null> {
  const chosen = nastiness === undefined ? {} : { nastiness };
  const result = await runSeed({ seed, ...chosen, traced: false });
  if (result.failure === null) return null;
  const { trace } = await runSeed({ seed, ...chosen, traced: true });
  console.log((trace ?? []).slice(-LINES_SHOWN).join("\n"));
  const more = nastiness === undefined ? "" : ` --nastiness ${nastiness}`;
  return `${result.failure}\nAll of it: bun test/sim/main.ts --seed ${seed}${more}`;
}

if (ONE !== undefined) {
  test(`seed ${ONE}`, async () => expect(await failureOf(Number(ONE))).toBeNull(), TIMEOUT_MS);
} else {
  describe("what must hold, holds", () => {
    const kinds = ["in calm", "with well-behaved neighbours", "when things break", "in upheaval"];
    for (const nastiness of [0, 1, 2, 3] as const) {
      test(`${kinds[nastiness]}: ${SEEDS} seeds`, async () => {
        for (let seed = 1; seed <= SEEDS; seed++) {
          expect(await failureOf(seed, nastiness)).toBeNull();
        }
      }, TIMEOUT_MS);
    }
  });
}
