// hot
/** Tells from the first bytes of a connection which protocol it speaks. */

import { asciiBytes } from "../../base/bytes.ts";
import { DETECT_BYTES_MAX, METHOD_BYTES_MAX } from "../../base/limits.ts";
import { TARGET } from "../http/characters.ts";

/** What the first bytes can mean. */
export const Detected = { MORE: 0, HTTP1: 1, HTTP2: 2, OPAQUE: 3 } as const;

/** One of the answers; `MORE` asks for more bytes. */
export type Detected = (typeof Detected)[keyof typeof Detected];

const SPACE = 0x20;

/** The start of the HTTP/2 connection preface (RFC 9113 §3.4) that nothing else begins with. */
const PREFACE = asciiBytes("PRI * HTTP/2.0");
const HTTP_1 = asciiBytes("HTTP/1.");

/** Bytes of a method as far as detection cares: letters, hyphen and underscore. */
const METHOD = new Uint8Array(256);
for (const byte of asciiBytes("-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")) {
  METHOD[byte] = 1;
}

/**
 * Looks at all bytes that came so far. Says `OPAQUE` at the first byte that rules HTTP out, so that
 * other protocols wait for nothing; HTTP/1 is a method, a target and `HTTP/1.`.
 */
export function detectProtocol(bytes: Uint8Array, start: number, end: number): Detected {
  let at = start;
  const preface = Math.min(end, start + PREFACE.length);
  while (at < preface && bytes[at] === PREFACE[at - start]) at++;
  if (at === preface) {
    return at - start === PREFACE.length ? Detected.HTTP2 : Detected.MORE;
  }
  at = start;
  while (at < end && METHOD[bytes[at]!] === 1) at++;
  if (at - start > METHOD_BYTES_MAX) return Detected.OPAQUE;
  if (at >= end) return Detected.MORE;
  if (bytes[at] !== SPACE || at === start) return Detected.OPAQUE;
  const target = ++at;
  const limit = Math.min(end, start + DETECT_BYTES_MAX);
  while (at < limit && TARGET[bytes[at]!] === 1) at++;
  if (at >= limit) {
    return limit < end || at - start === DETECT_BYTES_MAX ? Detected.OPAQUE : Detected.MORE;
  }
  if (bytes[at] !== SPACE || at === target) return Detected.OPAQUE;
  at++;
  for (let i = 0; i < HTTP_1.length; i++, at++) {
    if (at >= end) return Detected.MORE;
    if (bytes[at] !== HTTP_1[i]) return Detected.OPAQUE;
  }
  return Detected.HTTP1;
}
