/** HTTP/2 without its socket: frames, header tables, streams, windows. Does no input or output. */

export { ErrorCode, errorCodeName } from "./frame.ts";
export { readOriginalProtocol } from "./read-head.ts";
export type { Sender } from "./sender.ts";
export type { Http2Events } from "./events.ts";
export { Http2Session } from "./session.ts";
export { SessionSpares } from "./session-spares.ts";
export type { Http2Stream } from "./stream.ts";
export { encodeFieldLines, encodeRequest, encodeResponse } from "./write-head.ts";
