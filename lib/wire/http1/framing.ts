// hot
/** Which body follows a head (RFC 9112 §6.3). */

import type { BodyFramer } from "./body.ts";
import type { RequestHead, ResponseHead } from "../http/head.ts";
import { Method } from "../http/method.ts";

/** Begins the body of a request: chunked, of a length, or none. */
export function frameRequest(framer: BodyFramer, head: RequestHead): void {
  if (head.chunked) framer.beginChunked();
  else if (head.contentLength > 0) framer.beginLength(head.contentLength);
  else framer.beginNone();
}

/**
 * Begins the body of a response to a request with that method. After 101 and after a 2xx to CONNECT
 * there is no body: what follows is no HTTP (`startsTunnel`).
 */
export function frameResponse(
  framer: BodyFramer,
  head: ResponseHead,
  requestMethod: Method,
): void {
  const status = head.status;
  if (
    requestMethod === Method.HEAD || status < 200 || status === 204 || status === 304 ||
    startsTunnel(head, requestMethod)
  ) {
    framer.beginNone();
  } else if (head.chunked) framer.beginChunked();
  else if (head.contentLength >= 0) framer.beginLength(head.contentLength);
  else framer.beginUntilClose();
}

/** Whether the connection, behind this response's head, carries bytes that are no HTTP any more. */
export function startsTunnel(head: ResponseHead, requestMethod: Method): boolean {
  const status = head.status;
  return status === 101 || (requestMethod === Method.CONNECT && status >= 200 && status < 300);
}
