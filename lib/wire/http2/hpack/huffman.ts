// hot
/**
 * Decodes HPACK's Huffman code (RFC 7541 appendix B). It is canonical, so the lengths alone make it:
 * codes of up to 12 bits, which all common characters have, are looked up, two at once where both are
 * that short together; longer ones are found by comparing with the first code of each length. Strict about padding and the end-of-string code.
 */

import { assert } from "../../../base/assert.ts";

/** Length of the code of each byte in base 36, and of the end-of-string code at last. */
const LENGTHS = "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca" +
  "d67777777777777777777777878djde6f56565666577666567655677777fbeds" +
  "kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn" +
  "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrq" +
  "u";

const END_OF_STRING = 256;
/** Bits looked up at once. */
const SHORT_BITS = 12;
const LONGEST = 30;

/**
 * By the next 12 bits: one or two bytes and the lengths of their codes; 0 where the code is longer.
 *
 *     25 … 18    17 … 10   9         8 … 5          4 … 0
 *     2nd byte   1st byte  are two   1st's length   length of both
 */
const SHORT = new Int32Array(1 << SHORT_BITS);
/** By length: the first code of it, aligned to 32 bits, unsigned. */
const FIRST_CODE = new Float64Array(LONGEST + 2);
/** By length: where its symbols begin in `SYMBOLS`. */
const FIRST_SYMBOL = new Int32Array(LONGEST + 2);
/** Symbols in the order of their codes. */
const SYMBOLS = new Uint16Array(LENGTHS.length);

const NOWHERE = new Uint8Array(0);

fillTables();

/** An upper bound of the bytes that `length` bytes of the code decode to: the shortest has 5 bits. */
export function huffmanBound(length: number): number {
  return Math.floor(length * 8 / 5);
}

/**
 * Decodes `bytes[start, end)` to `target` at `at`, which has room for `huffmanBound(end - start)`
 * and one byte more. Returns the offset behind the last byte written, −1 when the code is not valid.
 */
export function decodeHuffman(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  return decode(bytes, start, end, target, at, true);
}

/** How many bytes it decodes to, −1 when the code is not valid. For strings that nobody stores. */
export function huffmanLength(bytes: Uint8Array, start: number, end: number): number {
  return decode(bytes, start, end, NOWHERE, 0, false);
}

function decode(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
  store: boolean,
): number {
  let window = 0;
  let bits = 0;
  for (;;) {
    while (bits <= 24 && start < end) {
      window |= bytes[start++]! << (24 - bits);
      bits += 8;
    }
    const short = SHORT[window >>> (32 - SHORT_BITS)]!;
    if (short !== 0) {
      // Without a branch for one or two, which no processor could foresee.
      let length = short & 31;
      let count = 1 + ((short >>> 9) & 1);
      if (length > bits) {
        length = (short >>> 5) & 15;
        if (length > bits) break;
        count = 1;
      }
      if (store) {
        target[at] = (short >>> 10) & 255;
        target[at + 1] = short >>> 18;
      }
      at += count;
      window <<= length;
      bits -= length;
      continue;
    }
    // A long code may reach into the next byte, of which the window has no room for more.
    const next = start < end ? bytes[start]! : 0;
    const full = start < end ? window | (next >>> (bits - 24)) : window;
    const length = longLength(full);
    const beyond = length - bits;
    if (beyond > 0 && start === end) break;
    const symbol = longSymbol(full, length);
    if (symbol === END_OF_STRING) return -1;
    if (store) target[at] = symbol;
    at++;
    if (beyond > 0) start++;
    window = beyond > 0 ? next << (24 + beyond) : window << length;
    bits = beyond > 0 ? 8 - beyond : bits - length;
  }
  return isPadding(window, bits) ? at : -1;
}

/** Length of the code that the window begins with, which has more than 12 bits. */
function longLength(window: number): number {
  const code = window >>> 0;
  let length = SHORT_BITS + 1;
  while (length < LONGEST && code >= FIRST_CODE[length + 1]!) length++;
  return length;
}

function longSymbol(window: number, length: number): number {
  const index = ((window >>> 0) - FIRST_CODE[length]!) / 2 ** (32 - length);
  return SYMBOLS[FIRST_SYMBOL[length]! + Math.floor(index)]!;
}

/** What is left of the last byte must be the beginning of the end-of-string code: ones. */
function isPadding(window: number, bits: number): boolean {
  return bits < 8 && (window >>> (32 - bits) === (1 << bits) - 1 || bits === 0);
}

function fillTables(): void {
  let code = 0;
  let next = 0;
  for (let length = 1; length <= LONGEST; length++) {
    FIRST_CODE[length] = code * 2 ** (32 - length);
    FIRST_SYMBOL[length] = next;
    for (let symbol = 0; symbol < LENGTHS.length; symbol++) {
      if (parseInt(LENGTHS.charAt(symbol), 36) !== length) continue;
      SYMBOLS[next++] = symbol;
      if (length <= SHORT_BITS) {
        const from = code << (SHORT_BITS - length);
        const entry = (symbol << 10) | (length << 5) | length;
        SHORT.fill(entry, from, from + (1 << (SHORT_BITS - length)));
      }
      code++;
    }
    code *= 2;
  }
  // A code is complete when the last one is all ones.
  assert(code === 2 ** (LONGEST + 1), "the lengths make a complete code");
  for (let bits = 0; bits < SHORT.length; bits++) joinPair(bits);
}

/** Adds the code behind the first one, where it is whole; what an entry says of its first one stays. */
function joinPair(bits: number): void {
  const entry = SHORT[bits]!;
  if (entry === 0) return;
  const length = (entry >>> 5) & 15;
  const next = SHORT[(bits << length) & (SHORT.length - 1)]!;
  const both = length + ((next >>> 5) & 15);
  if (next === 0 || both > SHORT_BITS) return;
  SHORT[bits] = (((next >>> 10) & 255) << 18) | (1 << 9) | (entry & ~31) | both;
}
