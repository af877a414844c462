/** Header blocks for tests: hex in, lists of names and values out, and the tables' contents as text. */

import { asciiBytes, asciiText, ByteBuffer } from "../../lib/base/bytes.ts";
import { HUFFMAN_CODES } from "../fixtures/hpack-blocks.ts";
import { FieldLines, RANGES_PER_HEADER } from "../../lib/wire/http/mod.ts";
import {
  type DynamicTable,
  ENTRY_LENGTH,
  ENTRY_START,
} from "../../lib/wire/http2/hpack/dynamic-table.ts";
import type { HpackDecoder, HpackEncoder } from "../../lib/wire/http2/hpack/mod.ts";

/** Name, value, and whether it is never indexed. Characters are bytes. */
export type Field = readonly [name: string, value: string, neverIndexed?: boolean];

/** Bytes from hex digits, between which spaces may stand. */
export function hex(digits: string): Uint8Array {
  const pairs = digits.replaceAll(/\s/g, "").match(/../g) ?? [];
  return Uint8Array.from(pairs, (pair) => parseInt(pair, 16));
}

/** The fields as they stand in `ranges`, after a check that lines and ranges agree. */
export function fieldsOf(lines: FieldLines): Field[] {
  const fields: Field[] = [];
  let whole = "";
  for (let i = 0; i < lines.count; i++) {
    const [a = 0, b = 0, c = 0, d = 0] = lines.ranges.subarray(i * RANGES_PER_HEADER);
    const name = asciiText(lines.bytes, a, b);
    const value = asciiText(lines.bytes, c, d);
    whole += `${name}: ${value}\r\n`;
    fields.push(lines.isNeverIndexed(i) ? [name, value, true] : [name, value]);
  }
  if (asciiText(lines.bytes, 0, lines.fieldsEnd) !== whole) {
    throw new Error("lines and ranges disagree");
  }
  return fields;
}

/** Decodes a block that stands in the middle of an array; the lines are the caller's to look at. */
export function decodeBlock(
  decoder: HpackDecoder,
  block: Uint8Array,
  lines: FieldLines = new FieldLines(),
): { readonly result: number; readonly lines: FieldLines } {
  const bytes = new Uint8Array(block.length + 7).fill(0xff);
  bytes.set(block, 3);
  lines.resetFields();
  return { result: decoder.decode(bytes, 3, 3 + block.length, lines), lines };
}

/** Encodes the fields as one block. */
export function encodeBlock(encoder: HpackEncoder, fields: readonly Field[]): Uint8Array {
  const out = new ByteBuffer();
  encoder.begin(out);
  for (const [name, value, never = false] of fields) {
    const bytes = asciiBytes(`?${name}:${value}`);
    const nameEnd = 1 + name.length;
    encoder.field(bytes, 1, nameEnd, nameEnd + 1, bytes.length, never, out);
  }
  return contentOf(out);
}

/** A copy of what the buffer holds. */
export function contentOf(out: ByteBuffer): Uint8Array {
  return out.bytes.slice(out.start, out.end);
}

/** The lines of a table, the newest first. */
export function tableOf(table: DynamicTable): string[] {
  const lines: string[] = [];
  for (let age = 0; age < table.count; age++) {
    const entry = table.at(age);
    const start = table.entries[entry + ENTRY_START]!;
    lines.push(asciiText(table.bytes, start, start + table.entries[entry + ENTRY_LENGTH]!));
  }
  return lines;
}

/** An integer behind the bits of `first`, whose prefix is full at `prefix` (RFC 7541 §5.1). */
export function integer(first: number, prefix: number, value: number): Uint8Array {
  if (value < prefix) return Uint8Array.of(first | value);
  const bytes = [first | prefix];
  let rest = value - prefix;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(rest % 128 + 128);
  return Uint8Array.from([...bytes, rest]);
}

/** A literal with a new name; `first` 0x40 indexes it, 0x10 forbids that. */
export function literal(name: string, value: string, first = 0): Uint8Array {
  return join([
    Uint8Array.of(first),
    integer(0, 0x7f, name.length),
    asciiBytes(name),
    integer(0, 0x7f, value.length),
    asciiBytes(value),
  ]);
}

/** A change of the table's size. */
export function sizeUpdate(bytes: number): Uint8Array {
  return integer(0x20, 0x1f, bytes);
}

/** The parts one after another. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The bits of each byte's Huffman code as text of 0 and 1; at last those of the end of a string. */
export const HUFFMAN_BITS: readonly string[] = HUFFMAN_CODES.map((entry) => {
  const [code = "", length = ""] = entry.split("/");
  return parseInt(code, 16).toString(2).padStart(Number(length), "0");
});

/** Bits, padded with ones, as bytes. */
export function bytesOfBits(bits: string): Uint8Array {
  const padded = bits.padEnd(Math.ceil(bits.length / 8) * 8, "1");
  return Uint8Array.from(padded.match(/.{8}/g) ?? [], (byte) => parseInt(byte, 2));
}

/** The string in Huffman code. */
export function huffman(text: string): Uint8Array {
  return bytesOfBits(Array.from(asciiBytes(text), (byte) => HUFFMAN_BITS[byte]).join(""));
}

/** A literal with a new name, both strings in Huffman code. */
export function huffmanLiteral(name: string, value: string, first = 0): Uint8Array {
  const strings = [huffman(name), huffman(value)];
  return join([
    Uint8Array.of(first),
    ...strings.flatMap((string) => [integer(0x80, 0x7f, string.length), string]),
  ]);
}
