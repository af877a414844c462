// hot
/**
 * Splits what comes into frames. DATA is handed on piece by piece as it comes; every other frame
 * whole, in place where it arrived in one piece, else collected first.
 *
 *     HEAD ──▶ DATA ──▶ PADDING ──▶ HEAD          HEAD ──▶ WHOLE ──▶ HEAD
 */

import { ByteBuffer } from "../../base/bytes.ts";
import { ErrorCode, Flag, FRAME_HEAD_BYTES, FrameType } from "./frame.ts";
import { readUint31 } from "./frame.ts";

/** Takes frames. What returns a code other than `NO_ERROR` fails the connection with it. */
export interface FrameSink {
  /** No more frames are taken; null while they are. */
  readonly failed: ErrorCode | null;
  /** A frame whose payload is larger is a mistake of the peer's. */
  readonly frameBytesMax: number;
  /** A DATA frame begins; `length` includes padding, as flow control does. */
  dataBegan(streamId: number, length: number): ErrorCode;
  /** Payload of the DATA frame that began last; `last`: the stream ends with it. May be empty. */
  dataCame(bytes: Uint8Array, start: number, end: number, last: boolean): void;
  /** So many bytes of it were padding. */
  paddingCame(length: number): void;
  /** Any other frame. The bytes are only good during the call. */
  frameCame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode;
}

const HEAD = 0;
const WHOLE = 1;
const PAD_LENGTH = 2;
const DATA = 3;
const PADDING = 4;

/** Reads one connection's frames. */
export class FrameReader {
  readonly #sink: FrameSink;
  #phase = HEAD;
  readonly #head = new Uint8Array(FRAME_HEAD_BYTES);
  #headLength = 0;
  #type = 0;
  #flags = 0;
  #streamId = 0;
  /** Bytes of the frame, or of its present part, that have not come. */
  #left = 0;
  #padding = 0;
  #partial: ByteBuffer | null = null;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Takes the next bytes; a code other than `NO_ERROR` fails the connection. */
  read(bytes: Uint8Array, start: number, end: number): ErrorCode {
    let at = start;
    while (at < end) {
      switch (this.#phase) {
        case HEAD: {
          at = this.#takeHead(bytes, at, end);
          if (this.#headLength < FRAME_HEAD_BYTES) return ErrorCode.NO_ERROR;
          this.#headLength = 0;
          if (this.#sink.failed !== null) return ErrorCode.NO_ERROR;
          const code = this.#begin();
          if (code !== ErrorCode.NO_ERROR) return code;
          break;
        }
        case PAD_LENGTH:
          this.#padding = bytes[at++]!;
          this.#left--;
          if (this.#padding > this.#left) return ErrorCode.PROTOCOL_ERROR;
          this.#left -= this.#padding;
          this.#sink.paddingCame(1);
          this.#beginData();
          break;
        case DATA:
          at = this.#data(bytes, at, end);
          break;
        case PADDING: {
          const taken = Math.min(end - at, this.#padding);
          this.#padding -= taken;
          at += taken;
          this.#sink.paddingCame(taken);
          if (this.#padding === 0) this.#phase = HEAD;
          break;
        }
        default: {
          const taken = Math.min(end - at, this.#left);
          const code = this.#whole(bytes, at, at + taken);
          if (code !== ErrorCode.NO_ERROR) return code;
          at += taken;
        }
      }
    }
    return ErrorCode.NO_ERROR;
  }

  #takeHead(bytes: Uint8Array, at: number, end: number): number {
    const head = this.#head;
    let length = this.#headLength;
    while (at < end && length < FRAME_HEAD_BYTES) head[length++] = bytes[at++]!;
    this.#headLength = length;
    return at;
  }

  #begin(): ErrorCode {
    const head = this.#head;
    const length = head[0]! << 16 | head[1]! << 8 | head[2]!;
    this.#type = head[3]!;
    this.#flags = head[4]!;
    this.#streamId = readUint31(head, 5);
    this.#left = length;
    if (length > this.#sink.frameBytesMax) return ErrorCode.FRAME_SIZE_ERROR;
    if (this.#type !== FrameType.DATA) {
      this.#phase = WHOLE;
      return length === 0 ? this.#whole(head, 0, 0) : ErrorCode.NO_ERROR;
    }
    const code = this.#sink.dataBegan(this.#streamId, length);
    if (code !== ErrorCode.NO_ERROR) return code;
    this.#padding = 0;
    if ((this.#flags & Flag.PADDED) !== 0) {
      if (length === 0) return ErrorCode.FRAME_SIZE_ERROR;
      this.#phase = PAD_LENGTH;
    } else this.#beginData();
    return ErrorCode.NO_ERROR;
  }

  /** An empty payload is told too: the stream may end with it. */
  #beginData(): void {
    if (this.#left === 0) this.#endData(this.#head, 0, 0);
    else this.#phase = DATA;
  }

  #data(bytes: Uint8Array, at: number, end: number): number {
    const taken = Math.min(end - at, this.#left);
    this.#left -= taken;
    if (this.#left === 0) this.#endData(bytes, at, at + taken);
    else this.#sink.dataCame(bytes, at, at + taken, false);
    return at + taken;
  }

  #endData(bytes: Uint8Array, start: number, end: number): void {
    this.#phase = this.#padding > 0 ? PADDING : HEAD;
    this.#sink.dataCame(bytes, start, end, (this.#flags & Flag.END_STREAM) !== 0);
  }

  #whole(bytes: Uint8Array, start: number, end: number): ErrorCode {
    const partial = this.#partial;
    this.#left -= end - start;
    if (this.#left > 0) {
      if (partial === null) this.#partial = new ByteBuffer(end - start + this.#left);
      this.#partial?.append(bytes, start, end);
      return ErrorCode.NO_ERROR;
    }
    this.#phase = HEAD;
    if (partial === null) {
      return this.#sink.frameCame(this.#type, this.#flags, this.#streamId, bytes, start, end);
    }
    partial.append(bytes, start, end);
    this.#partial = null;
    return this.#sink.frameCame(
      this.#type,
      this.#flags,
      this.#streamId,
      partial.bytes,
      partial.start,
      partial.end,
    );
  }
}
