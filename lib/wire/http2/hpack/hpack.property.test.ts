/** Whatever is encoded decodes to the same, whatever the peers' tables, and both tables stay equal. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { FieldLines, RANGES_PER_HEADER } from "../../http/mod.ts";
import { ByteBuffer } from "../../../base/bytes.ts";
import { ReferenceDecoder } from "../../../../test/support/hpack-reference.ts";
import {
  contentOf,
  decodeBlock,
  encodeBlock,
  type Field,
  fieldsOf,
  tableOf,
} from "../../../../test/support/hpack.ts";
import { HpackDecoder, HpackEncoder } from "./mod.ts";

const NAMES = [
  "cookie",
  "x-a",
  "x-b",
  "date",
  "te",
  "l5d-x",
  "content-length",
  "www-authenticate",
  "accept-encoding",
  "accept-language",
  "content-language",
];
const VALUES = ["", "1", "2", "same", "gzip, deflate", "v".repeat(200), "w".repeat(900)];

const token = fc.string({
  unit: fc.constantFrom(..."abcz019-_.!~^|"),
  minLength: 1,
  maxLength: 12,
});
const text = fc.array(fc.integer({ min: 0x20, max: 0xff }), { maxLength: 40 }).map((codes) =>
  String.fromCharCode(...codes).replaceAll("\x7f", "").trim()
);
const name = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...NAMES) }, token);
// `trim` also removes what is no white space in HTTP; that only makes fewer values.
const value = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...VALUES) }, text);
const never = fc.integer({ min: 0, max: 9 }).map((chance) => chance === 0);
const regular = fc.tuple(name, value, never).map(([name, value, never]): Field =>
  never ? [name, value, true] : [name, value]
);
const pseudo = fc.subarray([":method", ":scheme", ":authority", ":path"]).chain((names) =>
  fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), fc.constantFrom("GET", "/", "http"))))
);

/** A block of fields, or a size that the peer announces. */
type Step = { readonly fields: readonly Field[] } | { readonly tableBytes: number };

const block = fc.tuple(pseudo, fc.array(regular, { maxLength: 20 })).map(([first, rest]): Step => ({
  fields: [...first as Field[], ...rest],
}));
const resize = fc.oneof(
  fc.constantFrom(0, 33, 100, 300, 1_000, 4_096, 65_536),
  fc.integer({ min: 0, max: 5_000 }),
).map((tableBytes): Step => ({ tableBytes }));
const steps = fc.array(
  fc.oneof({ weight: 5, arbitrary: block }, { weight: 1, arbitrary: resize }),
  { maxLength: 30 },
);

test("blocks mean what went into them, to our decoder and to the reference", () => {
  fc.assert(fc.property(steps, (steps) => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const reference = new ReferenceDecoder();
    const lines = new FieldLines();
    for (const step of steps) {
      if ("tableBytes" in step) {
        encoder.setMaxTableBytes(step.tableBytes);
        continue;
      }
      const block = encodeBlock(encoder, step.fields);
      expect(decodeBlock(decoder, block, lines).result).toBe(0);
      expect([lines.malformed, lines.tooLarge]).toEqual([false, false]);
      expect(fieldsOf(lines)).toEqual([...step.fields]);
      expect(reference.decode(block).fields).toEqual([...step.fields]);
      expect(tableOf(decoder.table)).toEqual(tableOf(encoder.table));
      expect(decoder.table.size).toBe(encoder.table.size);
      expect(decoder.table.maxBytes).toBe(encoder.table.maxBytes);
    }
  }));
});

/** Encodes decoded lines again, as a proxy does. */
function forward(encoder: HpackEncoder, lines: FieldLines): Uint8Array {
  const out = new ByteBuffer();
  encoder.begin(out);
  for (let i = 0; i < lines.count; i++) {
    const [a = 0, b = 0, c = 0, d = 0] = lines.ranges.subarray(i * RANGES_PER_HEADER);
    encoder.field(lines.bytes, a, b, c, d, lines.isNeverIndexed(i), out);
  }
  return contentOf(out);
}

test("a list in any split into blocks, through two hops, is the same list", () => {
  const split = fc.tuple(fc.array(regular, { maxLength: 60 }), fc.array(fc.nat({ max: 8 })));
  fc.assert(fc.property(split, ([fields, lengths]) => {
    const first = new HpackEncoder();
    const middle = new HpackDecoder();
    const second = new HpackEncoder();
    const last = new HpackDecoder();
    const arrived: Field[] = [];
    const lines = new FieldLines();
    for (let at = 0; at < fields.length;) {
      const length = lengths.shift() ?? 9;
      const block = encodeBlock(first, fields.slice(at, at + length));
      at += length;
      expect(decodeBlock(middle, block, lines).result).toBe(0);
      expect(decodeBlock(last, forward(second, lines), lines).result).toBe(0);
      arrived.push(...fieldsOf(lines));
    }
    expect(arrived).toEqual(fields);
    expect(tableOf(last.table)).toEqual(tableOf(second.table));
  }));
});
