/** The Huffman code, against the table as another implementation has it, bit by bit. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { asciiText } from "../../../base/bytes.ts";
import { Prng } from "../../../base/prng.ts";
import { bytesOfBits, huffman, HUFFMAN_BITS } from "../../../../test/support/hpack.ts";
import { decodeHuffman, huffmanBound, huffmanLength } from "./huffman.ts";

const END_OF_STRING = HUFFMAN_BITS[256] ?? "";

/** What it decodes to, undefined when it is refused; checks both functions and the bound. */
function decode(code: Uint8Array): string | undefined {
  const bytes = new Uint8Array(code.length + 4).fill(0x55);
  bytes.set(code, 2);
  const target = new Uint8Array(huffmanBound(code.length) + 5).fill(0xee);
  const end = decodeHuffman(bytes, 2, 2 + code.length, target, 2);
  expect(huffmanLength(bytes, 2, 2 + code.length)).toBe(end < 0 ? -1 : end - 2);
  expect([...target.subarray(0, 2), ...target.subarray(target.length - 2)]).toEqual([
    0xee,
    0xee,
    0xee,
    0xee,
  ]);
  return end < 0 ? undefined : asciiText(target, 2, end);
}

test("each byte alone and between others", () => {
  for (let byte = 0; byte < 256; byte++) {
    const text = String.fromCharCode(byte);
    expect(decode(huffman(text))).toBe(text);
    for (const around of ["0", "~", "\xff", "\n"]) {
      expect(decode(huffman(around + text + around))).toBe(around + text + around);
    }
  }
});

test("any string", () => {
  fc.assert(fc.property(fc.string({ unit: "binary-ascii", maxLength: 200 }), (text) => {
    expect(decode(huffman(text))).toBe(text);
  }));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
    const text = asciiText(bytes, 0, bytes.length);
    expect(decode(huffman(text))).toBe(text);
  }));
});

test("padding is the beginning of the end-of-string code, of less than 8 bits", () => {
  for (let byte = 0; byte < 256; byte++) {
    const bits = HUFFMAN_BITS[byte] ?? "";
    const open = (8 - bits.length % 8) % 8;
    const text = String.fromCharCode(byte);
    expect(decode(bytesOfBits(bits + "1".repeat(open)))).toBe(text);
    expect(decode(bytesOfBits(bits + "1".repeat(open + 8)))).toBeUndefined();
    expect(decode(bytesOfBits(bits + "1".repeat(open + 16)))).toBeUndefined();
    for (let zero = 0; zero < open; zero++) {
      const padding = "1".repeat(zero) + "0" + "1".repeat(open - zero - 1);
      // Some of these are other characters behind the first one, which is as it should be.
      const decoded = decode(bytesOfBits(bits + padding));
      if (decoded !== undefined) expect(huffman(decoded)).toEqual(bytesOfBits(bits + padding));
      else expect(open).toBeGreaterThan(0);
    }
  }
});

test("the end-of-string code is refused wherever it stands", () => {
  for (const before of ["", "a", "abcdefg", "\xff", "\n"]) {
    for (const behind of ["", "a", "\xff"]) {
      const bits = [...before].map((character) => HUFFMAN_BITS[character.charCodeAt(0)]).join("") +
        END_OF_STRING +
        [...behind].map((character) => HUFFMAN_BITS[character.charCodeAt(0)]).join("");
      expect(decode(bytesOfBits(bits))).toBeUndefined();
    }
  }
});

/** Decodes bit by bit, as the RFC tells it. */
function decodeSlowly(code: Uint8Array): string | undefined {
  const symbols = new Map(HUFFMAN_BITS.map((bits, symbol) => [bits, symbol]));
  let text = "";
  let open = "";
  for (const byte of code) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      open += bit;
      const symbol = symbols.get(open);
      if (symbol === undefined) continue;
      if (symbol === 256) return undefined;
      text += String.fromCharCode(symbol);
      open = "";
    }
  }
  return open.length < 8 && !open.includes("0") ? text : undefined;
}

test("any bytes are taken or refused as a decoder by bits does", () => {
  const prng = new Prng(1);
  let taken = 0;
  for (let round = 0; round < 5_000; round++) {
    const code = prng.bytes(prng.below(14));
    // Runs of ones are where long codes are.
    for (let ones = prng.below(4); ones > 0; ones--) code[prng.below(14)] = 0xff;
    const expected = decodeSlowly(code);
    if (expected !== undefined) taken++;
    expect(decode(code)).toBe(expected as string);
  }
  expect(taken).toBeGreaterThan(500);
});
