// hot
/**
 * Names of header fields as small numbers, so that nobody above the codecs compares bytes to know what
 * a field is. A name's code is found once: when a line or literal comes, or when it enters a table.
 */

import { assert } from "../../base/assert.ts";
import { asciiBytes, equalsIgnoreCase } from "../../base/bytes.ts";
import { TOKEN } from "./characters.ts";

/** Codes of the names that a proxy looks at; `OTHER` is any other one. At most 31 fit into a mark. */
export const FieldName = {
  OTHER: 0,
  METHOD: 1,
  SCHEME: 2,
  AUTHORITY: 3,
  PATH: 4,
  STATUS: 5,
  CONTENT_LENGTH: 6,
  TE: 7,
  CONNECTION: 8,
  PROXY_CONNECTION: 9,
  KEEP_ALIVE: 10,
  TRANSFER_ENCODING: 11,
  UPGRADE: 12,
  HOST: 13,
  EXPECT: 14,
  COOKIE: 15,
  GRPC_STATUS: 16,
  /** Any other name that begins with `l5d-`: what only the mesh may say. */
  MESH: 17,
  CONTENT_TYPE: 18,
  /** `l5d-dst-canonical`, the one that applications see. */
  CANONICAL_DST: 19,
  GRPC_TIMEOUT: 20,
} as const;

/** One of the codes. */
export type FieldName = (typeof FieldName)[keyof typeof FieldName];

/** The names by code; another name is another line here and above. */
const NAMES: readonly (readonly [string, FieldName])[] = [
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
  ["grpc-timeout", FieldName.GRPC_TIMEOUT],
];

/** Bits of a field's mark that hold its name's code. */
export const NAME_CODE = 0x1f;
/** Bit of a mark: the sender wants this field as a literal on every hop (RFC 7541 §7.1.3). */
export const NEVER_INDEXED = 0x80;
/** Bit of a mark: the name is no lower-case token and no known pseudo header. */
export const NAME_MALFORMED = 0x40;
/** Bit of a mark: the value may not stand in a message. */
export const VALUE_MALFORMED = 0x20;

/** Set of the pseudo headers, one bit a code, as `FieldLines.seen` has them. */
export const PSEUDO_NAMES: number = bitsOf([
  FieldName.METHOD,
  FieldName.SCHEME,
  FieldName.AUTHORITY,
  FieldName.PATH,
  FieldName.STATUS,
]);

/** Set of the headers that are about one connection: HTTP/2 forbids them (RFC 9113 §8.2.2). */
export const CONNECTION_NAMES: number = bitsOf([
  FieldName.CONNECTION,
  FieldName.PROXY_CONNECTION,
  FieldName.KEEP_ALIVE,
  FieldName.TRANSFER_ENCODING,
  FieldName.UPGRADE,
]);

/**
 * Set of the names that trailers do not carry on: what is about one connection, and what only the mesh
 * may say, in heads.
 */
export const TRAILERS_DROPPED: number = CONNECTION_NAMES |
  bitsOf([FieldName.MESH, FieldName.CANONICAL_DST]);

const COLON = 0x3a;
/** Makes an ASCII letter lower-case; harmless to the few other bytes that listed names begin with. */
const LOWER = 0x20;

/** Bytes of an HTTP/2 field name: `tchar` without upper-case letters. */
const NAME_BYTE = lowerTokens();

/** Slots of the table below: enough for `nameSlot` to give each name one of its own. */
const SLOTS = 64;
/** Code of the only name that may stand in a slot, 0 for none. */
const CODE_OF_SLOT = new Uint8Array(SLOTS);
/** Bytes of the name of each code; `MESH` is no single name. */
const BYTES_OF_CODE: Uint8Array[] = [];

for (const [name, code] of NAMES) {
  const bytes = asciiBytes(name);
  const slot = nameSlot(bytes, 0, bytes.length);
  assert(CODE_OF_SLOT[slot] === 0, `the slot of ${name} is taken: change nameSlot`);
  assert(code <= NAME_CODE, "a code must fit into a mark");
  CODE_OF_SLOT[slot] = code;
  BYTES_OF_CODE[code] = bytes;
}

/** The code of a name in any case, `OTHER` when nobody cares for it. The name is not empty. */
export function fieldName(bytes: Uint8Array, start: number, end: number): FieldName {
  const code = CODE_OF_SLOT[nameSlot(bytes, start, end)]!;
  if (code !== 0 && equalsIgnoreCase(bytes, start, end, BYTES_OF_CODE[code]!)) {
    return code as FieldName;
  }
  return isMeshName(bytes, start, end) ? FieldName.MESH : FieldName.OTHER;
}

/** The code of an HTTP/2 field's name, with `NAME_MALFORMED` where it may not stand in a message. */
export function nameMark(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return NAME_MALFORMED;
  const pseudo = bytes[start] === COLON;
  for (let i = pseudo ? start + 1 : start; i < end; i++) {
    if (NAME_BYTE[bytes[i]!] !== 1) return NAME_MALFORMED;
  }
  const code = fieldName(bytes, start, end);
  return pseudo && code === FieldName.OTHER ? NAME_MALFORMED : code;
}

/** Whether a name begins with `l5d-`, in any case. */
export function isMeshName(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start > 4 && (bytes[start]! | LOWER) === 0x6c && bytes[start + 1] === 0x35 &&
    (bytes[start + 2]! | LOWER) === 0x64 && bytes[start + 3] === 0x2d;
}

/** A number below `SLOTS` from the length and two bytes; no two names of the list have the same. */
function nameSlot(bytes: Uint8Array, start: number, end: number): number {
  return (end - start + (bytes[start]! | LOWER) * 2 + (bytes[end - 1]! | LOWER) * 3) & (SLOTS - 1);
}

function bitsOf(codes: readonly FieldName[]): number {
  let bits = 0;
  for (const code of codes) bits |= 1 << code;
  return bits;
}

function lowerTokens(): Uint8Array {
  const table = Uint8Array.from(TOKEN);
  table.fill(0, 0x41, 0x5b);
  return table;
}
