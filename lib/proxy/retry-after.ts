// hot
/** `Retry-After` (RFC 9110 §10.2.3), in its form of seconds; dates are rare and not heeded. */

import { asciiBytes, parseDecimal } from "../base/bytes.ts";
import { RANGES_PER_HEADER, type ResponseHead } from "../wire/http/mod.ts";

const RETRY_AFTER = asciiBytes("retry-after");

/** Milliseconds; 0 without one. */
export function retryAfterMs(head: ResponseHead): number {
  const i = head.find(RETRY_AFTER);
  if (i < 0) return 0;
  const at = i * RANGES_PER_HEADER;
  const { bytes, ranges } = head;
  return Math.max(0, parseDecimal(bytes, ranges[at + 2]!, ranges[at + 3]!)) * 1_000;
}
