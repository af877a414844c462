// hot
/**
 * Header lines of HTTP/1: records where they stand, and notes those that decide framing, persistence
 * and forwarding. Strict, because two parsers that disagree on a message are how requests are smuggled.
 */

import { asciiBytes, equalsIgnoreCase, parseDecimal } from "../../base/bytes.ts";
import { HEADER_BYTES_MAX, HEADER_COUNT_MAX } from "../../base/limits.ts";
import { FIELD_VALUE, HOST, TOKEN } from "../http/characters.ts";
import { RANGES_PER_HEADER } from "../http/field-lines.ts";
import { FieldName, fieldName } from "../http/field-name.ts";
import type { Head } from "../http/head.ts";
import { elementEnd, elementStart, isBlank, trimEnd } from "../http/list.ts";
import { Http1Reason } from "./reason.ts";
import { suspendHead } from "./resume.ts";

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COMMA = 0x2c;
const COLON = 0x3a;

const CHUNKED = asciiBytes("chunked");
const CLOSE = asciiBytes("close");
const CONTINUE = asciiBytes("100-continue");
const H2C = asciiBytes("h2c");
const KEEP_ALIVE = asciiBytes("keep-alive");
const UPGRADE = asciiBytes("upgrade");

/**
 * Parses header lines from `at` to the blank line. `start` is where the head begins, for its size.
 * Returns the offset behind the blank line, 0 when it is not there yet, or a negated reason.
 */
export function parseFields(
  bytes: Uint8Array,
  start: number,
  at: number,
  end: number,
  head: Head,
): number {
  for (;;) {
    const line = at;
    if (at >= end) return suspendHead(head, start, end, line);
    while (at < end && TOKEN[bytes[at]!] === 1) at++;
    if (at === line) return finishFields(bytes, start, at, end, head);
    if (at >= end) return suspendHead(head, start, end, line);
    if (bytes[at] !== COLON) return -Http1Reason.BAD_HEADER_NAME;
    const nameEnd = at++;
    while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
    const valueStart = at;
    while (at < end && FIELD_VALUE[bytes[at]!] === 1) at++;
    if (at + 1 >= end) return suspendHead(head, start, end, line);
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return badLineEnd(bytes[at]!);
    let valueEnd = at;
    while (valueEnd > valueStart && isBlank(bytes[valueEnd - 1]!)) valueEnd--;
    at += 2;
    if (at - start > HEADER_BYTES_MAX) return -Http1Reason.TOO_LARGE;
    if (head.count === HEADER_COUNT_MAX) return -Http1Reason.TOO_MANY_HEADERS;
    const slot = head.count * RANGES_PER_HEADER;
    if (slot === head.ranges.length) head.growFields();
    const ranges = head.ranges;
    ranges[slot] = line;
    ranges[slot + 1] = nameEnd;
    ranges[slot + 2] = valueStart;
    ranges[slot + 3] = valueEnd;
    const name = fieldName(bytes, line, nameEnd);
    head.marks[head.count++] = name;
    head.seen |= 1 << name;
    const reason = noteField(bytes, head, slot, name);
    if (reason !== 0) return -reason;
  }
}

/** The reason, negated, for a line that a byte other than CR LF ends. */
export function badLineEnd(byte: number): number {
  if (byte === LF) return -Http1Reason.BARE_LF;
  return byte === CR ? -Http1Reason.BARE_CR : -Http1Reason.BAD_HEADER_VALUE;
}

/** What stands at the start of a line and is no name: the blank line, or a mistake. */
function finishFields(
  bytes: Uint8Array,
  start: number,
  at: number,
  end: number,
  head: Head,
): number {
  const first = bytes[at]!;
  if (first === LF) return -Http1Reason.BARE_LF;
  if (isBlank(first)) return -Http1Reason.OBS_FOLD;
  if (first !== CR) return -Http1Reason.BAD_HEADER_NAME;
  if (at + 1 >= end) return suspendHead(head, start, end, at);
  if (bytes[at + 1] !== LF) return -Http1Reason.BARE_CR;
  if (at + 2 - start > HEADER_BYTES_MAX) return -Http1Reason.TOO_LARGE;
  if (head.hasTransferEncoding) {
    if (head.contentLength >= 0) return -Http1Reason.LENGTH_AND_CHUNKED;
    // RFC 9112 §6.1: an HTTP/1.0 sender does not know chunks, so somebody tampered with the framing.
    if (head.versionMinor === 0) return -Http1Reason.BAD_TRANSFER_ENCODING;
  }
  head.fieldsEnd = at;
  head.end = at + 2;
  head.bytes = bytes;
  head.scanned = 0;
  return head.end;
}

/** Takes note of what the field says of the message or the connection. Returns 0 or a reason. */
function noteField(bytes: Uint8Array, head: Head, slot: number, name: FieldName): number {
  switch (name) {
    case FieldName.HOST:
      return noteHost(bytes, head, slot);
    case FieldName.EXPECT:
      noteExpect(bytes, head, slot);
      return 0;
    case FieldName.UPGRADE:
      noteUpgrade(bytes, head, slot);
      return 0;
    case FieldName.CONNECTION:
      noteConnection(bytes, head, slot);
      return 0;
    case FieldName.KEEP_ALIVE:
    case FieldName.PROXY_CONNECTION:
      head.hasHopByHop = true;
      return 0;
    case FieldName.CONTENT_LENGTH:
      return noteLength(bytes, head, slot);
    case FieldName.TRANSFER_ENCODING:
      return noteTransferEncoding(bytes, head, slot);
    case FieldName.MESH:
    case FieldName.CANONICAL_DST:
      head.hasMeshHeaders = true;
      return 0;
    default:
      return 0;
  }
}

function noteHost(bytes: Uint8Array, head: Head, slot: number): number {
  if (head.hostStart >= 0 && head.isRequest) return Http1Reason.BAD_HOST;
  head.hostStart = head.ranges[slot + 2]!;
  head.hostEnd = head.ranges[slot + 3]!;
  if (!head.isRequest) return 0;
  for (let i = head.hostStart; i < head.hostEnd; i++) {
    if (HOST[bytes[i]!] !== 1) return Http1Reason.BAD_HOST;
  }
  return 0;
}

function noteLength(bytes: Uint8Array, head: Head, slot: number): number {
  // Even equal lengths are refused: what is forwarded must hold exactly one.
  if (head.contentLength >= 0) return Http1Reason.CONFLICTING_LENGTH;
  const start = head.ranges[slot + 2]!;
  const end = head.ranges[slot + 3]!;
  head.contentLength = parseDecimal(bytes, start, end);
  if (hasTab(bytes, head, slot)) return Http1Reason.BAD_CONTENT_LENGTH;
  if (head.contentLength >= 0) return 0;
  for (let i = start; i < end; i++) if (bytes[i] === COMMA) return Http1Reason.CONFLICTING_LENGTH;
  return Http1Reason.BAD_CONTENT_LENGTH;
}

/**
 * Whether a tab stands anywhere in the line behind the colon. It is legal white space, but Node's
 * parser does not take it for such: `chunked` and a tab is, to it, a body until close.
 */
function hasTab(bytes: Uint8Array, head: Head, slot: number): boolean {
  let at = head.ranges[slot + 1]!;
  while (bytes[at] !== CR && bytes[at] !== TAB) at++;
  return bytes[at] === TAB;
}

/** Requests: exactly `chunked`. Responses may have other codings before it (RFC 9112 §6.3). */
function noteTransferEncoding(bytes: Uint8Array, head: Head, slot: number): number {
  if (head.hasTransferEncoding) return Http1Reason.BAD_TRANSFER_ENCODING;
  head.hasTransferEncoding = true;
  if (hasTab(bytes, head, slot)) return Http1Reason.BAD_TRANSFER_ENCODING;
  const start = head.ranges[slot + 2]!;
  const end = head.ranges[slot + 3]!;
  head.chunked = equalsIgnoreCase(bytes, start, end, CHUNKED);
  if (head.chunked) return 0;
  if (head.isRequest) return Http1Reason.BAD_TRANSFER_ENCODING;
  head.hasOtherCodings = true;
  // "chunked," is refused too: with an empty element behind it, Node reads the body until close.
  if (end > start && bytes[end - 1] === COMMA) return Http1Reason.BAD_TRANSFER_ENCODING;
  let at = start;
  while (at < end) {
    if (head.chunked) return Http1Reason.BAD_TRANSFER_ENCODING;
    const stop = elementEnd(bytes, at, end);
    const first = elementStart(bytes, at, stop);
    head.chunked = equalsIgnoreCase(bytes, first, trimEnd(bytes, first, stop), CHUNKED);
    at = stop + 1;
  }
  return head.chunked ? 0 : Http1Reason.BAD_TRANSFER_ENCODING;
}

function noteExpect(bytes: Uint8Array, head: Head, slot: number): void {
  if (equalsIgnoreCase(bytes, head.ranges[slot + 2]!, head.ranges[slot + 3]!, CONTINUE)) {
    head.expectContinue = true;
  }
}

function noteUpgrade(bytes: Uint8Array, head: Head, slot: number): void {
  head.hasUpgrade = true;
  const end = head.ranges[slot + 3]!;
  let at = head.ranges[slot + 2]!;
  while (at < end) {
    const stop = elementEnd(bytes, at, end);
    const first = elementStart(bytes, at, stop);
    if (equalsIgnoreCase(bytes, first, trimEnd(bytes, first, stop), H2C)) head.upgradeH2c = true;
    at = stop + 1;
  }
}

function noteConnection(bytes: Uint8Array, head: Head, slot: number): void {
  head.hasHopByHop = true;
  const end = head.ranges[slot + 3]!;
  let at = head.ranges[slot + 2]!;
  while (at < end) {
    const stop = elementEnd(bytes, at, end);
    const first = elementStart(bytes, at, stop);
    const last = trimEnd(bytes, first, stop);
    if (equalsIgnoreCase(bytes, first, last, CLOSE)) head.connectionClose = true;
    else if (equalsIgnoreCase(bytes, first, last, KEEP_ALIVE)) head.connectionKeepAlive = true;
    else if (equalsIgnoreCase(bytes, first, last, UPGRADE)) head.connectionUpgrade = true;
    else if (last > first) head.connectionNames = true;
    at = stop + 1;
  }
}
