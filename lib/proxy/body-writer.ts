// hot
/** Writes a message's body by HTTP/1: as it is, or chunked where nobody knows its length. */

import { asciiBytes, type ByteBuffer } from "../base/bytes.ts";
import { GATHER_BYTES_MAX } from "../base/limits.ts";
import { type FieldLines, RANGES_PER_HEADER, TRAILERS_DROPPED } from "../wire/http/mod.ts";
import type { Outlet } from "./outlet.ts";

const CRLF = asciiBytes("\r\n");
const LAST_CHUNK = asciiBytes("0\r\n");
const DIGITS = asciiBytes("0123456789abcdef");
/** Hex digits of a size below 2^32, and CRLF. */
const SIZE_BYTES = 10;

/** Appends a part of a chunked body to `out`, and the end where it is the last. */
export function appendChunk(
  bytes: Uint8Array,
  start: number,
  end: number,
  last: boolean,
  out: ByteBuffer,
): void {
  if (end > start) {
    appendSize(end - start, out);
    out.append(bytes, start, end);
    out.append(CRLF, 0, CRLF.length);
  }
  if (!last) return;
  out.append(LAST_CHUNK, 0, LAST_CHUNK.length);
  out.append(CRLF, 0, CRLF.length);
}

/** Writes a part of a chunked body; `scratch` is used for what must be put together. */
export function writeChunk(
  out: Outlet,
  bytes: Uint8Array,
  start: number,
  end: number,
  last: boolean,
  scratch: ByteBuffer,
): void {
  scratch.clear();
  if (end - start <= GATHER_BYTES_MAX) {
    appendChunk(bytes, start, end, last, scratch);
    out.write(scratch.bytes, scratch.start, scratch.end, false);
    return;
  }
  appendSize(end - start, scratch);
  out.write(scratch.bytes, scratch.start, scratch.end, false);
  out.write(bytes, start, end, true);
  out.write(CRLF, 0, CRLF.length, true);
  if (last) writeChunk(out, bytes, end, end, true, scratch);
}

/** Writes the end of a chunked body with these fields. */
export function writeTrailers(out: Outlet, fields: FieldLines, scratch: ByteBuffer): void {
  scratch.clear();
  scratch.append(LAST_CHUNK, 0, LAST_CHUNK.length);
  appendTrailers(fields, scratch);
  scratch.append(CRLF, 0, CRLF.length);
  out.write(scratch.bytes, scratch.start, scratch.end, false);
}

function appendTrailers(fields: FieldLines, out: ByteBuffer): void {
  const { bytes, ranges, fieldsStart, fieldsEnd } = fields;
  if ((fields.seen & TRAILERS_DROPPED) === 0) {
    out.append(bytes, fieldsStart, fieldsEnd);
    return;
  }
  for (let i = 0; i < fields.count; i++) {
    if ((1 << fields.name(i) & TRAILERS_DROPPED) !== 0) continue;
    const at = i * RANGES_PER_HEADER;
    out.append(bytes, ranges[at]!, ranges[at + 3]!);
    out.append(CRLF, 0, CRLF.length);
  }
}

function appendSize(size: number, out: ByteBuffer): void {
  out.reserve(SIZE_BYTES);
  let shift = 28;
  while (shift > 0 && size >>> shift === 0) shift -= 4;
  for (; shift >= 0; shift -= 4) out.bytes[out.end++] = DIGITS[(size >>> shift) & 0xf]!;
  out.append(CRLF, 0, CRLF.length);
}
