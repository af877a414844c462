import { expect, test } from "bun:test";
import * as limits from "./limits.ts";

test("every limit is a positive integer", () => {
  for (const [name, value] of Object.entries(limits)) {
    expect([name, Number.isSafeInteger(value) && value > 0]).toEqual([name, true]);
  }
});
