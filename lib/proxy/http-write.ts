// hot
/** Heads as they go on to the next hop, appended to the scratch buffer. */

import { asciiBytes, type ByteBuffer } from "../base/bytes.ts";
import {
  NO_LINES,
  type RequestHead,
  type ResponseHead,
  rewriteHead,
  type RewriteOptions,
} from "../wire/http1/mod.ts";

const CLOSE_LINE = asciiBytes("connection: close\r\n");
const KEEP_ALIVE_LINE = asciiBytes("connection: keep-alive\r\n");
/** Behind `HTTP/1.` of a status line. */
const MINOR_AT = 7;
const DIGIT_ONE = 0x31;

/** What the mesh says of a request is said by its last proxy alone. */
const REQUEST: RewriteOptions = { dropMeshHeaders: true, keepUpgrade: true };
const FROM_MESH: RewriteOptions = { dropMeshHeaders: false, keepUpgrade: true };
/** An application cannot speak for the mesh. */
const FROM_OUTSIDE: RewriteOptions = { dropMeshHeaders: true, keepUpgrade: true };

/** Where a response comes from. */
export interface ResponseSource {
  readonly head: ResponseHead;
  readonly pool: { readonly meshed: boolean };
}

/** The request's head, with the lines that the side adds. */
export function writeRequestHead(
  bytes: Uint8Array,
  head: RequestHead,
  lines: Uint8Array,
  out: ByteBuffer,
): void {
  rewriteHead(bytes, head, REQUEST, lines, out);
}

/** The response's head. Changes its version in `bytes`, which must be ours. */
export function writeResponseHead(
  bytes: Uint8Array,
  source: ResponseSource,
  lines: Uint8Array,
  out: ByteBuffer,
): void {
  const { head, pool } = source;
  // Each hop speaks its own version.
  if (head.versionMinor === 0) bytes[head.start + MINOR_AT] = DIGIT_ONE;
  rewriteHead(bytes, head, pool.meshed ? FROM_MESH : FROM_OUTSIDE, lines, out);
}

/** What a response must say of the client's connection. */
export function connectionLine(keepAlive: boolean, request: RequestHead): Uint8Array {
  if (!keepAlive) return CLOSE_LINE;
  return request.versionMinor === 0 ? KEEP_ALIVE_LINE : NO_LINES;
}
