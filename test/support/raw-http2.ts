/** HTTP/2 by hand for tests: frames as they are sent and received. */

import { ByteBuffer } from "../../lib/base/bytes.ts";
import { PREFACE, writeFrameHead } from "../../lib/wire/http2/frame.ts";

/** A frame. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Uint8Array;
}

/** `GET /` of authority `a`, from the static table. */
export const GET_BLOCK: Uint8Array = Uint8Array.of(0x82, 0x86, 0x84, 0x41, 0x01, 0x61);

/** The bytes of a frame. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const out = new ByteBuffer();
  writeFrameHead(out, payload.length, type, flags, streamId);
  out.append(payload, 0, payload.length);
  return out.bytes.slice(out.start, out.end);
}

/** What a client says first, with empty settings. */
export function hello(): Uint8Array {
  return Uint8Array.from([...PREFACE, ...frame(4, 0, 0)]);
}

/** The whole frames among the bytes that came. */
export function framesOf(bytes: Uint8Array): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const length = bytes[at]! << 16 | bytes[at + 1]! << 8 | bytes[at + 2]!;
    const streamId = (bytes[at + 5]! & 0x7f) << 24 | bytes[at + 6]! << 16 | bytes[at + 7]! << 8 |
      bytes[at + 8]!;
    if (at + 9 + length > bytes.length) break;
    const payload = bytes.slice(at + 9, at + 9 + length);
    frames.push({ type: bytes[at + 3]!, flags: bytes[at + 4]!, streamId, payload });
    at += 9 + length;
  }
  return frames;
}

/** Splits a stream of bytes into frames as they become whole. */
export class FrameSplitter {
  /** Bytes in front of the first frame. */
  #preface: number;
  readonly #rest = new ByteBuffer();

  constructor(preface: number) {
    this.#preface = preface;
  }

  push(bytes: Uint8Array): Frame[] {
    const skipped = Math.min(this.#preface, bytes.length);
    this.#preface -= skipped;
    const rest = this.#rest;
    rest.append(bytes, skipped, bytes.length);
    const frames = framesOf(rest.bytes.subarray(rest.start, rest.end));
    for (const { payload } of frames) rest.consume(9 + payload.length);
    return frames;
  }
}

/** The parts one behind the other. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const out = new ByteBuffer();
  for (const part of parts) out.append(part, 0, part.length);
  return out.bytes.slice(out.start, out.end);
}
