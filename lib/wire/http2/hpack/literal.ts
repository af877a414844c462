// hot
/** Writes the two forms that all fields are made of: integers, and literals without Huffman code. */

import { type ByteBuffer, copyBytes, copyLower } from "../../../base/bytes.ts";

/** First bytes of the kinds of literals (RFC 7541 §6.2). */
export const Literal = {
  INDEXING: 0x40,
  NOT_INDEXED: 0x00,
  NEVER_INDEXED: 0x10,
} as const;

/** Bytes that the integers of one literal may take, or two changes of the table's size. */
export const INTEGERS_BYTES = 18;

/**
 * Writes a literal of a kind; `index` is its name's in the static table, 0 for a new name, which is
 * lowered. There is room for its bytes and `INTEGERS_BYTES`.
 */
export function writeLiteral(
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
  kind: number,
  index: number,
  out: ByteBuffer,
): void {
  writeInteger(out, kind, kind === Literal.INDEXING ? 0x3f : 0x0f, index);
  if (index === 0) {
    writeInteger(out, 0, 0x7f, nameEnd - nameStart);
    copyLower(bytes, nameStart, nameEnd, out.bytes, out.end);
    out.end += nameEnd - nameStart;
  }
  writeInteger(out, 0, 0x7f, valueEnd - valueStart);
  copyBytes(bytes, valueStart, valueEnd, out.bytes, out.end);
  out.end += valueEnd - valueStart;
}

/** Writes an integer behind the bits of `first` (RFC 7541 §5.1); there is room for it. */
export function writeInteger(out: ByteBuffer, first: number, prefix: number, value: number): void {
  const bytes = out.bytes;
  let at = out.end;
  if (value < prefix) bytes[at++] = first | value;
  else {
    bytes[at++] = first | prefix;
    value -= prefix;
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
  }
  out.end = at;
}
