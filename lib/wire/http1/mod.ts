/** HTTP/1.0 and 1.1 on bytes: heads, body framing, writing, detection. Does no input or output. */

export { BodyFramer, BodyMode } from "./body.ts";
export { Detected, detectProtocol } from "./detect.ts";
export { frameRequest, frameResponse, startsTunnel } from "./framing.ts";
export { Http1Reason, http1ReasonName } from "./reason.ts";
export { parseRequestHead } from "./request.ts";
export { parseResponseHead } from "./response.ts";
export {
  CHUNKED_LINE,
  EMPTY_LINE,
  NO_LINES,
  writeRequestHead,
  writeResponseHead,
  writeStatusLine,
} from "./write-head.ts";
