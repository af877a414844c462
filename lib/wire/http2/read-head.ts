// hot
/**
 * Heads and trailers of HTTP/2 messages (RFC 9113 §8): whether the decoded fields make one, and what
 * they say. Strict in all that could become another message in HTTP/1: a method, a path or a host that
 * could not stand there is refused.
 */

import { asciiBytes, equalsBytes, equalsIgnoreCase, parseDecimal } from "../../base/bytes.ts";
import { sameIgnoreCase, startsWithBytes } from "../../base/bytes.ts";
import { HOST, TARGET, TOKEN } from "../http/characters.ts";
import { type FieldLines, RANGES_PER_HEADER } from "../http/field-lines.ts";
import { CONNECTION_NAMES, FieldName } from "../http/field-name.ts";
import { type Head, type RequestHead, type ResponseHead, TargetForm } from "../http/head.ts";
import { Method, methodCode } from "../http/method.ts";

const SLASH = 0x2f;
const ASTERISK = 0x2a;

const TRAILERS = asciiBytes("trailers");
const CONTINUE = asciiBytes("100-continue");
const ORIGINAL_PROTOCOL = asciiBytes("l5d-orig-proto");
const HTTP_1 = asciiBytes("HTTP/1.");
const ABSOLUTE_FORM = asciiBytes("; absolute-form");
/** Fields that would change the framing or the address of what has been sent already. */
const NOT_IN_TRAILERS = CONNECTION_NAMES | 1 << FieldName.CONTENT_LENGTH | 1 << FieldName.HOST;
/** `HTTP/1.1`, in front of what else the original protocol says. */
const VERSION_BYTES = 8;

/** Reads a request's fields. False: it is malformed (RFC 9113 §8.1.1). */
export function readRequestHead(head: RequestHead): boolean {
  if (head.malformed || !readPseudo(head) || !readFields(head)) return false;
  if (head.methodEnd === 0) return false;
  head.method = methodCode(head.bytes, head.methodStart, head.methodEnd);
  if (head.method === Method.CONNECT) return readConnect(head);
  if (head.schemeEnd === 0 || head.targetEnd === 0) return false;
  return readTarget(head) && readAuthority(head);
}

/** Reads a response's fields. False: it is malformed. */
export function readResponseHead(head: ResponseHead): boolean {
  const { ranges, bytes } = head;
  if (head.malformed || head.firstRegular !== 1 || head.name(0) !== FieldName.STATUS) return false;
  if (ranges[3]! - ranges[2]! !== 3) return false;
  head.status = parseDecimal(bytes, ranges[2]!, ranges[3]!);
  return head.status >= 100 && head.status !== 101 && readFields(head);
}

/** Whether fields can stand behind a body, all of them. */
export function areTrailers(fields: FieldLines): boolean {
  if (fields.malformed || fields.tooLarge || fields.firstRegular > 0) return false;
  return (fields.seen & NOT_IN_TRAILERS) === 0;
}

function readPseudo(head: RequestHead): boolean {
  const { ranges } = head;
  for (let i = 0; i < head.firstRegular; i++) {
    const start = ranges[i * RANGES_PER_HEADER + 2]!;
    const end = ranges[i * RANGES_PER_HEADER + 3]!;
    if (end === start) return false;
    switch (head.name(i)) {
      case FieldName.METHOD:
        if (head.methodEnd !== 0) return false;
        head.methodStart = start;
        head.methodEnd = end;
        break;
      case FieldName.SCHEME:
        if (head.schemeEnd !== 0) return false;
        head.schemeStart = start;
        head.schemeEnd = end;
        break;
      case FieldName.PATH:
        if (head.targetEnd !== 0) return false;
        head.targetStart = start;
        head.targetEnd = end;
        break;
      case FieldName.AUTHORITY:
        if (head.authorityStart >= 0) return false;
        head.authorityStart = start;
        head.authorityEnd = end;
        break;
      default:
        return false;
    }
  }
  return isAll(head.bytes, head.methodStart, head.methodEnd, TOKEN) &&
    isAll(head.bytes, head.schemeStart, head.schemeEnd, TOKEN);
}

/** RFC 9113 §8.5: an authority with a port, and nothing else. */
function readConnect(head: RequestHead): boolean {
  if (head.schemeEnd !== 0 || head.targetEnd !== 0 || head.authorityStart < 0) return false;
  head.targetForm = TargetForm.AUTHORITY;
  head.targetStart = head.authorityStart;
  head.targetEnd = head.authorityEnd;
  return isAll(head.bytes, head.authorityStart, head.authorityEnd, HOST);
}

function readTarget(head: RequestHead): boolean {
  const { bytes, targetStart, targetEnd } = head;
  if (bytes[targetStart] === SLASH) return isAll(bytes, targetStart, targetEnd, TARGET);
  if (bytes[targetStart] !== ASTERISK || targetEnd - targetStart !== 1) return false;
  head.targetForm = TargetForm.ASTERISK;
  return head.method === Method.OPTIONS;
}

/** `:authority`, else Host; where both are there they must agree (RFC 9113 §8.3.1). */
function readAuthority(head: RequestHead): boolean {
  const { bytes, hostStart, hostEnd } = head;
  if (head.authorityStart < 0) {
    head.authorityStart = hostStart;
    head.authorityEnd = hostEnd;
  } else if (
    hostStart >= 0 &&
    !sameIgnoreCase(bytes, hostStart, hostEnd, head.authorityStart, head.authorityEnd)
  ) return false;
  return isAll(bytes, head.authorityStart, head.authorityEnd, HOST);
}

function readFields(head: Head): boolean {
  head.http2 = true;
  head.versionMinor = 1;
  if ((head.seen & CONNECTION_NAMES) !== 0) return false;
  for (let i = head.firstRegular; i < head.count; i++) {
    const name = head.name(i);
    if (name !== FieldName.OTHER && !readField(head, i, name)) return false;
  }
  return true;
}

function readField(head: Head, i: number, name: FieldName): boolean {
  const { bytes } = head;
  const start = head.ranges[i * RANGES_PER_HEADER + 2]!;
  const end = head.ranges[i * RANGES_PER_HEADER + 3]!;
  switch (name) {
    case FieldName.CONTENT_LENGTH:
      if (head.contentLength >= 0) return false;
      head.contentLength = parseDecimal(bytes, start, end);
      return head.contentLength >= 0;
    case FieldName.TE:
      return equalsIgnoreCase(bytes, start, end, TRAILERS);
    case FieldName.HOST:
      if (head.hostStart >= 0 && head.isRequest) return false;
      head.hostStart = start;
      head.hostEnd = end;
      return true;
    case FieldName.EXPECT:
      if (equalsBytes(bytes, start, end, CONTINUE)) head.expectContinue = true;
      return true;
    case FieldName.MESH:
    case FieldName.CANONICAL_DST:
      head.hasMeshHeaders = true;
      return true;
    default:
      return true;
  }
}

/**
 * Notes which HTTP/1 request a peer's proxy carries in this one; to be asked only of peers, whose word
 * counts. Leaves `originalVersion` at −1 when it is none.
 */
export function readOriginalProtocol(head: RequestHead): void {
  if (!head.hasMeshHeaders) return;
  const i = head.find(ORIGINAL_PROTOCOL);
  if (i < 0) return;
  const { bytes } = head;
  const start = head.ranges[i * RANGES_PER_HEADER + 2]!;
  const end = head.ranges[i * RANGES_PER_HEADER + 3]!;
  if (!startsWithBytes(bytes, start, end, HTTP_1) || end - start < VERSION_BYTES) return;
  head.originalVersion = bytes[start + HTTP_1.length] === 0x30 ? 0 : 1;
  if (equalsBytes(bytes, start + VERSION_BYTES, end, ABSOLUTE_FORM)) {
    head.targetForm = TargetForm.ABSOLUTE;
  }
}

function isAll(bytes: Uint8Array, start: number, end: number, table: Uint8Array): boolean {
  for (let i = start; i < end; i++) if (table[bytes[i]!] !== 1) return false;
  return true;
}
