/** SETTINGS (RFC 9113 §6.5): the values that one side has announced to the other. */

import type { ByteBuffer } from "../../base/bytes.ts";
import { ErrorCode, FRAME_BYTES_USUAL, FrameType, readUint32 } from "./frame.ts";
import { writeFrameHead, writeUint32 } from "./frame.ts";

const HEADER_TABLE_SIZE = 1;
const ENABLE_PUSH = 2;
const MAX_CONCURRENT_STREAMS = 3;
const INITIAL_WINDOW_SIZE = 4;
const MAX_FRAME_SIZE = 5;
const MAX_HEADER_LIST_SIZE = 6;

const SETTING_BYTES = 6;
/** The largest window (RFC 9113 §6.9.1), and the largest stream id. */
export const MAX_31_BITS = 0x7fffffff;
const FRAME_BYTES_LARGEST = 0xffffff;
/** The window of a connection, and of streams until announced otherwise. */
export const WINDOW_USUAL = 65_535;

/** Settings as they hold now. */
export interface Http2Settings {
  headerTableBytes: number;
  /** Infinity until announced. */
  streamsMax: number;
  initialWindow: number;
  frameBytesMax: number;
  headerListBytesMax: number;
}

/** What holds as long as nothing is announced. */
export function initialSettings(): Http2Settings {
  return {
    headerTableBytes: 4_096,
    streamsMax: Infinity,
    initialWindow: WINDOW_USUAL,
    frameBytesMax: FRAME_BYTES_USUAL,
    headerListBytesMax: Infinity,
  };
}

/** Appends our SETTINGS. A client says that it takes no pushes. */
export function writeSettings(out: ByteBuffer, ours: Http2Settings, isServer: boolean): void {
  const pairs: [number, number][] = [
    [INITIAL_WINDOW_SIZE, ours.initialWindow],
    [MAX_FRAME_SIZE, ours.frameBytesMax],
    [MAX_HEADER_LIST_SIZE, ours.headerListBytesMax],
  ];
  if (isServer) pairs.push([MAX_CONCURRENT_STREAMS, ours.streamsMax]);
  else pairs.push([ENABLE_PUSH, 0]);
  writeFrameHead(out, pairs.length * SETTING_BYTES, FrameType.SETTINGS, 0, 0);
  for (const [id, value] of pairs) {
    out.reserve(2);
    out.bytes[out.end++] = id >>> 8;
    out.bytes[out.end++] = id;
    writeUint32(out, value);
  }
}

/** Takes what a peer has announced into `settings`. 0 or the code of a connection error. */
export function readSettings(
  bytes: Uint8Array,
  start: number,
  end: number,
  settings: Http2Settings,
): ErrorCode {
  if ((end - start) % SETTING_BYTES !== 0) return ErrorCode.FRAME_SIZE_ERROR;
  for (let at = start; at < end; at += SETTING_BYTES) {
    const id = bytes[at]! << 8 | bytes[at + 1]!;
    const code = takeSetting(settings, id, readUint32(bytes, at + 2));
    if (code !== ErrorCode.NO_ERROR) return code;
  }
  return ErrorCode.NO_ERROR;
}

function takeSetting(settings: Http2Settings, id: number, value: number): ErrorCode {
  switch (id) {
    case HEADER_TABLE_SIZE:
      settings.headerTableBytes = value;
      break;
    case ENABLE_PUSH:
      if (value > 1) return ErrorCode.PROTOCOL_ERROR;
      break;
    case MAX_CONCURRENT_STREAMS:
      settings.streamsMax = value;
      break;
    case INITIAL_WINDOW_SIZE:
      if (value > MAX_31_BITS) return ErrorCode.FLOW_CONTROL_ERROR;
      settings.initialWindow = value;
      break;
    case MAX_FRAME_SIZE:
      if (value < FRAME_BYTES_USUAL || value > FRAME_BYTES_LARGEST) {
        return ErrorCode.PROTOCOL_ERROR;
      }
      settings.frameBytesMax = value;
      break;
    case MAX_HEADER_LIST_SIZE:
      settings.headerListBytesMax = value;
      break;
    default:
      // Unknown settings are none of our business (RFC 9113 §6.5.2).
  }
  return ErrorCode.NO_ERROR;
}
