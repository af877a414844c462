/** Responses of the proxy itself: few, short, and never confused with the application's. */

import { asciiBytes, type ByteBuffer } from "../base/bytes.ts";
import type { CloseReason } from "../host/net.ts";
import { Http1Reason } from "../wire/http1/mod.ts";
import type { Refusal } from "./http-side.ts";

const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** How a refusal is written. */
export interface ErrorOptions {
  /** The client is told what went wrong. */
  readonly explain: boolean;
  /** The connection ends behind it. */
  readonly close: boolean;
  /** The request was HTTP/1.0, which assumes close. */
  readonly http10: boolean;
}

/** Appends a whole response without a body. */
export function writeError(refusal: Refusal, options: ErrorOptions, out: ByteBuffer): void {
  const { status, message, unsent } = refusal;
  let text = `HTTP/1.1 ${status} ${REASONS[status] ?? "Error"}\r\ncontent-length: 0\r\n`;
  if (options.explain) text += `l5d-proxy-error: ${message.replace(/[^\x20-\x7e]/g, "?")}\r\n`;
  // Tells the proxy before us to prefer another replica, and that sending again is safe.
  if (unsent === true) text += "l5d-proxy-connection: close\r\nmalla-unsent: true\r\n";
  if (options.close) text += "connection: close\r\n";
  else if (options.http10) text += "connection: keep-alive\r\n";
  const bytes = asciiBytes(`${text}\r\n`);
  out.append(bytes, 0, bytes.length);
}

/** The status for a request that cannot be parsed. `reason` is the parser's negated answer. */
export function malformedStatus(reason: number): number {
  switch (-reason) {
    case Http1Reason.TOO_LARGE:
    case Http1Reason.TOO_MANY_HEADERS:
      return 431;
    case Http1Reason.BAD_VERSION:
      return 505;
    default:
      return 400;
  }
}

/** The status for a hop that could not be connected. */
export function unreachableStatus(reason: CloseReason): number {
  return reason === "timeout" ? 504 : 502;
}
