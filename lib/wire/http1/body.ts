// hot
/**
 * Finds a message's payload and its end. Tells how many of the next bytes belong to the message and
 * which of them are payload, keeps the trailers, and refuses chunked coding that another parser might
 * read in another way.
 *
 * States of chunked coding:
 *
 *     SIZE ──";"──▶ EXTENSION          DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE
 *       └──CR──┬──────┘ CR              ▲
 *              ▼                        │ size > 0
 *           SIZE_LF ────────────────────┴── size = 0 ─▶ TRAILER ──CR──▶ END_LF ─▶ done
 *                                                       ▲    └ name ─▶ VALUE ─▶ VALUE_LF ┐
 *                                                       └────────────────────────────────┘
 */

import { hexDigit } from "../../base/bytes.ts";
import {
  CHUNK_EXTENSION_BYTES_MAX,
  CHUNK_EXTENSION_TOTAL_BYTES_MAX,
  CHUNK_SIZE_DIGITS_MAX,
  HEADER_COUNT_MAX,
  TRAILER_BYTES_MAX,
} from "../../base/limits.ts";
import { FIELD_VALUE, TOKEN } from "../http/characters.ts";
import { FieldName } from "../http/field-name.ts";
import type { FieldLines } from "../http/field-lines.ts";
import { badLineEnd } from "./fields.ts";
import { Http1Reason } from "./reason.ts";
import { TrailerLines } from "./trailers.ts";

/** How the end of a body is found. */
export const BodyMode = { NONE: 0, LENGTH: 1, CHUNKED: 2, UNTIL_CLOSE: 3 } as const;

/** One of the modes. */
export type BodyMode = (typeof BodyMode)[keyof typeof BodyMode];

const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;
const VALUE = 7;
const VALUE_LF = 8;
const END_LF = 9;

const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;
const SEMICOLON = 0x3b;

/**
 * Trailers that a recipient might merge into the head, where they would change the framing, the host, or
 * what the mesh says of the client.
 */
const FORBIDDEN = 1 << FieldName.HOST | 1 << FieldName.CONTENT_LENGTH |
  1 << FieldName.TRANSFER_ENCODING | 1 << FieldName.MESH | 1 << FieldName.CANONICAL_DST;

/** Finds the end of one body; begin each message with `begin…`. */
export class BodyFramer {
  mode: BodyMode = BodyMode.NONE;
  /** The whole body has been seen. Never true for a body that lasts until the connection closes. */
  done = true;
  /** Payload seen so far, without chunk framing. */
  bytes = 0;
  /** Bytes of payload still missing: of the body (length) or of the current chunk. */
  remaining = 0;
  /** The payload among the bytes that `advance` took; an empty range when there was none. */
  payloadStart = 0;
  payloadEnd = 0;

  #trailerLines: TrailerLines | null = null;
  #state = SIZE;
  #digits = 0;
  #extension = 0;
  #extensionTotal = 0;
  #trailerBytes = 0;
  #trailers = 0;
  #nameLength = 0;

  /** No body. */
  beginNone(): void {
    this.#begin(BodyMode.NONE, true);
  }

  /** A body of a known length; of 0, it is done at once. */
  beginLength(length: number): void {
    this.#begin(BodyMode.LENGTH, length === 0);
    this.remaining = length;
  }

  beginChunked(): void {
    this.#begin(BodyMode.CHUNKED, false);
  }

  beginUntilClose(): void {
    this.#begin(BodyMode.UNTIL_CLOSE, false);
  }

  /** Whether the end of the connection, now, is also the proper end of the body. */
  endsWithClose(): boolean {
    return this.done || this.mode === BodyMode.UNTIL_CLOSE;
  }

  /** The trailer fields of a chunked body that is done; null when it has none. */
  get trailers(): FieldLines | null {
    return this.#trailers > 0 ? this.#trailerLines : null;
  }

  /**
   * Takes framing and at most one run of payload from `[start, end)`: how many bytes, which is all of
   * them unless the body is done or more payload follows behind framing (call again then). A negated
   * `Http1Reason` for bad framing, after which the message must be given up.
   */
  advance(bytes: Uint8Array, start: number, end: number): number {
    this.payloadStart = start;
    this.payloadEnd = start;
    if (this.done) return 0;
    switch (this.mode) {
      case BodyMode.LENGTH: {
        const taken = this.#payload(start, end);
        this.done = this.remaining === 0;
        return taken;
      }
      case BodyMode.CHUNKED:
        return this.#advanceChunked(bytes, start, end);
      case BodyMode.UNTIL_CLOSE:
        this.payloadEnd = end;
        this.bytes += end - start;
        return end - start;
      default:
        return 0;
    }
  }

  /** Marks what is left of the known length as payload; how many bytes that is. */
  #payload(at: number, end: number): number {
    const taken = end - at < this.remaining ? end - at : this.remaining;
    this.payloadStart = at;
    this.payloadEnd = at + taken;
    this.remaining -= taken;
    this.bytes += taken;
    return taken;
  }

  #begin(mode: BodyMode, done: boolean): void {
    this.mode = mode;
    this.done = done;
    this.bytes = 0;
    this.remaining = 0;
    this.#state = SIZE;
    this.#digits = 0;
    this.#extension = 0;
    this.#extensionTotal = 0;
    this.#trailerBytes = 0;
    this.#trailers = 0;
    this.#nameLength = 0;
    this.#trailerLines?.resetFields();
  }

  #advanceChunked(bytes: Uint8Array, start: number, end: number): number {
    let at = start;
    while (at < end) {
      if (this.#state === DATA) {
        if (this.payloadEnd > this.payloadStart) return at - start;
        at += this.#payload(at, end);
        if (this.remaining === 0) this.#state = DATA_CR;
        continue;
      }
      const byte = bytes[at++]!;
      const reason = this.#state < TRAILER ? this.#frame(byte) : this.#trailer(byte);
      if (reason !== 0) return reason;
      if (this.done) break;
    }
    return at - start;
  }

  /** One byte of a size line or behind a chunk's data. 0 or a negated reason. */
  #frame(byte: number): number {
    switch (this.#state) {
      case SIZE:
        return this.#size(byte);
      case EXTENSION:
        if (byte === CR) {
          this.#state = SIZE_LF;
          return 0;
        }
        this.#extension++;
        this.#extensionTotal++;
        return FIELD_VALUE[byte] !== 1 || this.#extension > CHUNK_EXTENSION_BYTES_MAX ||
            this.#extensionTotal > CHUNK_EXTENSION_TOTAL_BYTES_MAX
          ? -Http1Reason.BAD_CHUNK_EXTENSION
          : 0;
      case SIZE_LF:
        if (byte !== LF) return -Http1Reason.BARE_CR;
        this.#state = this.remaining === 0 ? TRAILER : DATA;
        return 0;
      case DATA_CR:
        this.#state = DATA_LF;
        return byte === CR ? 0 : -Http1Reason.BAD_CHUNK_END;
      case DATA_LF:
        this.#state = SIZE;
        this.#digits = 0;
        this.#extension = 0;
        return byte === LF ? 0 : -Http1Reason.BAD_CHUNK_END;
      default:
        return -Http1Reason.BAD_CHUNK_SIZE;
    }
  }

  #size(byte: number): number {
    const digit = hexDigit(byte);
    if (digit < 16) {
      this.remaining = this.remaining * 16 + digit;
      this.#digits++;
      return this.#digits > CHUNK_SIZE_DIGITS_MAX || this.remaining > Number.MAX_SAFE_INTEGER
        ? -Http1Reason.BAD_CHUNK_SIZE
        : 0;
    }
    if (this.#digits === 0) return -Http1Reason.BAD_CHUNK_SIZE;
    if (byte === CR) this.#state = SIZE_LF;
    else if (byte === SEMICOLON) this.#state = EXTENSION;
    else return byte === LF ? -Http1Reason.BARE_LF : -Http1Reason.BAD_CHUNK_SIZE;
    return 0;
  }

  /** One byte of the trailer section. 0 or a negated reason. */
  #trailer(byte: number): number {
    if (++this.#trailerBytes > TRAILER_BYTES_MAX) return -Http1Reason.TOO_LARGE;
    switch (this.#state) {
      case TRAILER:
        return this.#trailerName(byte);
      case VALUE:
        if (FIELD_VALUE[byte] === 1) {
          this.#trailerLines?.putValue(byte);
          return 0;
        }
        if (byte !== CR) return badLineEnd(byte);
        this.#trailerLines?.endLine();
        this.#state = VALUE_LF;
        return 0;
      case VALUE_LF:
        this.#state = TRAILER;
        return byte === LF ? 0 : -Http1Reason.BARE_CR;
      default:
        this.done = byte === LF;
        return this.done ? 0 : -Http1Reason.BARE_CR;
    }
  }

  #trailerName(byte: number): number {
    const length = this.#nameLength;
    if (TOKEN[byte] === 1) {
      this.#nameLength = length + 1;
      this.#trailerLines ??= new TrailerLines();
      this.#trailerLines.putName(byte);
      return 0;
    }
    if (length === 0) {
      if (byte !== CR) return byte === LF ? -Http1Reason.BARE_LF : -Http1Reason.BAD_TRAILER;
      this.#state = END_LF;
      return 0;
    }
    const name = this.#trailerLines?.endName() ?? FieldName.OTHER;
    if (byte !== COLON || (1 << name & FORBIDDEN) !== 0 || ++this.#trailers > HEADER_COUNT_MAX) {
      return -Http1Reason.BAD_TRAILER;
    }
    this.#nameLength = 0;
    this.#state = VALUE;
    return 0;
  }
}
