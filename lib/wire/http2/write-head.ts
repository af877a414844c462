// hot
/**
 * Heads as they go on by HTTP/2, whichever protocol they came by. A request of HTTP/1 may be carried to
 * a peer's proxy, which makes it HTTP/1 again: `l5d-orig-proto` then says what it was.
 */

import { asciiBytes, equalsIgnoreCase } from "../../base/bytes.ts";
import { type FieldLines, RANGES_PER_HEADER } from "../http/field-lines.ts";
import { FieldName } from "../http/field-name.ts";
import { type Head, RequestHead, type ResponseHead, TargetForm } from "../http/head.ts";
import { Method } from "../http/method.ts";
import { isDropped } from "../http/hop-by-hop.ts";
import { elementEnd, elementStart, trimEnd } from "../http/list.ts";
import { StaticIndex } from "./hpack/mod.ts";
import type { Sender } from "./sender.ts";

const SLASH = 0x2f;

const METHOD = asciiBytes(":method");
const SCHEME = asciiBytes(":scheme");
const AUTHORITY = asciiBytes(":authority");
const PATH = asciiBytes(":path");
const SCHEME_END = asciiBytes("://");
const ROOT = asciiBytes("/");
const ASTERISK = asciiBytes("*");
const TE = asciiBytes("te");
const TRAILERS = asciiBytes("trailers");
const ORIGINAL = asciiBytes("l5d-orig-proto");
const ORIGINAL_VALUES = ["HTTP/1.0", "HTTP/1.1"].map(asciiBytes);
const ORIGINAL_ABSOLUTE = ["HTTP/1.0", "HTTP/1.1"].map((version) =>
  asciiBytes(`${version}; absolute-form`)
);

/**
 * Writes the block of a request between `beginHeaders` and `endHeaders`; the fields of `added` and `more`
 * go behind its own.
 */
export function encodeRequest<O>(
  sender: Sender<O>,
  head: RequestHead,
  added: FieldLines | null,
  more: FieldLines | null,
): void {
  const { encoder, out } = sender;
  const { bytes } = head;
  if (head.method === Method.GET) encoder.indexedStatic(StaticIndex.METHOD_GET, out);
  else if (head.method === Method.POST) encoder.indexedStatic(StaticIndex.METHOD_POST, out);
  else sender.field(METHOD, bytes, head.methodStart, head.methodEnd);
  if (head.method !== Method.CONNECT) {
    if (head.schemeEnd - head.schemeStart > 4) {
      sender.field(SCHEME, bytes, head.schemeStart, head.schemeEnd);
    } else if (head.targetForm === TargetForm.ABSOLUTE && !head.http2) {
      sender.field(SCHEME, bytes, head.targetStart, head.authorityStart - SCHEME_END.length);
    } else encoder.indexedStatic(StaticIndex.SCHEME_HTTP, out);
    encodePath(sender, head);
  }
  // An empty one would be malformed; it goes as the Host that it was.
  if (head.authorityEnd > head.authorityStart) {
    sender.field(AUTHORITY, bytes, head.authorityStart, head.authorityEnd);
  }
  encodeFields(sender, head);
  if (!head.http2) {
    const values = head.targetForm === TargetForm.ABSOLUTE ? ORIGINAL_ABSOLUTE : ORIGINAL_VALUES;
    const value = values[head.versionMinor]!;
    sender.field(ORIGINAL, value, 0, value.length);
  }
  if (added !== null) encodeFieldLines(sender, added);
  if (more !== null) encodeFieldLines(sender, more);
}

/** Writes the block of a response, or of a head with 1xx; the fields of `added` go behind its own. */
export function encodeResponse<O>(
  sender: Sender<O>,
  head: ResponseHead,
  added: FieldLines | null,
): void {
  sender.encoder.status(head.status, sender.out);
  encodeFields(sender, head);
  if (added !== null) encodeFieldLines(sender, added);
}

function encodePath<O>(sender: Sender<O>, head: RequestHead): void {
  const { bytes, targetForm } = head;
  let start = head.targetStart;
  const end = head.targetEnd;
  if (targetForm === TargetForm.ABSOLUTE && !head.http2) start = head.authorityEnd;
  if (targetForm === TargetForm.ASTERISK) sender.field(PATH, ASTERISK, 0, 1);
  else if (start === end) {
    const path = head.method === Method.OPTIONS ? ASTERISK : ROOT;
    sender.field(PATH, path, 0, 1);
  } else if (bytes[start] !== SLASH) {
    // Only a query stands behind the authority.
    const { scratch } = sender;
    scratch.clear();
    scratch.append(PATH, 0, PATH.length);
    scratch.append(ROOT, 0, 1);
    scratch.append(bytes, start, end);
    const name = PATH.length;
    sender.encoder.field(scratch.bytes, 0, name, name, scratch.end, false, sender.out);
  } else if (end - start === 1) sender.encoder.indexedStatic(StaticIndex.PATH_SLASH, sender.out);
  else sender.field(PATH, bytes, start, end);
}

/** The regular fields that go on. */
function encodeFields<O>(sender: Sender<O>, head: Head): void {
  const { encoder, out } = sender;
  const { bytes, ranges } = head;
  for (let i = head.firstRegular; i < head.count; i++) {
    const name = head.name(i);
    if (name !== FieldName.OTHER || head.connectionNames) {
      if (isDropped(head, i, false) || !goesOn(head, name)) continue;
      if (name === FieldName.TE) {
        if (takesTrailers(head, i)) sender.field(TE, TRAILERS, 0, TRAILERS.length);
        continue;
      }
    }
    const at = i * RANGES_PER_HEADER;
    encoder.field(
      bytes,
      ranges[at]!,
      ranges[at + 1]!,
      ranges[at + 2]!,
      ranges[at + 3]!,
      head.isNeverIndexed(i),
      out,
    );
  }
}

/** What HTTP/2 says in another way, or not at all. */
function goesOn(head: Head, name: FieldName): boolean {
  switch (name) {
    case FieldName.TRANSFER_ENCODING:
      return false;
    case FieldName.HOST:
      return !(head instanceof RequestHead) || head.authorityEnd <= head.authorityStart;
    default:
      return true;
  }
}

/** The only thing that TE may say in HTTP/2, and must say exactly so (RFC 9113 §8.2.2). */
function takesTrailers(head: Head, i: number): boolean {
  const { bytes, ranges } = head;
  const end = ranges[i * RANGES_PER_HEADER + 3]!;
  let at = ranges[i * RANGES_PER_HEADER + 2]!;
  while (at < end) {
    const stop = elementEnd(bytes, at, end);
    const first = elementStart(bytes, at, stop);
    if (equalsIgnoreCase(bytes, first, trimEnd(bytes, first, stop), TRAILERS)) return true;
    at = stop + 1;
  }
  return false;
}

/** Writes fields as they are. */
export function encodeFieldLines<O>(sender: Sender<O>, fields: FieldLines): void {
  const { bytes, ranges } = fields;
  for (let i = 0; i < fields.count; i++) {
    const at = i * RANGES_PER_HEADER;
    sender.encoder.field(
      bytes,
      ranges[at]!,
      ranges[at + 1]!,
      ranges[at + 2]!,
      ranges[at + 3]!,
      false,
      sender.out,
    );
  }
}
