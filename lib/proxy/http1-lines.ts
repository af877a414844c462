// hot
/** What this proxy adds to and takes from the heads that it writes by HTTP/1. */

import { asciiBytes } from "../base/bytes.ts";
import type { RequestHead } from "../wire/http/mod.ts";
import { CHUNKED_LINE, EMPTY_LINE } from "../wire/http1/mod.ts";

const CLOSE = "connection: close\r\n";
const KEEP_ALIVE = "connection: keep-alive\r\n";
const CHUNKED = "transfer-encoding: chunked\r\n";
const EMPTY = "content-length: 0\r\n";

const CLOSE_LINES = [CLOSE, CLOSE + CHUNKED, CLOSE + EMPTY].map(asciiBytes);
const KEEP_ALIVE_LINES = [KEEP_ALIVE, KEEP_ALIVE + CHUNKED, KEEP_ALIVE + EMPTY].map(asciiBytes);

/** What a response must say of the client's connection, and of its own framing. */
export function connectionLine(
  keepAlive: boolean,
  request: RequestHead,
  framing: Uint8Array,
): Uint8Array {
  const kind = framing === CHUNKED_LINE ? 1 : framing === EMPTY_LINE ? 2 : 0;
  if (!keepAlive) return CLOSE_LINES[kind]!;
  return request.versionMinor === 0 ? KEEP_ALIVE_LINES[kind]! : framing;
}
