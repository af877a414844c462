// hot
/** Frames of HTTP/2 (RFC 9113 §4, §6): their numbers, and how their heads are written. */

import { asciiBytes, type ByteBuffer } from "../../base/bytes.ts";

/** Frame types. */
export const FrameType = {
  DATA: 0,
  HEADERS: 1,
  PRIORITY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PUSH_PROMISE: 5,
  PING: 6,
  GOAWAY: 7,
  WINDOW_UPDATE: 8,
  CONTINUATION: 9,
} as const;

/** Frame flags; `ACK` and `END_STREAM` share a bit. */
export const Flag = {
  ACK: 0x1,
  END_STREAM: 0x1,
  END_HEADERS: 0x4,
  PADDED: 0x8,
  PRIORITY: 0x20,
} as const;

/** Error codes of RST_STREAM and GOAWAY (RFC 9113 §7). */
export const ErrorCode = {
  NO_ERROR: 0x0,
  PROTOCOL_ERROR: 0x1,
  INTERNAL_ERROR: 0x2,
  FLOW_CONTROL_ERROR: 0x3,
  SETTINGS_TIMEOUT: 0x4,
  STREAM_CLOSED: 0x5,
  FRAME_SIZE_ERROR: 0x6,
  REFUSED_STREAM: 0x7,
  CANCEL: 0x8,
  COMPRESSION_ERROR: 0x9,
  CONNECT_ERROR: 0xa,
  ENHANCE_YOUR_CALM: 0xb,
  INADEQUATE_SECURITY: 0xc,
  HTTP_1_1_REQUIRED: 0xd,
} as const;

/** One of the codes; a peer may send others, which mean `INTERNAL_ERROR`. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** Bytes of a frame's head. */
export const FRAME_HEAD_BYTES = 9;

/** The largest frame that needs no leave (RFC 9113 §4.2); also the largest that we take. */
export const FRAME_BYTES_USUAL = 16_384;

/** What a client says first. */
export const PREFACE: Uint8Array = asciiBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

/** Appends a frame's head. */
export function writeFrameHead(
  out: ByteBuffer,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  out.reserve(FRAME_HEAD_BYTES);
  putFrameHead(out.bytes, out.end, length, type, flags, streamId);
  out.end += FRAME_HEAD_BYTES;
}

/** Writes a frame's head at an offset. */
export function putFrameHead(
  bytes: Uint8Array,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): void {
  bytes[at] = length >>> 16;
  bytes[at + 1] = length >>> 8;
  bytes[at + 2] = length;
  bytes[at + 3] = type;
  bytes[at + 4] = flags;
  bytes[at + 5] = streamId >>> 24;
  bytes[at + 6] = streamId >>> 16;
  bytes[at + 7] = streamId >>> 8;
  bytes[at + 8] = streamId;
}

/** Appends 32 bits. */
export function writeUint32(out: ByteBuffer, value: number): void {
  out.reserve(4);
  const { bytes, end } = out;
  bytes[end] = value >>> 24;
  bytes[end + 1] = value >>> 16;
  bytes[end + 2] = value >>> 8;
  bytes[end + 3] = value;
  out.end = end + 4;
}

/** 32 bits at an offset, as a number from 0 on. */
export function readUint32(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 0x1000000 + (bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!);
}

/** 31 bits at an offset; the reserved bit in front is ignored. */
export function readUint31(bytes: Uint8Array, at: number): number {
  return (bytes[at]! & 0x7f) << 24 | bytes[at + 1]! << 16 | bytes[at + 2]! << 8 | bytes[at + 3]!;
}

/** Appends RST_STREAM. */
export function writeReset(out: ByteBuffer, streamId: number, code: number): void {
  writeFrameHead(out, 4, FrameType.RST_STREAM, 0, streamId);
  writeUint32(out, code);
}

/** Appends WINDOW_UPDATE. */
export function writeWindowUpdate(out: ByteBuffer, streamId: number, increment: number): void {
  writeFrameHead(out, 4, FrameType.WINDOW_UPDATE, 0, streamId);
  writeUint32(out, increment);
}

/** Appends GOAWAY without debug data. */
export function writeGoaway(out: ByteBuffer, lastStreamId: number, code: number): void {
  writeFrameHead(out, 8, FrameType.GOAWAY, 0, 0);
  writeUint32(out, lastStreamId);
  writeUint32(out, code);
}

/** The code's name in words, for logs: `refused stream`. */
export function errorCodeName(code: number): string {
  for (const [name, value] of Object.entries(ErrorCode)) {
    if (value === code) return name.toLowerCase().replaceAll("_", " ");
  }
  return `error ${code}`;
}
