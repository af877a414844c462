// hot
/**
 * Decodes HPACK's Huffman code (RFC 7541 appendix B). It is canonical, so the lengths alone make it:
 * codes of up to 10 bits, which all common characters have, are looked up; longer ones are found by
 * comparing with the first code of each length. Strict about padding and the end-of-string code.
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
const SHORT_BITS = 10;
const LONGEST = 30;

/** By the next 10 bits: the byte times 16, plus the code's length; 0 where the code is longer. */
const SHORT = new Uint16Array(1 << SHORT_BITS);
/** By length: the first code of it, aligned to 32 bits, unsigned. */
const FIRST_CODE = new Float64Array(LONGEST + 2);
/** By length: where its symbols begin in `SYMBOLS`. */
const FIRST_SYMBOL = new Int32Array(LONGEST + 2);
/** Symbols in the order of their codes. */
const SYMBOLS = new Uint16Array(LENGTHS.length);

fillTables();

/** An upper bound of the bytes that `length` bytes of the code decode to: the shortest has 5 bits. */
export function huffmanBound(length: number): number {
  return Math.floor(length * 8 / 5);
}

/**
 * Decodes `bytes[start, end)` to `target` at `at`, which has room for `huffmanBound(end - start)`.
 * Returns the offset behind the last byte written, −1 when the code is not valid.
 */
export function decodeHuffman(
  bytes: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  let window = 0;
  let bits = 0;
  for (;;) {
    while (bits <= 24 && start < end) {
      window |= bytes[start++]! << (24 - bits);
      bits += 8;
    }
    const short = SHORT[window >>> (32 - SHORT_BITS)]!;
    let length = short & 15;
    if (short !== 0) {
      if (length > bits) break;
      target[at++] = short >>> 4;
    } else {
      length = longLength(window);
      if (length > bits) break;
      const symbol = longSymbol(window, length);
      if (symbol === END_OF_STRING) return -1;
      target[at++] = symbol;
    }
    window <<= length;
    bits -= length;
  }
  return isPadding(window, bits) ? at : -1;
}

/** How many bytes it decodes to, −1 when the code is not valid. For strings that nobody stores. */
export function huffmanLength(bytes: Uint8Array, start: number, end: number): number {
  let window = 0;
  let bits = 0;
  let count = 0;
  for (;;) {
    while (bits <= 24 && start < end) {
      window |= bytes[start++]! << (24 - bits);
      bits += 8;
    }
    const short = SHORT[window >>> (32 - SHORT_BITS)]!;
    const length = short !== 0 ? short & 15 : longLength(window);
    if (length > bits) break;
    if (short === 0 && longSymbol(window, length) === END_OF_STRING) return -1;
    count++;
    window <<= length;
    bits -= length;
  }
  return isPadding(window, bits) ? count : -1;
}

/** Length of the code that the window begins with, which has more than 10 bits. */
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
        SHORT.fill(symbol * 16 + length, from, from + (1 << (SHORT_BITS - length)));
      }
      code++;
    }
    code *= 2;
  }
  // A code is complete when the last one is all ones.
  assert(code === 2 ** (LONGEST + 1), "the lengths make a complete code");
}
