/**
 * The trace that a request belongs to: the W3C's `traceparent`, and B3 in one field or in several. A
 * proxy goes on with a trace that somebody else has begun and sampled, and begins none. Its own span
 * takes its caller's place in the head itself: all ids have a fixed length, so nothing is added.
 */

import { asciiBytes, hexDigit } from "../base/bytes.ts";
import { RANGES_PER_HEADER, type RequestHead } from "../wire/http/mod.ts";

/** Bytes of a span's id. */
export const SPAN_ID_BYTES = 8;
const TRACE_ID_BYTES = 16;
const DASH = 0x2d;
const ZERO = 0x30;
const ONE = 0x31;
const LETTER_D = 0x64;
const DIGITS = asciiBytes("0123456789abcdef");

const TRACEPARENT = asciiBytes("traceparent");
const TRACESTATE = asciiBytes("tracestate");
const B3 = asciiBytes("b3");
const B3_TRACE = asciiBytes("x-b3-traceid");
const B3_SPAN = asciiBytes("x-b3-spanid");
const B3_PARENT = asciiBytes("x-b3-parentspanid");
const B3_SAMPLED = asciiBytes("x-b3-sampled");
const B3_FLAGS = asciiBytes("x-b3-flags");

/** `00-<trace>-<span>-<flags>`: where the parts begin, and where all of it ends. */
const W3C = { trace: 3, span: 36, flags: 53, end: 55 } as const;
const W3C_SAMPLED = 1;

/** A sampled trace. */
export interface TraceContext {
  readonly traceId: Uint8Array;
  readonly parentId: Uint8Array;
  /** The caller's, of the W3C's form only. */
  readonly traceState: string;
}

/** The trace of a request; null where there is none, none that is sampled, or none that is well formed. */
export function traceOf(head: RequestHead): TraceContext | null {
  return fromW3c(head) ?? fromB3(head) ?? fromB3Fields(head);
}

/** Puts a span in the place of its caller's, in every form that the head has. */
export function replaceSpan(head: RequestHead, spanId: Uint8Array, parentId: Uint8Array): void {
  const w3c = valueOf(head, TRACEPARENT, W3C.end);
  if (w3c !== null) writeHex(head.bytes, w3c.start + W3C.span, spanId);
  const b3 = b3At(head);
  if (b3 !== null) writeHex(head.bytes, b3.span, spanId);
  const span = valueOf(head, B3_SPAN, SPAN_ID_BYTES * 2);
  if (span === null) return;
  writeHex(head.bytes, span.start, spanId);
  const parent = valueOf(head, B3_PARENT, SPAN_ID_BYTES * 2);
  if (parent !== null) writeHex(head.bytes, parent.start, parentId);
}

function fromW3c(head: RequestHead): TraceContext | null {
  const value = valueOf(head, TRACEPARENT, W3C.end);
  if (value === null) return null;
  const { bytes } = head;
  const at = value.start;
  // Later versions may have more behind; 255 is none.
  const version = readHex(bytes, at, 1)?.[0] ?? 255;
  const isLonger = value.end - at > W3C.end;
  if (version === 255 || (isLonger && (version === 0 || bytes[at + W3C.end] !== DASH))) return null;
  const traceId = readHex(bytes, at + W3C.trace, TRACE_ID_BYTES);
  const parentId = readHex(bytes, at + W3C.span, SPAN_ID_BYTES);
  const flags = readHex(bytes, at + W3C.flags, 1)?.[0] ?? 0;
  if ((flags & W3C_SAMPLED) === 0) return null;
  const context = contextOf(traceId, parentId);
  const state = head.find(TRACESTATE);
  return context === null || state < 0
    ? context
    : { ...context, traceState: head.headerText(state) };
}

function fromB3(head: RequestHead): TraceContext | null {
  const found = b3At(head);
  if (found === null) return null;
  const { bytes } = head;
  const sampled = bytes[found.span + SPAN_ID_BYTES * 2] === DASH
    ? bytes[found.span + SPAN_ID_BYTES * 2 + 1]
    : ZERO;
  if (sampled !== ONE && sampled !== LETTER_D) return null;
  const traceId = readTraceId(bytes, found.trace, found.span - 1 - found.trace);
  return contextOf(traceId, readHex(bytes, found.span, SPAN_ID_BYTES));
}

function fromB3Fields(head: RequestHead): TraceContext | null {
  const trace = valueOf(head, B3_TRACE, 0);
  const span = valueOf(head, B3_SPAN, SPAN_ID_BYTES * 2);
  if (trace === null || span === null) return null;
  const sampled = head.find(B3_SAMPLED);
  const flags = head.find(B3_FLAGS);
  const isSampled = sampled >= 0 && ["1", "true"].includes(head.headerText(sampled));
  if (!isSampled && !(flags >= 0 && head.headerText(flags) === "1")) return null;
  const traceId = readTraceId(head.bytes, trace.start, trace.end - trace.start);
  return contextOf(traceId, readHex(head.bytes, span.start, SPAN_ID_BYTES));
}

/** Where the ids of a single B3 field begin: `<trace>-<span>` and perhaps more. */
function b3At(head: RequestHead): { readonly trace: number; readonly span: number } | null {
  const value = valueOf(head, B3, 16 + 1 + SPAN_ID_BYTES * 2);
  if (value === null) return null;
  const trace = value.start;
  for (const length of [16, 32]) {
    if (head.bytes[trace + length] !== DASH) continue;
    const span = trace + length + 1;
    return span + SPAN_ID_BYTES * 2 <= value.end ? { trace, span } : null;
  }
  return null;
}

/** An id of zeros is none. */
function contextOf(traceId: Uint8Array | null, parentId: Uint8Array | null): TraceContext | null {
  if (traceId === null || parentId === null) return null;
  if (traceId.every((byte) => byte === 0) || parentId.every((byte) => byte === 0)) return null;
  return { traceId, parentId, traceState: "" };
}

/** Ids of B3 may have half the length. */
function readTraceId(bytes: Uint8Array, start: number, length: number): Uint8Array | null {
  if (length !== 16 && length !== 32) return null;
  const id = readHex(bytes, start, length / 2);
  if (id === null || length === 32) return id;
  const whole = new Uint8Array(TRACE_ID_BYTES);
  whole.set(id, TRACE_ID_BYTES - id.length);
  return whole;
}

/** Where a field's value stands. */
interface Value {
  readonly start: number;
  readonly end: number;
}

/** The value of a field; null without one, or when it is shorter than that. */
function valueOf(head: RequestHead, name: Uint8Array, lengthMin: number): Value | null {
  const i = head.find(name);
  if (i < 0) return null;
  const at = i * RANGES_PER_HEADER;
  const [start, end] = [head.ranges[at + 2] ?? 0, head.ranges[at + 3] ?? 0];
  return end - start < lengthMin ? null : { start, end };
}

/** Bytes from twice as many digits; null when some are none. */
function readHex(bytes: Uint8Array, start: number, count: number): Uint8Array | null {
  const read = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const high = hexDigit(bytes[start + i * 2] ?? 0);
    const low = hexDigit(bytes[start + i * 2 + 1] ?? 0);
    if (high > 15 || low > 15) return null;
    read[i] = high * 16 + low;
  }
  return read;
}

function writeHex(bytes: Uint8Array, start: number, value: Uint8Array): void {
  for (const [i, byte] of value.entries()) {
    bytes[start + i * 2] = DIGITS[byte >> 4] ?? ZERO;
    bytes[start + i * 2 + 1] = DIGITS[byte & 15] ?? ZERO;
  }
}
