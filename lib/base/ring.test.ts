import { expect, test } from "bun:test";
import fc from "fast-check";
import { Ring } from "./ring.ts";

test("a ring does what an array does, through any mix of operations", () => {
  const operation = fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("push"), value: fc.nat(9) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant("shift"), value: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("pop"), value: fc.nat(9) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove"), value: fc.nat(9) }) },
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200 }), (operations) => {
      const ring = new Ring<number>(2);
      const model: number[] = [];
      for (const { kind, value } of operations) {
        if (kind === "push") {
          ring.push(value);
          model.push(value);
        } else if (kind === "shift") expect(ring.take()).toBe(model.shift());
        else if (kind === "pop") expect(ring.pop()).toBe(model.pop());
        else {
          const index = model.indexOf(value);
          expect(ring.remove(value)).toBe(index >= 0);
          if (index >= 0) model.splice(index, 1);
        }
        expect(ring.length).toBe(model.length);
        expect(ring.peek()).toBe(model[0]);
      }
      expect(model.map((_, index) => ring.at(index))).toEqual(model);
      expect(ring.at(model.length)).toBe(undefined);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test("a cleared ring is empty and usable", () => {
  const ring = new Ring<number>(2);
  for (let i = 0; i < 5; i++) ring.push(i);
  ring.clear();
  expect(ring.take()).toBe(undefined);
  ring.push(7);
  expect(ring.peek()).toBe(7);
  expect(ring.length).toBe(1);
});
