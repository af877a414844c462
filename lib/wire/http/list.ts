// hot
/** Elements of comma-separated field values, in place. */

const TAB = 0x09;
const SPACE = 0x20;
const COMMA = 0x2c;

/** Offset of the comma that ends the list element at `at`, or `end`. */
export function elementEnd(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && bytes[at] !== COMMA) at++;
  return at;
}

/** Offset of the first byte of a list element that is not white space. */
export function elementStart(bytes: Uint8Array, at: number, end: number): number {
  while (at < end && isBlank(bytes[at]!)) at++;
  return at;
}

/** Offset behind the last byte of a list element that is not white space. */
export function trimEnd(bytes: Uint8Array, start: number, end: number): number {
  while (end > start && isBlank(bytes[end - 1]!)) end--;
  return end;
}

/** White space around values: space and tab. */
export function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
