/** How many cores the contract's variables ask for. */

import { expect, test } from "bun:test";
import { type CoreLimits, coresOf } from "./cores.ts";

const NOTHING: CoreLimits = {
  cores: 1,
  coresMin: undefined,
  coresMax: undefined,
  coresMaxRatio: undefined,
};

test.each<[string, Partial<CoreLimits>, number, number]>([
  ["nothing set: one", {}, 8, 1],
  ["a number", { cores: 3 }, 8, 3],
  ["never more than there are", { cores: 16 }, 4, 4],
  ["the lower bound stands before the number", { cores: 3, coresMin: 2 }, 8, 2],
  ["the upper bound is what is used", { coresMax: 4 }, 8, 4],
  ["a lower bound above the upper one wins", { coresMin: 4, coresMax: 2 }, 8, 4],
  ["a share of the machine", { coresMaxRatio: 0.5 }, 10, 5],
  ["a share is rounded, but not to nothing", { coresMaxRatio: 0.01 }, 10, 1],
  ["the number of an upper bound stands before a share", { coresMax: 2, coresMaxRatio: 1 }, 8, 2],
])("%s", (_, limits, available, expected) => {
  expect(coresOf({ ...NOTHING, ...limits }, available)).toBe(expected);
});
