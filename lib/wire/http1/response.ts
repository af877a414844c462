// hot
/** Response heads (RFC 9112 §4). */

import { asciiBytes, startsWithBytes } from "../../base/bytes.ts";
import { FIELD_VALUE } from "../http/characters.ts";
import { badLineEnd, parseFields } from "./fields.ts";
import type { ResponseHead } from "../http/head.ts";
import { resumeHead, suspendHead, waitForLine } from "./resume.ts";
import { Http1Reason } from "./reason.ts";

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;

const HTTP_1 = asciiBytes("HTTP/1.");
/** `HTTP/1.1 200`, the least that a status line holds before its end. */
const STATUS_BYTES = 12;

/**
 * Parses a response head from `bytes[start, end)`. Returns how many bytes it takes with its blank
 * line, 0 when it is not complete, or a negated `Http1Reason`. Goes on as `parseRequestHead` does.
 */
export function parseResponseHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: ResponseHead,
  scanned = 0,
): number {
  let at = start;
  if (scanned === 0) head.reset();
  else {
    if (!resumeHead(bytes, start, end, head)) return waitForLine(head, start, end);
    at += head.resumeAt;
  }
  if (!head.inFields) {
    at = parseStatusLine(bytes, start, end, head);
    if (at <= 0) return at;
    head.fieldsStart = at;
    head.inFields = true;
  }
  const stop = parseFields(bytes, start, at, end, head);
  if (stop <= 0) return stop;
  // 1xx never has a body, but Node's parser reads one where a length says so (RFC 9110 §8.6 forbids
  // servers to send it). 204 is let pass: servers do that, and parsers agree that nothing follows.
  if (head.status < 200) {
    if (head.contentLength > 0) return -Http1Reason.BAD_CONTENT_LENGTH;
    if (head.hasTransferEncoding) return -Http1Reason.BAD_TRANSFER_ENCODING;
  }
  return stop - start;
}

/** Returns the offset behind the line, 0 when it is not complete, or a negated reason. */
function parseStatusLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: ResponseHead,
): number {
  head.start = start;
  const known = Math.min(end, start + HTTP_1.length);
  for (let i = start; i < known; i++) {
    if (bytes[i] !== HTTP_1[i - start]) return -Http1Reason.BAD_STATUS_LINE;
  }
  if (start + STATUS_BYTES >= end) return suspendHead(head, start, end, start);
  if (!startsWithBytes(bytes, start, end, HTTP_1)) return -Http1Reason.BAD_STATUS_LINE;
  const minor = bytes[start + 7]! - 0x30;
  if (minor !== 0 && minor !== 1) return -Http1Reason.BAD_VERSION;
  head.versionMinor = minor;
  if (bytes[start + 8] !== SPACE) return -Http1Reason.BAD_STATUS_LINE;
  head.status = statusCode(bytes, start + 9);
  if (head.status < 100) return -Http1Reason.BAD_STATUS_LINE;
  let at = start + STATUS_BYTES;
  // Some servers leave out the space together with an empty reason.
  if (bytes[at] !== SPACE && bytes[at] !== CR && bytes[at] !== LF) {
    return -Http1Reason.BAD_STATUS_LINE;
  }
  while (at < end && FIELD_VALUE[bytes[at]!] === 1) at++;
  if (at + 1 >= end) return suspendHead(head, start, end, start);
  if (bytes[at] !== CR || bytes[at + 1] !== LF) return badLineEnd(bytes[at]!);
  return at + 2;
}

/** Three digits; 0 when they are not. */
function statusCode(bytes: Uint8Array, at: number): number {
  const a = bytes[at]! - 0x30;
  const b = bytes[at + 1]! - 0x30;
  const c = bytes[at + 2]! - 0x30;
  if (a < 0 || a > 9 || b < 0 || b > 9 || c < 0 || c > 9) return 0;
  return a * 100 + b * 10 + c;
}
