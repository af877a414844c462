/** HTTP/1.0 and 1.1 on bytes: heads, body framing, rewriting, detection. Does no input or output. */

export { BodyFramer, BodyMode } from "./body.ts";
export { Detected, detectProtocol } from "./detect.ts";
export { frameRequest, frameResponse, startsTunnel } from "./framing.ts";
export { Head, RANGES_PER_HEADER, RequestHead, ResponseHead, TargetForm } from "./head.ts";
export { isIdempotent, Method } from "./method.ts";
export { Http1Reason, http1ReasonName } from "./reason.ts";
export { parseRequestHead } from "./request.ts";
export { parseResponseHead } from "./response.ts";
export { NO_LINES, rewriteHead, type RewriteOptions } from "./rewrite.ts";
