import { expect, test } from "bun:test";
import { asciiBytes } from "../../../base/bytes.ts";
import { Prng } from "../../../base/prng.ts";
import {
  decodeBlock,
  encodeBlock,
  type Field,
  fieldsOf,
  tableOf,
} from "../../../../test/support/hpack.ts";
import { DynamicTable, ENTRY_TAG } from "./dynamic-table.ts";
import { HpackDecoder, HpackEncoder } from "./mod.ts";

function insert(table: DynamicTable, name: string, value: string, tag: number): number {
  const bytes = asciiBytes(name + value);
  return table.insert(bytes, 0, name.length, name.length, bytes.length, tag);
}

test("entries are found by age, with their tags, as in a list, through all sizes", () => {
  const prng = new Prng(1);
  for (const maxBytes of [0, 32, 100, 1_000, 4_096]) {
    const table = new DynamicTable(maxBytes);
    let model: [line: string, size: number, tag: number][] = [];
    for (let i = 0; i < 3_000; i++) {
      const name = "n".repeat(prng.below(8));
      const value = `${i}`.repeat(prng.below(prng.chance(0.1) ? 80 : 8));
      const size = name.length + value.length + 32;
      const entry = insert(table, name, value, i);
      model = [[`${name}: ${value}`, size, i], ...model];
      let sum = 0;
      model = model.filter((kept) => (sum += kept[1]) <= maxBytes);
      expect(entry >= 0).toBe(size <= maxBytes);
      expect(tableOf(table)).toEqual(model.map(([line]) => line));
      expect(table.size).toBe(model.reduce((total, [, bytes]) => total + bytes, 0));
      model.forEach(([, , tag], age) => {
        expect(table.entries[table.at(age) + ENTRY_TAG]).toBe(tag);
      });
      expect(table.at(model.length)).toBe(-1);
      expect(table.bytes.length).toBeLessThanOrEqual(2 * maxBytes);
    }
  }
});

test("a serial number tells an entry's age, and that it is gone", () => {
  const table = new DynamicTable(100);
  expect(table.at(table.age(0))).toBe(-1);
  insert(table, "a", "1", 0);
  const serial = table.inserted;
  expect(table.age(serial)).toBe(0);
  insert(table, "b", "2", 0);
  expect(table.age(serial)).toBe(1);
  insert(table, "c", "3", 0);
  expect(table.at(table.age(serial))).toBe(-1);
});

test.each([2 ** 31 - 70, -70])("the count of insertions may pass its end, from %s", (inserted) => {
  const encoder = new HpackEncoder();
  const decoder = new HpackDecoder();
  encoder.table.inserted = inserted;
  decoder.table.inserted = inserted;
  const steady: readonly Field[] = [[":method", "GET"], ["x-steady", "value"], ["accept", "*/*"]];
  for (let i = 0; i < 300; i++) {
    // Each value comes three times, so that insertions go on and push others out.
    const fields: readonly Field[] = [...steady, ["x-turn", `${Math.floor(i / 3)}`.repeat(60)]];
    const { result, lines } = decodeBlock(decoder, encodeBlock(encoder, fields));
    expect(result).toBe(0);
    expect(fieldsOf(lines)).toEqual([...fields]);
    expect(tableOf(decoder.table)).toEqual(tableOf(encoder.table));
  }
  expect((encoder.table.inserted - inserted) | 0).toBeGreaterThan(100);
});
