/** Equality of plain data. */

import { expect, test } from "bun:test";
import { equalValues } from "./equal.ts";

test.each<[unknown, unknown, boolean]>([
  [1, 1, true],
  [NaN, NaN, true],
  [1n, 1n, true],
  [1, "1", false],
  [null, undefined, false],
  [null, {}, false],
  [[], {}, false],
  [{}, [], false],
  [[1, [2]], [1, [2]], true],
  [[1, 2], [1], false],
  [[1], [1, 2], false],
  [{ a: { b: 1 } }, { a: { b: 1 } }, true],
  [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
  [{ a: 1 }, { a: 1, b: undefined }, true],
  [{ a: 1, b: undefined }, { a: 1 }, true],
  [{ a: 1 }, { a: 1, b: 2 }, false],
  [{ a: 1, b: 2 }, { a: 1 }, false],
  [new Map(), new Map(), false],
])("%p and %p: %p", (a, b, equal) => {
  expect(equalValues(a, b)).toBe(equal);
});
