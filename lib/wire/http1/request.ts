// hot
/** Request heads (RFC 9112 §3). */

import { asciiBytes, startsWithBytes } from "../../base/bytes.ts";
import { LEADING_CRLF_MAX, METHOD_BYTES_MAX } from "../../base/limits.ts";
import { HOST, TARGET, TOKEN } from "../http/characters.ts";
import { badLineEnd, parseFields } from "./fields.ts";
import { type RequestHead, TargetForm } from "../http/head.ts";
import { resumeHead, suspendHead, waitForLine } from "./resume.ts";
import { Method, methodCode } from "../http/method.ts";
import { Http1Reason } from "./reason.ts";

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const ASTERISK = 0x2a;
const SLASH = 0x2f;
const COLON = 0x3a;
const QUESTION = 0x3f;

const HTTP_1 = asciiBytes("HTTP/1.");
const HTTP = asciiBytes("HTTP/");
/** `HTTP/1.1` and CRLF. */
const VERSION_LINE_BYTES = 10;

/**
 * Parses a request head from `bytes[start, end)`. Returns how many bytes it takes with its blank line,
 * 0 when it is not complete, or a negated `Http1Reason`. After 0, call again with the same head, more
 * bytes from the head's start (which may have moved) and `scanned = head.scanned`; with 0 it begins
 * anew. A mistake in an unfinished line may be told only when the line is complete.
 */
export function parseRequestHead(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: RequestHead,
  scanned = 0,
): number {
  let at = start;
  if (scanned === 0) head.reset();
  else {
    if (!resumeHead(bytes, start, end, head)) return waitForLine(head, start, end);
    at += head.resumeAt;
  }
  if (!head.inFields) {
    at = parseRequestLine(bytes, start, end, head);
    if (at <= 0) return at;
    head.fieldsStart = at;
    head.inFields = true;
  }
  const stop = parseFields(bytes, start, at, end, head);
  if (stop <= 0) return stop;
  if (head.hostStart < 0 && head.versionMinor === 1) return -Http1Reason.BAD_HOST;
  if (head.authorityStart < 0) {
    head.authorityStart = head.hostStart;
    head.authorityEnd = head.hostEnd;
  }
  return stop - start;
}

/** Returns the offset behind the line, 0 when it is not complete, or a negated reason. */
function parseRequestLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  head: RequestHead,
): number {
  let at = skipEmptyLines(bytes, start, end);
  if (at < 0) return at;
  head.start = at;
  head.methodStart = at;
  while (at < end && TOKEN[bytes[at]!] === 1) at++;
  if (at - head.methodStart > METHOD_BYTES_MAX) return -Http1Reason.BAD_METHOD;
  if (at >= end) return suspendHead(head, start, end, start);
  if (bytes[at] !== SPACE || at === head.methodStart) {
    // A CR may be the first half of an empty line.
    if (bytes[at] === CR && at === head.methodStart && at + 1 >= end) {
      return suspendHead(head, start, end, start);
    }
    return -Http1Reason.BAD_REQUEST_LINE;
  }
  head.methodEnd = at++;
  head.method = methodCode(bytes, head.methodStart, head.methodEnd);
  head.targetStart = at;
  while (at < end && TARGET[bytes[at]!] === 1) at++;
  if (at >= end) return suspendHead(head, start, end, start);
  if (bytes[at] !== SPACE) return -Http1Reason.BAD_REQUEST_LINE;
  head.targetEnd = at++;
  if (at + VERSION_LINE_BYTES > end && !hasLf(bytes, at, end)) {
    return suspendHead(head, start, end, start);
  }
  if (!startsWithBytes(bytes, at, end, HTTP_1)) return badVersion(bytes, at, end);
  const minor = bytes[at + 7]! - 0x30;
  if (minor !== 0 && minor !== 1) return -Http1Reason.BAD_VERSION;
  head.versionMinor = minor;
  if (bytes[at + 8] !== CR || bytes[at + 9] !== LF) {
    return bytes[at + 8] === CR || bytes[at + 8] === LF
      ? badLineEnd(bytes[at + 8]!)
      : -Http1Reason.BAD_REQUEST_LINE;
  }
  const reason = noteTarget(bytes, head);
  return reason === 0 ? at + VERSION_LINE_BYTES : -reason;
}

/** Whether the line is complete, though shorter than one with a version: the checks then refuse it. */
function hasLf(bytes: Uint8Array, at: number, end: number): boolean {
  while (at < end && bytes[at] !== LF) at++;
  return at < end;
}

function badVersion(bytes: Uint8Array, at: number, end: number): number {
  return startsWithBytes(bytes, at, end, HTTP)
    ? -Http1Reason.BAD_VERSION
    : -Http1Reason.BAD_REQUEST_LINE;
}

/** Skips the empty lines that old clients send after a body. A negated reason for a bare LF. */
function skipEmptyLines(bytes: Uint8Array, start: number, end: number): number {
  let at = start;
  for (let lines = 0; lines < LEADING_CRLF_MAX; lines++) {
    if (at + 1 >= end || bytes[at] !== CR) break;
    if (bytes[at + 1] !== LF) return -Http1Reason.BARE_CR;
    at += 2;
  }
  if (at < end && bytes[at] === LF) return -Http1Reason.BARE_LF;
  return at;
}

/** Finds the target's form and, where it holds one, its authority. Returns 0 or a reason. */
function noteTarget(bytes: Uint8Array, head: RequestHead): number {
  const start = head.targetStart;
  const end = head.targetEnd;
  if (head.method === Method.CONNECT) return noteAuthorityForm(bytes, head);
  if (bytes[start] === SLASH) return 0;
  if (bytes[start] === ASTERISK && end - start === 1) {
    if (head.method !== Method.OPTIONS) return Http1Reason.BAD_TARGET;
    head.targetForm = TargetForm.ASTERISK;
    return 0;
  }
  return noteAbsoluteForm(bytes, head);
}

function noteAuthorityForm(bytes: Uint8Array, head: RequestHead): number {
  let colon = -1;
  for (let i = head.targetStart; i < head.targetEnd; i++) {
    if (HOST[bytes[i]!] !== 1) return Http1Reason.BAD_TARGET;
    if (bytes[i] === COLON) colon = i;
  }
  if (colon <= head.targetStart || colon === head.targetEnd - 1) return Http1Reason.BAD_TARGET;
  head.targetForm = TargetForm.AUTHORITY;
  head.authorityStart = head.targetStart;
  head.authorityEnd = head.targetEnd;
  return 0;
}

/** `scheme://authority/…`, without user information, which would hide the host. */
function noteAbsoluteForm(bytes: Uint8Array, head: RequestHead): number {
  const end = head.targetEnd;
  let at = head.targetStart;
  while (at < end && TOKEN[bytes[at]!] === 1) at++;
  if (at === head.targetStart || at + 3 >= end) return Http1Reason.BAD_TARGET;
  if (bytes[at] !== COLON || bytes[at + 1] !== SLASH || bytes[at + 2] !== SLASH) {
    return Http1Reason.BAD_TARGET;
  }
  at += 3;
  const authority = at;
  while (at < end && bytes[at] !== SLASH && bytes[at] !== QUESTION) {
    if (HOST[bytes[at]!] !== 1) return Http1Reason.BAD_TARGET;
    at++;
  }
  if (at === authority) return Http1Reason.BAD_TARGET;
  head.targetForm = TargetForm.ABSOLUTE;
  head.authorityStart = authority;
  head.authorityEnd = at;
  return 0;
}
