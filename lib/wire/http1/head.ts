// hot
/**
 * A parsed HTTP/1 head: where its parts stand in the caller's bytes, and what was learned from them.
 * Objects are reused from message to message and make no strings while parsing. All offsets are
 * absolute in the array given to the parser and stay true only as long as that array does.
 *
 * Parsing may stop in the middle and go on with more bytes, even at another place or in another array
 * (`resumeAt`): offsets found so far are then shifted.
 */

import { asciiText, equalsIgnoreCase } from "../../base/bytes.ts";
import { HEADER_BYTES_MAX } from "../../base/limits.ts";
import { Method } from "./method.ts";
import { Http1Reason } from "./reason.ts";

/** Offsets of one header line in `ranges`: name start and end, value start and end. */
export const RANGES_PER_HEADER = 4;

/** What request and response heads have in common: the version and the header lines. */
export class Head {
  /** First byte of the start line, behind empty lines that were skipped. */
  start = 0;
  /** Behind the blank line. */
  end = 0;
  /** First byte of the header lines. */
  fieldsStart = 0;
  /** 0 or 1. */
  versionMinor = 0;
  /** Number of header lines. */
  count = 0;
  /** `RANGES_PER_HEADER` offsets a header; the value without white space around it. */
  ranges: Int32Array = new Int32Array(32 * RANGES_PER_HEADER);

  /** Content-Length, −1 without one. */
  contentLength = -1;
  /** Transfer-Encoding ends with chunked. */
  chunked = false;
  /** There is a Transfer-Encoding. */
  hasTransferEncoding = false;
  connectionClose = false;
  connectionKeepAlive = false;
  connectionUpgrade = false;
  /** Connection names other headers, which then must not be forwarded. */
  connectionNames = false;
  hasUpgrade = false;
  /** Upgrade offers `h2c`: never forwarded, it would hide the requests behind it from us. */
  upgradeH2c = false;
  /** Expect: 100-continue. */
  expectContinue = false;
  /** Value of the Host header; −1 without one. */
  hostStart = -1;
  hostEnd = -1;
  /** Some header's name begins with `l5d-`. */
  hasMeshHeaders = false;
  /** There is a Connection, Keep-Alive or Proxy-Connection header. */
  hasHopByHop = false;

  /** Bytes from the head's start that the last call saw; pass it back to go on. 0 when complete. */
  scanned = 0;
  /** Where the parser goes on, relative to the start; the start of an unfinished line. */
  resumeAt = 0;
  /** The start that the offsets are true for. */
  base = 0;
  /** The start line has been parsed. */
  inFields = false;
  readonly isRequest: boolean;

  constructor(isRequest: boolean) {
    this.isRequest = isRequest;
  }

  /** Whether the connection may carry another message after this one (RFC 9112 §9.3). */
  persistent(): boolean {
    return !this.connectionClose && (this.versionMinor === 1 || this.connectionKeepAlive);
  }

  /** Whether another protocol is asked for (request) or taken (response) on this connection. */
  upgrades(): boolean {
    return this.hasUpgrade && this.connectionUpgrade && !this.upgradeH2c &&
      this.versionMinor === 1;
  }

  /** Name of header `i` as it was sent; cold. */
  headerName(bytes: Uint8Array, i: number): string {
    const at = i * RANGES_PER_HEADER;
    return asciiText(bytes, this.ranges[at]!, this.ranges[at + 1]!);
  }

  /** Value of header `i`; cold. */
  headerText(bytes: Uint8Array, i: number): string {
    const at = i * RANGES_PER_HEADER;
    return asciiText(bytes, this.ranges[at + 2]!, this.ranges[at + 3]!);
  }

  /** Index of the first header of that name from `from` on, −1 without one. `lower`: lower-case. */
  find(bytes: Uint8Array, lower: Uint8Array, from = 0): number {
    const ranges = this.ranges;
    for (let i = from; i < this.count; i++) {
      const at = i * RANGES_PER_HEADER;
      if (equalsIgnoreCase(bytes, ranges[at]!, ranges[at + 1]!, lower)) return i;
    }
    return -1;
  }

  /** Forgets everything; parsers do it when they begin a head. */
  reset(): void {
    this.start = 0;
    this.end = 0;
    this.fieldsStart = 0;
    this.versionMinor = 0;
    this.count = 0;
    this.contentLength = -1;
    this.chunked = false;
    this.hasTransferEncoding = false;
    this.connectionClose = false;
    this.connectionKeepAlive = false;
    this.connectionUpgrade = false;
    this.connectionNames = false;
    this.hasUpgrade = false;
    this.upgradeH2c = false;
    this.expectContinue = false;
    this.hostStart = -1;
    this.hostEnd = -1;
    this.hasMeshHeaders = false;
    this.hasHopByHop = false;
    this.scanned = 0;
    this.resumeAt = 0;
    this.base = 0;
    this.inFields = false;
  }

  /** Moves all offsets after the caller has moved the bytes. */
  rebase(by: number): void {
    this.start += by;
    this.end += by;
    this.fieldsStart += by;
    if (this.hostStart >= 0) {
      this.hostStart += by;
      this.hostEnd += by;
    }
    const used = this.count * RANGES_PER_HEADER;
    for (let i = 0; i < used; i++) this.ranges[i]! += by;
    this.base += by;
  }

  /** Room for one more header line. */
  growRanges(): void {
    const grown = new Int32Array(this.ranges.length * 2);
    grown.set(this.ranges);
    this.ranges = grown;
  }
}

/** Form of a request target (RFC 9112 §3.2). */
export const TargetForm = { ORIGIN: 1, ABSOLUTE: 2, AUTHORITY: 3, ASTERISK: 4 } as const;

/** One of the forms. */
export type TargetForm = (typeof TargetForm)[keyof typeof TargetForm];

/** The head of a request. */
export class RequestHead extends Head {
  method: Method = Method.OTHER;
  methodStart = 0;
  methodEnd = 0;
  targetStart = 0;
  targetEnd = 0;
  targetForm: TargetForm = TargetForm.ORIGIN;
  /** Host and port in the target (absolute and authority form), else the Host header; −1: none. */
  authorityStart = -1;
  authorityEnd = -1;

  constructor() {
    super(true);
  }

  methodText(bytes: Uint8Array): string {
    return asciiText(bytes, this.methodStart, this.methodEnd);
  }

  targetText(bytes: Uint8Array): string {
    return asciiText(bytes, this.targetStart, this.targetEnd);
  }

  /** Empty when there is none. */
  authorityText(bytes: Uint8Array): string {
    if (this.authorityStart < 0) return "";
    return asciiText(bytes, this.authorityStart, this.authorityEnd);
  }

  override reset(): void {
    super.reset();
    this.method = Method.OTHER;
    this.methodStart = 0;
    this.methodEnd = 0;
    this.targetStart = 0;
    this.targetEnd = 0;
    this.targetForm = TargetForm.ORIGIN;
    this.authorityStart = -1;
    this.authorityEnd = -1;
  }

  override rebase(by: number): void {
    super.rebase(by);
    this.methodStart += by;
    this.methodEnd += by;
    this.targetStart += by;
    this.targetEnd += by;
    if (this.authorityStart >= 0) {
      this.authorityStart += by;
      this.authorityEnd += by;
    }
  }
}

/** The head of a response. */
export class ResponseHead extends Head {
  /** 100–999. */
  status = 0;

  constructor() {
    super(false);
  }

  /** 1xx except 101: another head follows for the same request. */
  interim(): boolean {
    return this.status < 200 && this.status !== 101;
  }

  override reset(): void {
    super.reset();
    this.status = 0;
  }
}

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
