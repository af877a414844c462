// hot
/**
 * `Retry-After` (RFC 9110 §10.2.3): seconds, or a date in the form that servers must write (§5.6.7). How far
 * away a date is, the clocks of two machines say; whoever heeds it has a bound.
 */

import { asciiBytes, asciiText, parseDecimal } from "../base/bytes.ts";
import type { Clock } from "../host/clock.ts";
import { RANGES_PER_HEADER, type ResponseHead } from "../wire/http/mod.ts";

const RETRY_AFTER = asciiBytes("retry-after");
const DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;
const DATE_BYTES = "Wed, 21 Oct 2026 07:28:00 GMT".length;

/** Milliseconds; 0 without one, or when the date is over. */
export function retryAfterMs(head: ResponseHead, clock: Clock): number {
  const i = head.find(RETRY_AFTER);
  if (i < 0) return 0;
  const at = i * RANGES_PER_HEADER;
  const { bytes, ranges } = head;
  const from = ranges[at + 2]!;
  const to = ranges[at + 3]!;
  const seconds = parseDecimal(bytes, from, to);
  if (seconds >= 0) return seconds * 1_000;
  return to - from === DATE_BYTES ? untilMs(asciiText(bytes, from, to), clock) : 0;
}

function untilMs(text: string, clock: Clock): number {
  const atMs = DATE.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(atMs) ? 0 : Math.max(0, atMs - clock.nowMs());
}
