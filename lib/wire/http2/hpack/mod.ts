/** HPACK (RFC 7541): header blocks of HTTP/2 to lines and back. Does no input or output. */

export { HpackDecoder } from "./decoder.ts";
export { HpackEncoder } from "./encoder.ts";
export { HpackReason, hpackReasonName } from "./reason.ts";
export { StaticIndex } from "./static-table.ts";
