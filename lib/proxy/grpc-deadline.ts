// hot
/** The header `grpc-timeout`: how long its client waits for a call, and what is left of it further on. */

import { asciiBytes, copyBytes, parseDecimal } from "../base/bytes.ts";
import {
  type FieldLines,
  FieldName,
  RANGES_PER_HEADER,
  type RequestHead,
} from "../wire/http/mod.ts";

const DIGITS_MAX = 8;
const VALUE_MAX = 10 ** DIGITS_MAX - 1;

/** Milliseconds of a unit: hours, minutes, seconds, milli-, micro-, nanoseconds. */
const UNIT_MS: Readonly<Record<number, number>> = {
  0x48: 3_600_000,
  0x4d: 60_000,
  0x53: 1_000,
  0x6d: 1,
  0x75: 1e-3,
  0x6e: 1e-6,
};

/** The letters of what is written. */
const SECONDS = 0x53;
const MILLISECONDS = 0x6d;
const MICROSECONDS = 0x75;
/**
 * From here on milliseconds are fine enough; and consecutive calls then mostly have the same value, which
 * HTTP/2 sends as one byte.
 */
const COARSE_MS = 1_000;

const PREFIX = asciiBytes("grpc-timeout: ");
const NAME_LENGTH = PREFIX.length - 2;
const ZERO = 0x30;
const CR = 0x0d;
const LF = 0x0a;

/** Stands for a time that is over. */
const OVER_MS = 1e-6;

/** Milliseconds that the client waits, above 0; 0 when it does not say, or not in gRPC's words. */
export function grpcTimeoutMs(head: RequestHead): number {
  const i = head.findName(FieldName.GRPC_TIMEOUT);
  if (i < 0) return 0;
  const { bytes, ranges } = head;
  const start = ranges[i * RANGES_PER_HEADER + 2]!;
  const last = ranges[i * RANGES_PER_HEADER + 3]! - 1;
  const unitMs = UNIT_MS[bytes[last]!];
  if (unitMs === undefined || last - start > DIGITS_MAX) return 0;
  const value = parseDecimal(bytes, start, last);
  return value < 0 ? 0 : Math.max(OVER_MS, value * unitMs);
}

/** Adds the field that tells how much is left: at least a microsecond, since 0 is no timeout. */
export function addGrpcTimeout(leftMs: number, fields: FieldLines): void {
  if (leftMs < COARSE_MS) addField(Math.max(1, Math.floor(leftMs * 1_000)), MICROSECONDS, fields);
  else if (leftMs < VALUE_MAX) addField(Math.floor(leftMs), MILLISECONDS, fields);
  else addField(Math.min(VALUE_MAX, Math.floor(leftMs / 1_000)), SECONDS, fields);
}

function addField(value: number, letter: number, fields: FieldLines): void {
  let digits = 1;
  for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) digits++;
  const length = PREFIX.length + digits + 1;
  if (!fields.admits(length, FieldName.GRPC_TIMEOUT)) return;
  fields.reserve(length + 2);
  const { bytes, fieldsEnd: at } = fields;
  copyBytes(PREFIX, 0, PREFIX.length, bytes, at);
  let rest = value;
  for (let i = at + length - 2; i >= at + PREFIX.length; i--) {
    bytes[i] = ZERO + rest % 10;
    rest = Math.floor(rest / 10);
  }
  bytes[at + length - 1] = letter;
  bytes[at + length] = CR;
  bytes[at + length + 1] = LF;
  fields.commit(NAME_LENGTH, length, FieldName.GRPC_TIMEOUT);
}
