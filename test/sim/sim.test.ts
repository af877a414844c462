/**
 * Scenarios from seeds, as many as take some seconds. `SIM_SEEDS=N` runs more; a failure names the
 * command that shows all of it. For long runs see `main.ts`.
 */

import { describe, expect, test } from "bun:test";
import { replayOf, runSeed } from "./run.ts";

const KINDS = ["in calm", "with well-behaved neighbours", "when things break", "in upheaval"];
/** Of each kind. */
const SEEDS = Math.ceil(Number(process.env["SIM_SEEDS"] ?? 6_000) / KINDS.length);
const TIMEOUT_MS = 600_000;
const LINES_SHOWN = 80;

async function failureOf(seed: number, nastiness: 0 | 1 | 2 | 3): Promise<string | null> {
  const { failure } = await runSeed({ seed, nastiness, traced: false });
  if (failure === null) return null;
  const { trace } = await runSeed({ seed, nastiness, traced: true });
  console.log((trace ?? []).slice(-LINES_SHOWN).join("\n"));
  return `${failure}\nAll of it: ${replayOf(seed, nastiness)}`;
}

describe("what must hold, holds", () => {
  for (const nastiness of [0, 1, 2, 3] as const) {
    test(`${KINDS[nastiness]}: ${SEEDS} seeds`, async () => {
      for (let seed = 1; seed <= SEEDS; seed++) {
        expect(await failureOf(seed, nastiness)).toBeNull();
      }
    }, TIMEOUT_MS);
  }
});

test("a seed gives the same run each time", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const [first, second] = [
      await runSeed({ seed, nastiness: 3, traced: true }),
      await runSeed({ seed, nastiness: 3, traced: true }),
    ];
    expect(first.trace!.length).toBeGreaterThan(0);
    expect(first.trace!.join("\n") === second.trace!.join("\n")).toBeTrue();
  }
});
