// hot
/**
 * Heads as they go on by HTTP/1, whichever protocol they came by: the start line, the fields that go on,
 * lines that the proxy adds, and what the body's framing needs.
 */

import { asciiBytes, type ByteBuffer } from "../../base/bytes.ts";
import { type FieldLines, RANGES_PER_HEADER } from "../http/field-lines.ts";
import { FieldName } from "../http/field-name.ts";
import {
  type Head,
  MeshFields,
  type RequestHead,
  type ResponseHead,
  TargetForm,
} from "../http/head.ts";
import { isDropped } from "../http/hop-by-hop.ts";
import { reasonPhrase } from "../http/status.ts";

/** No header lines to add. */
export const NO_LINES: Uint8Array = new Uint8Array(0);
/** Says that the body is chunked, for heads that did not say so themselves. */
export const CHUNKED_LINE: Uint8Array = asciiBytes("transfer-encoding: chunked\r\n");
/** Says that there is no body. */
export const EMPTY_LINE: Uint8Array = asciiBytes("content-length: 0\r\n");

const CRLF = asciiBytes("\r\n");
const CONNECTION_UPGRADE = asciiBytes("connection: upgrade\r\n");
const HOST = asciiBytes("host: ");
const VERSION_10 = asciiBytes(" HTTP/1.0\r\n");
const VERSION_11 = asciiBytes(" HTTP/1.1\r\n");
const STATUS_11 = asciiBytes("HTTP/1.1 ");
/** Behind `HTTP/1.` of a status line. */
const MINOR_AT = 7;
const DIGIT_ONE = 0x31;
const SPACE = 0x20;
const ASTERISK = 0x2a;
const SLASH = 0x2f;
const COLON = 0x3a;

/** Appends a request's head; `lines` and the fields of `added` and `more` go behind its own. */
export function writeRequestHead(
  head: RequestHead,
  lines: Uint8Array,
  added: FieldLines | null,
  more: FieldLines | null,
  out: ByteBuffer,
): void {
  if (head.http2) {
    writeRequestLine(head, out);
    writeFields(head, false, head.fieldsStart, out);
  } else writeFields(head, false, head.start, out);
  if (added !== null) out.append(added.bytes, added.fieldsStart, added.fieldsEnd);
  if (more !== null) out.append(more.bytes, more.fieldsStart, more.fieldsEnd);
  out.append(lines, 0, lines.length);
  out.append(CRLF, 0, CRLF.length);
}

/**
 * Appends a response's head; `lines` and the fields of `added` go behind its own. `dropCoding`: the body is framed in another way
 * than `Transfer-Encoding` says. A head of HTTP/1.0 changes its version in
 * place: each hop speaks its own.
 */
export function writeResponseHead(
  head: ResponseHead,
  dropCoding: boolean,
  lines: Uint8Array,
  added: FieldLines | null,
  out: ByteBuffer,
): void {
  if (head.http2) {
    writeStatusLine(head.status, out);
    writeFields(head, dropCoding, head.fieldsStart, out);
  } else {
    if (head.versionMinor === 0) head.bytes[head.start + MINOR_AT] = DIGIT_ONE;
    writeFields(head, dropCoding, head.start, out);
  }
  if (added !== null) out.append(added.bytes, added.fieldsStart, added.fieldsEnd);
  out.append(lines, 0, lines.length);
  out.append(CRLF, 0, CRLF.length);
}

/** Appends `HTTP/1.1 <status> <reason>`. */
export function writeStatusLine(status: number, out: ByteBuffer): void {
  const reason = reasonPhrase(status);
  out.append(STATUS_11, 0, STATUS_11.length);
  out.reserve(4);
  out.bytes[out.end++] = 0x30 + Math.floor(status / 100);
  out.bytes[out.end++] = 0x30 + Math.floor(status / 10) % 10;
  out.bytes[out.end++] = 0x30 + status % 10;
  out.bytes[out.end++] = SPACE;
  out.append(reason, 0, reason.length);
  out.append(CRLF, 0, CRLF.length);
}

/** The request line and Host of a request that came by HTTP/2. */
function writeRequestLine(head: RequestHead, out: ByteBuffer): void {
  const { bytes } = head;
  out.append(bytes, head.methodStart, head.methodEnd);
  out.reserve(1);
  out.bytes[out.end++] = SPACE;
  const hasAuthority = head.authorityStart >= 0;
  if (head.targetForm === TargetForm.ABSOLUTE && hasAuthority) {
    out.append(bytes, head.schemeStart, head.schemeEnd);
    out.reserve(3);
    out.bytes[out.end++] = COLON;
    out.bytes[out.end++] = SLASH;
    out.bytes[out.end++] = SLASH;
    out.append(bytes, head.authorityStart, head.authorityEnd);
    // The server as a whole was asked for by its name alone.
    if (bytes[head.targetStart] !== ASTERISK) {
      out.append(bytes, head.targetStart, head.targetEnd);
    }
  } else out.append(bytes, head.targetStart, head.targetEnd);
  const version = head.originalVersion === 0 ? VERSION_10 : VERSION_11;
  out.append(version, 0, version.length);
  if (!hasAuthority || head.hostStart >= 0) return;
  out.append(HOST, 0, HOST.length);
  out.append(bytes, head.authorityStart, head.authorityEnd);
  out.append(CRLF, 0, CRLF.length);
}

/** Copies from an offset of the start line or the first field to the last field that goes on. */
function writeFields(head: Head, dropCoding: boolean, from: number, out: ByteBuffer): void {
  const needsCare = head.hasHopByHop || head.hasUpgrade || head.replacesTimeout ||
    (head.hasMeshHeaders && head.meshFields !== MeshFields.KEEP) ||
    (dropCoding && head.hasTransferEncoding);
  if (!needsCare) {
    out.append(head.bytes, from, head.fieldsEnd);
    return;
  }
  const upgrade = head.upgrades();
  copyKept(head, dropCoding, upgrade, from, out);
  if (upgrade) out.append(CONNECTION_UPGRADE, 0, CONNECTION_UPGRADE.length);
}

/** Copies the kept header lines in as few ranges as there are gaps. */
function copyKept(
  head: Head,
  dropCoding: boolean,
  upgrade: boolean,
  from: number,
  out: ByteBuffer,
): void {
  const { bytes, ranges } = head;
  let run = from;
  for (let i = head.firstRegular; i < head.count; i++) {
    const dropped = isDropped(head, i, upgrade) ||
      (dropCoding && head.name(i) === FieldName.TRANSFER_ENCODING);
    if (!dropped) continue;
    const slot = i * RANGES_PER_HEADER;
    const line = ranges[slot]!;
    if (line > run) out.append(bytes, run, line);
    run = i + 1 < head.count ? ranges[slot + RANGES_PER_HEADER]! : head.fieldsEnd;
  }
  if (head.fieldsEnd > run) out.append(bytes, run, head.fieldsEnd);
}
