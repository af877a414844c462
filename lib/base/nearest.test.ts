/** Suggestions for mistyped words. */

import { expect, test } from "bun:test";
import { editDistance, nearest } from "./nearest.ts";

test.each([
  ["kitten", "sitting", 3],
  ["", "abc", 3],
  ["abc", "", 3],
  ["same", "same", 0],
  ["ab", "ba", 2],
])("distance of %s and %s", (source: string | number, target: string | number, expected) => {
  expect(editDistance(String(source), String(target))).toBe(Number(expected));
});

test.each([
  ["log-lvel", "log-level"],
  ["LOG-LEVEL", "log-level"],
  ["timeout", "time-out"],
  ["quite-another", undefined],
  ["x", undefined],
  ["dz", "ds"],
  ["dxy", undefined],
  ["", undefined],
])("%s means %s", (word: string | undefined, expected) => {
  expect(nearest(word ?? "", ["log-level", "time-out", "ds"])).toBe(expected);
});
