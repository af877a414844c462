/** Responses of the proxy itself: few, short, and never confused with the application's. */

import { asciiBytes, type ByteBuffer } from "../base/bytes.ts";
import type { CloseReason } from "../host/net.ts";
import { Http1Reason } from "../wire/http1/mod.ts";
import type { Sender } from "../wire/http2/mod.ts";
import { grpcStatusFor } from "./grpc.ts";
import type { Refusal } from "./http-parts.ts";

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
  if (options.explain) text += `l5d-proxy-error: ${printable(message)}\r\n`;
  // Tells the proxy before us to prefer another replica, and that sending again is safe.
  if (unsent === true) text += "l5d-proxy-connection: close\r\nmalla-unsent: true\r\n";
  if (options.close) text += "connection: close\r\n";
  else if (options.http10) text += "connection: keep-alive\r\n";
  const bytes = asciiBytes(`${text}\r\n`);
  out.append(bytes, 0, bytes.length);
}

/** Writes a whole response without a body between `beginHeaders` and `endHeaders`. */
export function writeErrorHttp2<O>(
  refusal: Refusal,
  grpc: boolean,
  explain: boolean,
  sender: Sender<O>,
): void {
  const { status, unsent } = refusal;
  const message = printable(refusal.message);
  const add = (name: string, value: string) => {
    const bytes = asciiBytes(value);
    sender.field(asciiBytes(name), bytes, 0, bytes.length);
  };
  sender.encoder.status(grpc ? 200 : status, sender.out);
  if (grpc) {
    add("content-type", "application/grpc");
    add("grpc-status", String(grpcStatusFor(status)));
    if (explain) add("grpc-message", percentEncoded(message));
  } else add("content-length", "0");
  if (explain) add("l5d-proxy-error", message);
  if (unsent !== true) return;
  add("l5d-proxy-connection", "close");
  add("malla-unsent", "true");
}

function printable(message: string): string {
  return message.replace(/[^\x20-\x7e]/g, "?");
}

/** As gRPC's messages are written. */
function percentEncoded(message: string): string {
  return message.replaceAll("%", "%25");
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
