import { expect, test } from "bun:test";
import { Spares } from "./spares.ts";

test("what was given back is used again, up to so many", () => {
  let made = 0;
  const spares = new Spares(2, () => ({ number: ++made }));
  const taken = [spares.take(), spares.take(), spares.take()];
  expect(taken.map(({ number }) => number)).toEqual([1, 2, 3]);
  for (const one of taken) spares.giveBack(one);
  const again = [spares.take(), spares.take(), spares.take()];
  expect(again.map(({ number }) => number)).toEqual([2, 1, 4]);
});
