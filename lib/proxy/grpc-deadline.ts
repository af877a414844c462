// hot
/** The header `grpc-timeout`: how long its client waits for a call, and what is left of it further on. */

import { asciiBytes, parseDecimal } from "../base/bytes.ts";
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

/** Units of what is written, the finest first; a day in milliseconds fits. */
const WRITTEN: readonly (readonly [unitMs: number, letter: string])[] = [
  [1e-3, "u"],
  [1, "m"],
  [1_000, "S"],
];

const NAME = "grpc-timeout";

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
  let text = "";
  for (let i = 0; i < WRITTEN.length; i++) {
    const [unitMs, letter] = WRITTEN[i]!;
    const value = Math.max(1, Math.floor(leftMs / unitMs));
    text = `${Math.min(value, VALUE_MAX)}${letter}`;
    if (value <= VALUE_MAX) break;
  }
  const line = asciiBytes(`${NAME}: ${text}\r\n`);
  fields.append(line, 0, NAME.length, line.length - 2, FieldName.GRPC_TIMEOUT);
}
