// hot
/** Parsing of a head that stops for want of bytes and goes on with more. */

import { HEADER_BYTES_MAX } from "../../base/limits.ts";
import type { Head } from "../http/head.ts";
import { Http1Reason } from "./reason.ts";

/** Notes that `[start, end)` does not hold the whole head; the unfinished line begins at `line`. */
export function suspendHead(head: Head, start: number, end: number, line: number): number {
  if (end - start > HEADER_BYTES_MAX) return -Http1Reason.TOO_LARGE;
  head.scanned = end - start;
  head.resumeAt = line - start;
  head.base = start;
  return 0;
}

/**
 * Whether parsing can go on after a suspension: a line has been completed by the bytes behind the
 * `scanned` ones. Looking only for its LF keeps delivery byte by byte linear in the head's size.
 */
export function resumeHead(bytes: Uint8Array, start: number, end: number, head: Head): boolean {
  let at = start + head.scanned;
  while (at < end && bytes[at] !== 0x0a) at++;
  if (at >= end) return false;
  if (head.base !== start) head.rebase(start - head.base);
  return true;
}

/** Notes that even the unfinished line is not complete yet. Offsets stay as they are. */
export function waitForLine(head: Head, start: number, end: number): number {
  if (end - start > HEADER_BYTES_MAX) return -Http1Reason.TOO_LARGE;
  head.scanned = end - start;
  return 0;
}
