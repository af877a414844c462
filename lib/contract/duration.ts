/** Durations and moments: milliseconds here, seconds and nanoseconds on the wire. */

import { Duration } from "./gen/google/protobuf/duration.ts";
import { Timestamp } from "./gen/google/protobuf/timestamp.ts";

/** The message for a duration of whole or broken milliseconds. */
export function durationToWire(ms: number): Duration {
  const seconds = Math.trunc(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return Duration.fromPartial({ seconds: BigInt(seconds), nanos });
}

/** Milliseconds of a message; `missingMs` when there is none or it is negative. */
export function durationFromWire(message: Duration | undefined, missingMs: number): number {
  if (message === undefined) return missingMs;
  const ms = Number(message.seconds) * 1000 + message.nanos / 1e6;
  return ms >= 0 ? ms : missingMs;
}

/** The message for a moment in milliseconds since 1970. */
export function momentToWire(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  const nanos = Math.round((ms - seconds * 1000) * 1e6);
  return Timestamp.fromPartial({ seconds: BigInt(seconds), nanos });
}

/** Milliseconds since 1970. */
export function momentFromWire(message: Timestamp): number {
  return Number(message.seconds) * 1000 + message.nanos / 1e6;
}
