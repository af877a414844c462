/** A bounded fuzz run of whole sessions; a failure names its seed, and `test/fuzz/main.ts` runs for longer. */

import { expect, test } from "bun:test";
import { seedOf } from "../../../test/support/fuzz.ts";
import { fuzzSession } from "../../../test/support/http2-fuzz.ts";

const RUNS = 400;

test("sessions of both roles keep the rules whatever comes", () => {
  for (let seed = seedOf(1); seed <= seedOf(RUNS); seed++) {
    expect([seed, outcome(seed)]).toEqual([seed, "good"]);
  }
});

function outcome(seed: number): string {
  try {
    fuzzSession(seed);
    return "good";
  } catch (error) {
    return error instanceof Error ? error.stack ?? error.message : String(error);
  }
}
