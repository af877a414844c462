/**
 * The little DER that a sidecar writes: enough for a certificate signing request. A whole ASN.1 library
 * costs a process some 12 MB, which the identity service can afford and a sidecar cannot.
 */

const SEQUENCE = 0x30;
const SET = 0x31;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const UTF8_STRING = 0x0c;

/** An element: tag, length in the shortest form, content. */
export function derElement(
  tag: number,
  ...contents: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  const content = concatBytes(contents);
  const length = content.length;
  const head = length < 0x80
    ? [tag, length]
    : length < 0x100
    ? [tag, 0x81, length]
    : [tag, 0x82, length >> 8, length & 0xff];
  return concatBytes([new Uint8Array(head), content]);
}

/** SEQUENCE. */
export function derSequence(...items: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return derElement(SEQUENCE, ...items);
}

/** SET with the items in the order given. */
export function derSet(...items: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return derElement(SET, ...items);
}

/** A context-specific element: `[number]`, constructed or primitive. */
export function derContext(
  number: number,
  constructed: boolean,
  ...contents: readonly Uint8Array[]
): Uint8Array<ArrayBuffer> {
  return derElement((constructed ? 0xa0 : 0x80) | number, ...contents);
}

/** A non-negative INTEGER from its bytes, first byte highest. */
export function derInteger(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  // A leading bit of one would make it negative.
  const padding = (digits[0] ?? 0) >= 0x80 ? [0] : [];
  return derElement(INTEGER, new Uint8Array(padding), digits);
}

/** BIT STRING of whole bytes. */
export function derBitString(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return derElement(BIT_STRING, new Uint8Array([0]), bytes);
}

/** OCTET STRING. */
export function derOctetString(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return derElement(OCTET_STRING, bytes);
}

/** UTF8String. */
export function derUtf8(text: string): Uint8Array<ArrayBuffer> {
  return derElement(UTF8_STRING, new TextEncoder().encode(text));
}

/** OBJECT IDENTIFIER from its dotted form. */
export function derOid(dotted: string): Uint8Array<ArrayBuffer> {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes: number[] = [];
  for (const arc of [first * 40 + second, ...rest]) {
    const digits = [arc & 0x7f];
    for (let left = arc >>> 7; left > 0; left >>>= 7) digits.unshift((left & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return derElement(OBJECT_IDENTIFIER, new Uint8Array(bytes));
}

/** One array after the other. */
export function concatBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
