import { expect, test } from "bun:test";
import fc from "fast-check";
import { Http2Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

function stream(id: number): Http2Stream<null> {
  return new Http2Stream<null>(id, null, 0, 0);
}

test("streams that come and go are found as in a Map", () => {
  const step = fc.record({
    id: fc.integer({ min: 0, max: 40 }).map((n) => 2 * n + 1),
    /** Far ids stand at the places of near ones. */
    far: fc.constantFrom(0, 64, 1_024, 2 ** 20),
    isGone: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
    const table = new StreamTable<null>();
    const model = new Map<number, Http2Stream<null>>();
    for (const { id: near, far, isGone } of steps) {
      const id = near + 2 * far;
      if (isGone) {
        table.delete(id);
        model.delete(id);
      } else if (!model.has(id)) {
        const made = stream(id);
        table.add(made);
        model.set(id, made);
      }
      expect(table.size).toBe(model.size);
      expect(table.get(id)).toBe(model.get(id)!);
    }
    for (const [id, made] of model) expect(table.get(id)).toBe(made);
    expect(new Set(table.values())).toEqual(new Set(model.values()));
  }));
});

test("a thousand streams at a time, ten thousand after another", () => {
  const table = new StreamTable<null>();
  for (let i = 0; i < 11_000; i++) {
    if (i < 10_000) table.add(stream(2 * i + 1));
    if (i >= 1_000) table.delete(2 * (i - 1_000) + 1);
    expect(table.size).toBe(Math.min(i + 1, 10_000) - Math.max(0, i - 999));
  }
  expect(table.values()).toEqual([]);
  expect(table.get(1)).toBeUndefined();
});
