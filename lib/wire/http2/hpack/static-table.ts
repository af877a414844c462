// hot
/**
 * The static table (RFC 7541 appendix A), as lines `name: value` one after another, so that an indexed
 * field is a copy of bytes as one from the dynamic table is.
 */

import { assert } from "../../../base/assert.ts";
import { asciiBytes, equalsAt, equalsLowerAt } from "../../../base/bytes.ts";
import { ENTRY_INTS, ENTRY_LENGTH, ENTRY_NAME, ENTRY_START, ENTRY_TAG } from "./dynamic-table.ts";
import { nameHash } from "./field-hash.ts";
import { nameMark } from "../../http/field-name.ts";

/** Entries of the static table; the first index of the dynamic table is one more. */
export const STATIC_COUNT = 61;

/** Indexes that others name. */
export const StaticIndex = {
  AUTHORITY: 1,
  METHOD_GET: 2,
  METHOD_POST: 3,
  PATH_SLASH: 4,
  SCHEME_HTTP: 6,
  SCHEME_HTTPS: 7,
  STATUS_200: 8,
  CONTENT_LENGTH: 28,
} as const;

/** Name and value of each entry in order, between them a space, between entries a bar. */
const FIELDS = ":authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|" +
  ":scheme https|:status 200|:status 204|:status 206|:status 304|:status 400|:status 404|" +
  ":status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept|" +
  "access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|" +
  "content-encoding|content-language|content-length|content-location|content-range|content-type|" +
  "cookie|date|etag|expect|expires|from|host|if-match|if-modified-since|if-none-match|if-range|" +
  "if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|" +
  "proxy-authorization|range|referer|refresh|retry-after|server|set-cookie|" +
  "strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate";

/** All lines, each with its CRLF. */
export const STATIC_BYTES: Uint8Array = asciiBytes(staticLines());
/** Where the entry of an index stands, at `ENTRY_INTS * index`; the tag is the name's mark. */
export const STATIC_ENTRIES: Int32Array = new Int32Array((STATIC_COUNT + 1) * ENTRY_INTS);

const SLOT_SHIFT = 25;
/** First index of the name whose hash has these upper 7 bits, 0 for none. */
const INDEX_OF_SLOT = new Uint8Array(1 << (32 - SLOT_SHIFT));

/** By index: the first index of the same name; one more place, so that a search ends there. */
const FIRST_OF_NAME = new Uint8Array(STATIC_COUNT + 2);

fillEntries();

/** The first index of that name, in any case, 0 when the table has none. `hash` is its `nameHash`. */
export function staticName(
  bytes: Uint8Array,
  start: number,
  end: number,
  hash: number,
): number {
  const index = INDEX_OF_SLOT[hash >>> SLOT_SHIFT]!;
  if (index === 0) return 0;
  const entry = index * ENTRY_INTS;
  if (STATIC_ENTRIES[entry + ENTRY_NAME] !== end - start) return 0;
  return equalsLowerAt(bytes, start, end, STATIC_BYTES, STATIC_ENTRIES[entry + ENTRY_START]!)
    ? index
    : 0;
}

/** The index of that value under the name whose first index is `first`, 0 when there is none. */
export function staticValue(
  first: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  const entry = first * ENTRY_INTS;
  const nameLength = STATIC_ENTRIES[entry + ENTRY_NAME]!;
  const length = nameLength + 2 + end - start;
  for (let index = first; FIRST_OF_NAME[index] === first; index++) {
    if (STATIC_ENTRIES[index * ENTRY_INTS + ENTRY_LENGTH] !== length) continue;
    const value = STATIC_ENTRIES[index * ENTRY_INTS + ENTRY_START]! + nameLength + 2;
    if (equalsAt(bytes, start, end, STATIC_BYTES, value)) return index;
  }
  return 0;
}

function staticLines(): string {
  let lines = "";
  for (const field of FIELDS.split("|")) {
    const space = (field + " ").indexOf(" ");
    lines += `${field.substring(0, space)}: ${field.substring(space + 1)}\r\n`;
  }
  return lines;
}

function fillEntries(): void {
  const bytes = STATIC_BYTES;
  let start = 0;
  for (let index = 1; index <= STATIC_COUNT; index++) {
    // A pseudo header's name has a colon in front, so the separator is the one before a space.
    let nameEnd = start;
    while (bytes[nameEnd] !== 0x3a || bytes[nameEnd + 1] !== 0x20) nameEnd++;
    let end = nameEnd;
    while (bytes[end] !== 0x0d) end++;
    const entry = index * ENTRY_INTS;
    STATIC_ENTRIES[entry + ENTRY_START] = start;
    STATIC_ENTRIES[entry + ENTRY_NAME] = nameEnd - start;
    STATIC_ENTRIES[entry + ENTRY_LENGTH] = end - start;
    STATIC_ENTRIES[entry + ENTRY_TAG] = nameMark(bytes, start, nameEnd);
    noteName(index, start, nameEnd);
    start = end + 2;
  }
  assert(start === bytes.length, "the static table has 61 entries");
}

function noteName(index: number, start: number, nameEnd: number): void {
  const hash = nameHash(STATIC_BYTES, start, nameEnd);
  const slot = hash >>> SLOT_SHIFT;
  if (INDEX_OF_SLOT[slot] === 0) INDEX_OF_SLOT[slot] = index;
  const first = staticName(STATIC_BYTES, start, nameEnd, hash);
  assert(first !== 0, "names of the static table must keep apart: change the factor of nameHash");
  FIRST_OF_NAME[index] = first;
}
