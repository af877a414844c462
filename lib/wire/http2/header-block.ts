// hot
/** The block of one HEADERS frame and its continuations, while it is not complete (RFC 9113 §6.10). */

import { ByteBuffer } from "../../base/bytes.ts";
import { CONTINUATIONS_MAX, HEADER_BLOCK_BYTES_MAX } from "../../base/limits.ts";
import { ErrorCode, Flag, readUint31 } from "./frame.ts";

/** Bytes that say on which stream another one depends, and how much; nobody heeds them any more. */
const PRIORITY_BYTES = 5;

/** At most one block of a connection is incomplete at a time. */
export class HeaderBlock {
  /** The stream whose block is incomplete, 0 when there is none. */
  streamId = 0;
  /** The HEADERS frame carried END_STREAM. */
  last = false;
  bytes: ByteBuffer = new ByteBuffer();
  /** The fragment that was found last. */
  start = 0;
  stop = 0;
  #continuations = 0;

  /** Finds the fragment of a HEADERS frame behind padding and priority: `[start, stop)`. */
  find(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    let at = start;
    let stop = end;
    if ((flags & Flag.PADDED) !== 0) {
      if (at >= end) return ErrorCode.FRAME_SIZE_ERROR;
      stop -= bytes[at++]!;
    }
    if ((flags & Flag.PRIORITY) !== 0) {
      if (at + PRIORITY_BYTES > end) return ErrorCode.FRAME_SIZE_ERROR;
      const code = dependsOnItself(streamId, bytes, at);
      if (code !== ErrorCode.NO_ERROR) return code;
      at += PRIORITY_BYTES;
    }
    this.start = at;
    this.stop = stop;
    return stop < at ? ErrorCode.PROTOCOL_ERROR : ErrorCode.NO_ERROR;
  }

  /** Begins with the fragment that was found, which is not the whole block. */
  begin(streamId: number, last: boolean, bytes: Uint8Array): void {
    this.streamId = streamId;
    this.last = last;
    this.#continuations = 0;
    this.bytes.append(bytes, this.start, this.stop);
  }

  /** Adds the fragment of a CONTINUATION. Too many or too much is an attack. */
  add(bytes: Uint8Array, start: number, end: number): ErrorCode {
    this.#continuations++;
    if (
      this.#continuations > CONTINUATIONS_MAX ||
      this.bytes.length + end - start > HEADER_BLOCK_BYTES_MAX
    ) return ErrorCode.ENHANCE_YOUR_CALM;
    this.bytes.append(bytes, start, end);
    return ErrorCode.NO_ERROR;
  }

  /** Forgets the block and gives its memory back. */
  end(): void {
    this.streamId = 0;
    this.bytes = new ByteBuffer();
  }
}

/** What RFC 9113 still forbids of priorities. */
function dependsOnItself(streamId: number, bytes: Uint8Array, at: number): ErrorCode {
  return readUint31(bytes, at) === streamId ? ErrorCode.PROTOCOL_ERROR : ErrorCode.NO_ERROR;
}

/** Checks a PRIORITY frame, which is otherwise ignored. */
export function checkPriority(
  streamId: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): ErrorCode {
  if (streamId === 0) return ErrorCode.PROTOCOL_ERROR;
  if (end - start !== PRIORITY_BYTES) return ErrorCode.FRAME_SIZE_ERROR;
  return dependsOnItself(streamId, bytes, start);
}
