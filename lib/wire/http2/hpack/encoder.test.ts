import { describe, expect, test } from "bun:test";
import { asciiBytes, asciiText, ByteBuffer } from "../../../base/bytes.ts";
import { RANGES_PER_HEADER, RequestHead } from "../../http/mod.ts";
import { parseRequestHead } from "../../http1/request.ts";
import {
  contentOf,
  decodeBlock,
  encodeBlock,
  type Field,
  fieldsOf,
  hex,
  join,
  literal,
  tableOf,
} from "../../../../test/support/hpack.ts";
import { fieldHash, nameHash } from "./field-hash.ts";
import { HpackDecoder, HpackEncoder, StaticIndex } from "./mod.ts";

/** Encodes the block, decodes it again, and checks that both tables are the same. Returns its bytes. */
function roundTrip(
  encoder: HpackEncoder,
  decoder: HpackDecoder,
  fields: readonly Field[],
): Uint8Array {
  const block = encodeBlock(encoder, fields);
  const { result, lines } = decodeBlock(decoder, block);
  expect(result).toBe(0);
  expect(fieldsOf(lines)).toEqual([...fields]);
  expect(tableOf(decoder.table)).toEqual(tableOf(encoder.table));
  return block;
}

describe("what enters the table", () => {
  test("a field that comes the second time, which then is one byte", () => {
    const encoder = new HpackEncoder();
    const field: Field = ["x-name", "value"];
    expect(encodeBlock(encoder, [field])).toEqual(literal("x-name", "value"));
    expect(encoder.table.count).toBe(0);
    expect(encodeBlock(encoder, [field])).toEqual(literal("x-name", "value", 0x40));
    for (let i = 0; i < 3; i++) expect(encodeBlock(encoder, [field])).toEqual(hex("be"));
    expect(encoder.table.count).toBe(1);
  });

  test("values that never repeat do not, whatever their number", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const steady: readonly Field[] = [[":path", "/a"], ["user-agent", "x"], ["x-steady", "y"]];
    for (let i = 0; i < 2_000; i++) {
      const block = roundTrip(encoder, decoder, [
        ...steady,
        ["x-request-id", `7c2d9a34-${i}-8c3b`],
        ["date", `Mon, 23 Nov 2026 09:${i}:11 GMT`],
        ["content-length", `${1_000 + i}`],
      ]);
      if (i >= 2) expect([...block.subarray(0, 3)]).toEqual([0xc0, 0xbf, 0xbe]);
    }
    expect(tableOf(encoder.table).reverse()).toEqual([":path: /a", "user-agent: x", "x-steady: y"]);
  });

  test("many fields that repeat all do, whichever places they share", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    // 39 bytes each by the RFC's count, so that the table holds them all.
    const fields = Array.from({ length: 100 }, (_, i): Field => ["n", `${100_000 + i * 7}`]);
    for (let round = 0; round < 12; round++) roundTrip(encoder, decoder, fields);
    expect(encoder.table.count).toBe(100);
    expect(roundTrip(encoder, decoder, fields).length).toBeLessThanOrEqual(200);
  });

  test("a field above a quarter of the table does not", () => {
    for (const [length, count] of [[1_024 - 33, 1], [1_024 - 32, 0]] as const) {
      const encoder = new HpackEncoder();
      for (let i = 0; i < 4; i++) encodeBlock(encoder, [["x", "y".repeat(length)]]);
      expect([length, encoder.table.count]).toEqual([length, count]);
    }
  });

  test("a field that must never be indexed does not, and is not taken from a table", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (let i = 0; i < 3; i++) {
      const block = roundTrip(encoder, decoder, [["x-token", "secret", true]]);
      expect(block).toEqual(literal("x-token", "secret", 0x10));
    }
    expect(encodeBlock(encoder, [[":method", "GET", true]])).toEqual(hex("12 03 474554"));
    for (let i = 0; i < 3; i++) roundTrip(encoder, decoder, [["x-token", "secret"]]);
    expect(encoder.table.count).toBe(1);
    expect(roundTrip(encoder, decoder, [["x-token", "secret", true]])[0]).toBe(0x10);
  });

  test("two values of one hash are kept apart", () => {
    const [first, second] = collision("x");
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    const fields: readonly Field[] = [["x", first], ["x", second]];
    for (let i = 0; i < 6; i++) roundTrip(encoder, decoder, fields);
    for (let i = 0; i < 6; i++) {
      roundTrip(encoder, decoder, [fields[i % 2]!]);
      roundTrip(encoder, decoder, [...fields].reverse());
    }
    expect(encoder.table.count).toBe(2);
  });

  test("many fields of one hash stay few, and are told apart", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    // Of a name's hash only the length and three letters count.
    const names = ["x-aa-b-cc-d", "x-ab-b-cc-d", "x-ac-b-cc-d", "x-ad-b-cc-d", "x-ae-b-cc-d"];
    const fields = names.map((name): Field => [name, "same"]);
    const hashes = names.map((name) => nameHash(asciiBytes(name), 0, name.length));
    expect(new Set(hashes).size).toBe(1);
    for (let i = 0; i < 20; i++) {
      roundTrip(encoder, decoder, fields);
      roundTrip(encoder, decoder, [fields[i % 5]!]);
    }
  });
});

/** Two values that have one hash under that name. */
function collision(name: string): [string, string] {
  const seen = new Map<number, string>();
  const hash = nameHash(asciiBytes(name), 0, name.length);
  for (let i = 0;; i++) {
    const value = `v${i.toString(36)}`;
    const key = fieldHash(hash, asciiBytes(value), 0, value.length);
    const other = seen.get(key);
    if (other !== undefined) return [other, value];
    seen.set(key, value);
  }
}

describe("names and the static table", () => {
  test("names are lowered, values are not", () => {
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    for (let i = 0; i < 4; i++) {
      for (const name of ["X-Name", "x-name", "X-NAME"]) {
        const block = encodeBlock(encoder, [[name, "Value"], ["ACCEPT", "A/B"]]);
        expect(fieldsOf(decodeBlock(decoder, block).lines)).toEqual([
          ["x-name", "Value"],
          ["accept", "A/B"],
        ]);
      }
    }
    expect(tableOf(encoder.table).sort()).toEqual(["accept: A/B", "x-name: Value"]);
    expect(tableOf(decoder.table)).toEqual(tableOf(encoder.table));
  });

  test("all 61 entries are one byte, in the first block and later", () => {
    const decoder = new HpackDecoder();
    const block = join(Array.from({ length: 61 }, (_, i) => Uint8Array.of(0x81 + i)));
    const fields: Field[] = [];
    for (const byte of block) {
      const { lines } = decodeBlock(decoder, Uint8Array.of(byte));
      fields.push(...fieldsOf(lines));
    }
    expect(fields.length).toBe(61);
    const encoder = new HpackEncoder();
    for (let i = 0; i < 3; i++) expect(encodeBlock(encoder, fields)).toEqual(block);
    expect(encoder.table.count).toBe(0);
  });

  test("a static name with the value of any other entry, or none, is what it says", () => {
    const decoder = new HpackDecoder();
    const entries: Field[] = [];
    for (let index = 1; index <= 61; index++) {
      entries.push(...fieldsOf(decodeBlock(decoder, Uint8Array.of(0x80 + index)).lines));
    }
    const names = new Set(entries.map(([name]) => name));
    const values = new Set(entries.map(([, value]) => value));
    for (const name of names) {
      for (const value of values) {
        const { lines } = decodeBlock(decoder, encodeBlock(new HpackEncoder(), [[name, value]]));
        expect(fieldsOf(lines)).toEqual([[name, value]]);
      }
    }
  });

  test("a static name with another value is an index and the value", () => {
    const encoder = new HpackEncoder();
    expect(encodeBlock(encoder, [[":path", "/x"]])).toEqual(hex("04 02 2f78"));
    expect(encodeBlock(encoder, [[":path", "/x"]])).toEqual(hex("44 02 2f78"));
    // Behind 14 the index does not fit into the four bits of a literal that is not indexed.
    expect(encodeBlock(encoder, [["www-authenticate", "x"]])).toEqual(hex("0f 2e 01 78"));
    expect(encodeBlock(encoder, [["www-authenticate", "x"]])).toEqual(hex("7d 01 78"));
  });

  test("names that share length and letters with a static one are not taken for it", () => {
    const encoder = new HpackEncoder();
    for (const name of ["hxst", "dXte", "cxxkie", ":axxhority", "0", ":"]) {
      const block = encodeBlock(encoder, [[name, "v"]]);
      expect(block).toEqual(literal(name.toLowerCase(), "v"));
    }
  });

  test("helpers", () => {
    const out = new ByteBuffer();
    const encoder = new HpackEncoder();
    const decoder = new HpackDecoder();
    encoder.indexedStatic(StaticIndex.METHOD_POST, out);
    encoder.indexedStatic(StaticIndex.SCHEME_HTTPS, out);
    encoder.indexedStatic(StaticIndex.PATH_SLASH, out);
    const block = contentOf(out);
    expect(fieldsOf(decodeBlock(decoder, block).lines)).toEqual([
      [":method", "POST"],
      [":scheme", "https"],
      [":path", "/"],
    ]);
    for (let code = 100; code <= 999; code++) {
      out.clear();
      encoder.status(code, out);
      const { lines } = decodeBlock(decoder, contentOf(out));
      expect(fieldsOf(lines)).toEqual([[":status", `${code}`]]);
    }
  });

  test("a head of HTTP/1, from its ranges", () => {
    const bytes = asciiBytes("GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Empty:\r\n\r\n");
    const head = new RequestHead();
    parseRequestHead(bytes, 0, bytes.length, head);
    const encoder = new HpackEncoder();
    const out = new ByteBuffer();
    encoder.begin(out);
    for (let i = 0; i < head.count; i++) {
      const [a = 0, b = 0, c = 0, d = 0] = head.ranges.subarray(i * RANGES_PER_HEADER);
      encoder.field(bytes, a, b, c, d, false, out);
    }
    const { lines } = decodeBlock(new HpackDecoder(), contentOf(out));
    expect(asciiText(lines.bytes, 0, lines.fieldsEnd)).toBe(
      "host: a\r\naccept: */*\r\nx-empty: \r\n",
    );
  });

  test("output is appended to what is there", () => {
    const encoder = new HpackEncoder();
    const out = new ByteBuffer();
    out.append(asciiBytes("frame"), 0, 5);
    const bytes = asciiBytes("n" + "v".repeat(300));
    encoder.field(bytes, 0, 1, 1, bytes.length, false, out);
    expect(asciiText(out.bytes, 0, 5)).toBe("frame");
    out.consume(5);
    expect(contentOf(out)).toEqual(literal("n", "v".repeat(300)));
  });
});

describe("the peer's table size", () => {
  const fields: readonly Field[] = [["a", "1"], ["b", "2"], ["c", "3"]];

  function filled(): [HpackEncoder, HpackDecoder] {
    const pair: [HpackEncoder, HpackDecoder] = [new HpackEncoder(), new HpackDecoder()];
    for (let i = 0; i < 3; i++) roundTrip(pair[0], pair[1], fields);
    expect(pair[0].table.count).toBe(3);
    return pair;
  }

  test("a change is told once, at the start of the next block", () => {
    const [encoder, decoder] = filled();
    encoder.setMaxTableBytes(68);
    expect([...roundTrip(encoder, decoder, fields).subarray(0, 2)]).toEqual([0x3f, 68 - 31]);
    expect(decoder.table.maxBytes).toBe(68);
    expect(roundTrip(encoder, decoder, fields)[0]! & 0xe0).not.toBe(0x20);
  });

  test("smaller and larger again: an empty table and the last size are told", () => {
    const [encoder, decoder] = filled();
    encoder.setMaxTableBytes(500);
    encoder.setMaxTableBytes(100);
    encoder.setMaxTableBytes(300);
    const block = roundTrip(encoder, decoder, []);
    expect(block).toEqual(hex("20 3f 8d 02"));
    expect([decoder.table.maxBytes, decoder.table.count]).toEqual([300, 0]);
  });

  test("even when it ends where it began", () => {
    const [encoder, decoder] = filled();
    encoder.setMaxTableBytes(0);
    encoder.setMaxTableBytes(2 ** 32 - 1);
    const block = roundTrip(encoder, decoder, fields);
    expect([...block.subarray(0, 4)]).toEqual([0x20, 0x3f, 0xe1, 0x1f]);
  });

  test("more than we use, or the same, is nothing to tell", () => {
    const [encoder, decoder] = filled();
    encoder.setMaxTableBytes(65_536);
    encoder.setMaxTableBytes(4_096);
    expect(roundTrip(encoder, decoder, fields)).toEqual(hex("c0 bf be"));
  });

  test("with no table all is literals or static", () => {
    const [encoder, decoder] = filled();
    encoder.setMaxTableBytes(0);
    roundTrip(encoder, decoder, []);
    for (let i = 0; i < 3; i++) {
      const block = roundTrip(encoder, decoder, [[":method", "GET"], ["x", "y"]]);
      expect(block).toEqual(join([hex("82"), literal("x", "y")]));
    }
    expect(encoder.table.bytes.length).toBe(0);
  });
});

test("a new encoder holds nothing, and static fields need nothing", () => {
  const encoder = new HpackEncoder();
  const out = new ByteBuffer();
  encoder.begin(out);
  encoder.indexedStatic(StaticIndex.METHOD_GET, out);
  encoder.status(503, out);
  expect(encoder.table.bytes.length + encoder.table.entries.length).toBe(0);
});
