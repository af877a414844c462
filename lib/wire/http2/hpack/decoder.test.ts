import { describe, expect, test } from "bun:test";
import {
  HEADER_COUNT_MAX,
  HEADER_LIST_BYTES_MAX,
  HEADERS_ADDED_MAX,
} from "../../../base/limits.ts";
import {
  decodeBlock,
  fieldsOf,
  hex,
  integer,
  join,
  literal,
  sizeUpdate,
  tableOf,
} from "../../../../test/support/hpack.ts";
import { FieldLines } from "../../http/field-lines.ts";
import {
  CONNECTION_NAMES,
  FieldName,
  NAME_CODE,
  NEVER_INDEXED,
  PSEUDO_NAMES,
} from "../../http/field-name.ts";
import { HpackDecoder, HpackReason, hpackReasonName } from "./mod.ts";

function resultOf(block: string | Uint8Array): number {
  const bytes = typeof block === "string" ? hex(block) : block;
  return decodeBlock(new HpackDecoder(), bytes).result;
}

/** The lines of one block of a new decoder, which must be good. */
function linesOf(...parts: readonly Uint8Array[]): FieldLines {
  const { result, lines } = decodeBlock(new HpackDecoder(), join(parts));
  expect(result).toBe(0);
  return lines;
}

describe("errors of the connection", () => {
  test.each([
    ["BAD_INDEX", "80", "index 0"],
    ["BAD_INDEX", "be", "the dynamic table's first entry when it is empty"],
    ["BAD_INDEX", "ff 00", "the same"],
    ["BAD_INDEX", "ff ff ff 7f", "an index far behind"],
    ["BAD_INDEX", "7e 00", "a name behind the table"],
    ["BAD_INDEX", "0f 2f 00", "a name behind the table in a literal without indexing"],
    ["INTEGER_TOO_LARGE", "ff ff ff ff ff 7f", "an index"],
    ["INTEGER_TOO_LARGE", "ff 80 80 80 80 00", "an index padded with zeros"],
    ["INTEGER_TOO_LARGE", "40 7f ff ff ff ff 0f", "a name's length"],
    ["INTEGER_TOO_LARGE", "42 ff ff ff ff ff 0f", "a value's length"],
    ["INTEGER_TOO_LARGE", "3f ff ff ff ff 7f", "a table size"],
    ["TABLE_TOO_LARGE", "3f e2 1f", "4097 bytes"],
    ["TABLE_TOO_LARGE", "20 3f e2 1f", "the second update"],
    ["LATE_SIZE_UPDATE", "82 20", "behind an indexed field"],
    ["LATE_SIZE_UPDATE", "3f e1 1f 42 01 61 3f e1 1f", "behind a literal"],
    ["TRUNCATED", "ff", "within an index"],
    ["TRUNCATED", "ff 80", "within a longer index"],
    ["TRUNCATED", "3f", "within a table size"],
    ["TRUNCATED", "40", "before a name"],
    ["TRUNCATED", "40 01", "before a name's bytes"],
    ["TRUNCATED", "40 01 61", "before a value"],
    ["TRUNCATED", "40 01 61 02 62", "within a value"],
    ["TRUNCATED", "42 ff ff ff 7f 61", "a value longer than all there is"],
    ["BAD_HUFFMAN", "42 81 00", "padding of zeros behind a character"],
    ["BAD_HUFFMAN", "42 81 ff", "eight bits of padding"],
    ["BAD_HUFFMAN", "42 82 1f ff", "eleven bits of padding"],
    ["BAD_HUFFMAN", "42 84 ff ff ff ff", "the end-of-string code"],
    ["BAD_HUFFMAN", "42 85 1f ff ff ff ff", "the end-of-string code behind a character"],
    ["BAD_HUFFMAN", "00 81 00 00", "a name"],
  ])("%s: %s (%s)", (reason, block) => {
    const code = HpackReason[reason as keyof typeof HpackReason];
    expect(hpackReasonName(resultOf(block as string))).toBe(hpackReasonName(code));
    expect(resultOf(block as string)).toBe(-code);
  });

  test("a block cut at any byte between two fields is truncated", () => {
    const block = join([literal("cookie", "a=b", 0x40), literal("x-longer-name", "y".repeat(300))]);
    const whole = literal("cookie", "a=b", 0x40).length;
    for (let end = 1; end < block.length; end++) {
      const expected = end === whole ? 0 : -HpackReason.TRUNCATED;
      expect([end, resultOf(block.slice(0, end))]).toEqual([end, expected]);
    }
  });

  test("a decoder's table is not below what peers begin with", () => {
    expect(() => new HpackDecoder(4_095)).toThrow("4096");
    expect(decodeBlock(new HpackDecoder(8_192), sizeUpdate(8_192)).result).toBe(0);
    expect(decodeBlock(new HpackDecoder(8_192), sizeUpdate(8_193)).result).toBe(
      -HpackReason.TABLE_TOO_LARGE,
    );
  });
});

describe("malformed fields are left out, and the table stays right", () => {
  test.each([
    ["an upper-case letter", "X-a", "1"],
    ["a space in a name", "x a", "1"],
    ["a colon in a name", "x:a", "1"],
    ["a line end in a name", "x\r\ny", "1"],
    ["a byte above ASCII in a name", "x\xe9", "1"],
    ["no name", "", "1"],
    ["an unknown pseudo header", ":proto", "1"],
    ["a colon alone", ":", "1"],
    ["a pseudo header in upper case", ":PATH", "/"],
    ["a CR", "x", "a\rb"],
    ["a LF", "x", "a\nb"],
    ["a NUL", "x", "a\0b"],
    ["a control byte", "x", "a\x7fb"],
    ["a leading space", "x", " a"],
    ["a trailing tab", "x", "a\t"],
    ["only a space", "x", " "],
  ])("%s", (_title, name, value) => {
    for (const first of [0x00, 0x10, 0x40]) {
      const decoder = new HpackDecoder();
      const block = join([literal(name, value, first), literal("after", "1")]);
      const { result, lines } = decodeBlock(decoder, block);
      expect(result).toBe(0);
      expect(lines.malformed).toBe(true);
      expect(fieldsOf(lines)).toEqual([["after", "1"]]);
      expect(tableOf(decoder.table)).toEqual(first === 0x40 ? [`${name}: ${value}`] : []);
      if (first !== 0x40) continue;
      const again = decodeBlock(decoder, hex("be"));
      expect([again.result, again.lines.malformed, again.lines.count]).toEqual([0, true, 0]);
    }
  });

  test("what a value may hold", () => {
    for (const value of ["", "a b\tc", "\xe4\xff", "!~"]) {
      const lines = linesOf(literal("x", value));
      expect(lines.malformed).toBe(false);
      expect(fieldsOf(lines)).toEqual([["x", value]]);
    }
  });

  test("a good name of an entry with a bad value may be used, a bad name of a good value not", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, join([literal("good", "\n", 0x40), literal("BAD", "x", 0x40)]));
    const good = decodeBlock(decoder, hex("7f 00 01 61")).lines;
    expect([good.malformed, fieldsOf(good)]).toEqual([false, [["good", "a"]]]);
    const bad = decodeBlock(decoder, hex("7f 00 01 61")).lines;
    expect([bad.malformed, fieldsOf(bad)]).toEqual([true, []]);
  });

  test("pseudo headers: each once, and before all others", () => {
    const path = literal(":path", "/a");
    expect(linesOf(path).malformed).toBe(false);
    expect(linesOf(path, hex("84")).malformed).toBe(true);
    const late = linesOf(literal("x", "1"), path);
    expect([late.malformed, fieldsOf(late)]).toEqual([true, [["x", "1"]]]);
    const lateIndexed = linesOf(literal("x", "1"), hex("82"));
    expect([lateIndexed.malformed, lateIndexed.seen & PSEUDO_NAMES]).toEqual([true, 0]);
  });

  test("a malformed field is not what makes a pseudo header late", () => {
    const lines = linesOf(literal("X", "1"), literal(":path", "/"));
    expect(fieldsOf(lines)).toEqual([[":path", "/"]]);
  });
});

describe("what is told of the fields", () => {
  test("each name's code, from literals and from tables", () => {
    const names: readonly (readonly [string, FieldName])[] = [
      [":method", FieldName.METHOD],
      [":scheme", FieldName.SCHEME],
      [":authority", FieldName.AUTHORITY],
      [":path", FieldName.PATH],
      [":status", FieldName.STATUS],
      ["content-length", FieldName.CONTENT_LENGTH],
      ["te", FieldName.TE],
      ["connection", FieldName.CONNECTION],
      ["proxy-connection", FieldName.PROXY_CONNECTION],
      ["keep-alive", FieldName.KEEP_ALIVE],
      ["transfer-encoding", FieldName.TRANSFER_ENCODING],
      ["upgrade", FieldName.UPGRADE],
      ["host", FieldName.HOST],
      ["expect", FieldName.EXPECT],
      ["cookie", FieldName.COOKIE],
      ["grpc-status", FieldName.GRPC_STATUS],
      ["content-type", FieldName.CONTENT_TYPE],
      ["l5d-dst-canonical", FieldName.CANONICAL_DST],
      ["l5d-client-id", FieldName.MESH],
      ["grpc-timeout", FieldName.GRPC_TIMEOUT],
      ["l5d-", FieldName.OTHER],
      ["l5d_x", FieldName.OTHER],
      ["t", FieldName.OTHER],
      ["content-lengtj", FieldName.OTHER],
    ];
    expect(new Set(names.map(([, code]) => code)).size).toBe(Object.keys(FieldName).length);
    const decoder = new HpackDecoder();
    for (const [name, code] of names) {
      const { lines } = decodeBlock(decoder, literal(name, "1", 0x40));
      expect([name, lines.malformed, lines.marks[0]]).toEqual([name, false, code]);
      expect(lines.seen).toBe(1 << code);
      expect(decodeBlock(decoder, hex("be")).lines.marks[0]).toBe(code);
      expect(decodeBlock(decoder, hex("0f 2f 01 32")).lines.marks[0]).toBe(code);
    }
  });

  test("the names of the static table", () => {
    const lines = linesOf(hex("8e 9c a3 a0 a6 b9"));
    expect([...lines.marks.slice(0, lines.count)]).toEqual([
      FieldName.STATUS,
      FieldName.CONTENT_LENGTH,
      FieldName.EXPECT,
      FieldName.COOKIE,
      FieldName.HOST,
      FieldName.TRANSFER_ENCODING,
    ]);
    expect(lines.seen & CONNECTION_NAMES).toBe(1 << FieldName.TRANSFER_ENCODING);
  });

  test("never indexed", () => {
    const lines = linesOf(literal("cookie", "a", 0x10), literal("cookie", "b", 0x00));
    expect(lines.marks[0]).toBe(FieldName.COOKIE | NEVER_INDEXED);
    expect(lines.marks[1]).toBe(FieldName.COOKIE);
    expect(lines.marks[0]! & NAME_CODE).toBe(FieldName.COOKIE);
  });

  test("where the regular fields begin", () => {
    const pseudo = ":method: GET\r\n:path: /\r\n".length;
    expect(linesOf(hex("82 84"), literal("a", "b")).fieldsStart).toBe(pseudo);
    expect(linesOf(hex("82 84")).fieldsStart).toBe(pseudo);
    expect(linesOf(literal("a", "b")).fieldsStart).toBe(0);
    expect(linesOf().fieldsStart).toBe(0);
  });

  test("an object is reused without a trace", () => {
    const lines = new FieldLines();
    const decoder = new HpackDecoder();
    const block = join([hex("82"), literal("X", "y"), literal("te", "trailers", 0x40)]);
    decodeBlock(decoder, block, lines);
    decodeBlock(decoder, hex("be"), lines);
    expect(fieldsOf(lines)).toEqual([["te", "trailers"]]);
    expect([lines.malformed, lines.seen, lines.fieldsStart, lines.listBytes]).toEqual([
      false,
      1 << FieldName.TE,
      0,
      2 + 8 + 32,
    ]);
  });
});

describe("the table's size", () => {
  test("a smaller size evicts, and a block may change it twice", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, join([literal("a", "1", 0x40), literal("b", "2", 0x40)]));
    expect(decodeBlock(decoder, sizeUpdate(34)).result).toBe(0);
    expect(tableOf(decoder.table)).toEqual(["b: 2"]);
    expect(decodeBlock(decoder, join([sizeUpdate(0), sizeUpdate(4_096)])).result).toBe(0);
    expect([decoder.table.count, decoder.table.size]).toEqual([0, 0]);
    expect(decodeBlock(decoder, literal("c", "3", 0x40)).result).toBe(0);
    expect(tableOf(decoder.table)).toEqual(["c: 3"]);
  });

  test("an entry as large as the table empties it and stays, a larger one does not", () => {
    for (const [length, kept] of [[4_096 - 33, 1], [4_096 - 32, 0]] as const) {
      const decoder = new HpackDecoder();
      decodeBlock(decoder, literal("a", "1", 0x40));
      const { result, lines } = decodeBlock(decoder, literal("x", "y".repeat(length), 0x40));
      expect([result, lines.count, decoder.table.count]).toEqual([0, 1, kept]);
    }
  });

  test("the name of an entry that the new one evicts is still the name", () => {
    const decoder = new HpackDecoder();
    decodeBlock(decoder, join([sizeUpdate(64), literal("name", "1", 0x40)]));
    const { lines } = decodeBlock(decoder, hex("7e 05 68656c6c6f"));
    expect(fieldsOf(lines)).toEqual([["name", "hello"]]);
    expect(tableOf(decoder.table)).toEqual(["name: hello"]);
  });
});

describe("too much", () => {
  test("a list up to the limit is taken, one byte more is not", () => {
    const value = HEADER_LIST_BYTES_MAX - 32 - 1;
    const good = linesOf(literal("x", "y".repeat(value)));
    expect([good.tooLarge, good.count, good.listBytes]).toEqual([false, 1, HEADER_LIST_BYTES_MAX]);
    const bad = linesOf(literal("x", "y".repeat(value + 1)), literal("a", "b"));
    expect([bad.tooLarge, bad.count, bad.malformed]).toEqual([true, 0, false]);
  });

  test("as many fields as an HTTP/1 head may have, what proxies add, and the pseudo headers", () => {
    const pseudo = hex("82 84 86 81");
    const count = HEADER_COUNT_MAX + HEADERS_ADDED_MAX;
    const regular = Array.from({ length: count }, () => literal("x", ""));
    expect(linesOf(pseudo, ...regular).tooLarge).toBe(false);
    expect(linesOf(pseudo, ...regular, literal("y", "")).tooLarge).toBe(true);
  });

  test("the table learns on when the list is too large", () => {
    const decoder = new HpackDecoder();
    const block = join([
      literal("x", "y".repeat(HEADER_LIST_BYTES_MAX)),
      literal("kept", "1", 0x40),
      literal("huge", "z".repeat(5_000), 0x40),
      literal("after", "2", 0x40),
    ]);
    const { result, lines } = decodeBlock(decoder, block);
    expect([result, lines.tooLarge, lines.count]).toEqual([0, true, 0]);
    expect(tableOf(decoder.table)).toEqual(["after: 2"]);
    expect(decodeBlock(decoder, hex("be 80")).result).toBe(-HpackReason.BAD_INDEX);
  });

  test("mistakes are found in what nobody stores", () => {
    const huge = literal("x", "y".repeat(HEADER_LIST_BYTES_MAX));
    expect(resultOf(join([huge, hex("42 81 00")]))).toBe(-HpackReason.BAD_HUFFMAN);
    expect(resultOf(join([huge, hex("00 81 00 00")]))).toBe(-HpackReason.BAD_HUFFMAN);
    expect(resultOf(join([huge, hex("42 05")]))).toBe(-HpackReason.TRUNCATED);
    expect(resultOf(join([huge, hex("c0")]))).toBe(-HpackReason.BAD_INDEX);
  });

  test("a Huffman string that might be too long is measured, not guessed", () => {
    // `0` has 5 bits: 8 of them in 5 bytes of zeros.
    const fits = Math.floor((HEADER_LIST_BYTES_MAX - 33) / 8);
    for (const [groups, tooLarge] of [[fits, false], [fits + 1, true]] as const) {
      const string = new Uint8Array(groups * 5);
      const block = join([hex("00 01 78"), integer(0x80, 0x7f, string.length), string]);
      const lines = linesOf(block);
      expect([groups, lines.tooLarge]).toEqual([groups, tooLarge]);
      expect(lines.listBytes).toBe(tooLarge ? 0 : groups * 8 + 33);
    }
    // A character of 30 bits: far longer encoded than decoded.
    const long = new Uint8Array(HEADER_LIST_BYTES_MAX).fill(0xff);
    expect(resultOf(join([hex("00 01 78"), integer(0x80, 0x7f, long.length), long]))).toBe(
      -HpackReason.BAD_HUFFMAN,
    );
  });

  test("a large entry named ten thousand times costs no memory", () => {
    const decoder = new HpackDecoder();
    const bomb = join([
      literal("x", "y".repeat(4_000), 0x40),
      new Uint8Array(10_000).fill(0xbe),
    ]);
    const lines = new FieldLines();
    expect(decodeBlock(decoder, bomb, lines).result).toBe(0);
    expect([lines.tooLarge, lines.count]).toEqual([true, 20]);
    expect(lines.listBytes).toBeLessThan(HEADER_LIST_BYTES_MAX + 4_096);
    expect(lines.bytes.length).toBeLessThanOrEqual(2 * HEADER_LIST_BYTES_MAX);
    expect(decoder.table.bytes.length).toBeLessThanOrEqual(2 * 4_096);
    // The memory is given back by the next block.
    decodeBlock(decoder, hex("82"), lines);
    expect(lines.bytes.length).toBeLessThanOrEqual(4_096);
  });
});

describe("memory", () => {
  test("a new decoder and new lines hold nothing, and a table of little takes little", () => {
    const decoder = new HpackDecoder();
    const lines = new FieldLines();
    const held = () => decoder.table.bytes.length + decoder.table.entries.byteLength;
    expect([held(), lines.bytes.length, lines.ranges.length, lines.marks.length]).toEqual([
      0,
      0,
      0,
      0,
    ]);
    decodeBlock(decoder, literal("a", "1", 0x40), lines);
    expect(held()).toBeLessThanOrEqual(384);
    for (let i = 0; i < 10_000; i++) decodeBlock(decoder, literal("", `${i}`, 0x40), lines);
    expect(held()).toBeLessThanOrEqual(2 * 4_096 + 128 * 16);
    decodeBlock(decoder, sizeUpdate(0), lines);
    expect(held()).toBe(0);
  });
});
