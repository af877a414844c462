// hot
/**
 * The writing half of a session: frames are appended to `out` as far as the peer's windows and the room
 * in `out` admit; the rest waits on its stream. Streams that may write take turns, a frame each.
 */

import { ByteBuffer } from "../../base/bytes.ts";
import {
  FRAME_BYTES_MAX,
  SEND_BUFFER_BYTES,
  SEND_BUFFER_BYTES_HIGH,
  STREAM_WINDOW_BYTES,
  STREAMS_UNTIL_TOLD_MAX,
} from "../../base/limits.ts";
import { Ring } from "../../base/ring.ts";
import type { Spares } from "../../base/spares.ts";
import { type FieldLines, RANGES_PER_HEADER } from "../http/field-lines.ts";
import { TRAILERS_DROPPED } from "../http/field-name.ts";
import { ErrorCode, Flag, FRAME_BYTES_USUAL, FRAME_HEAD_BYTES, FrameType } from "./frame.ts";
import { putFrameHead, writeFrameHead } from "./frame.ts";
import { HpackEncoder } from "./hpack/mod.ts";
import type { Http2Session } from "./session.ts";
import { type Http2Settings, initialSettings, MAX_31_BITS, WINDOW_USUAL } from "./settings.ts";
import { Http2Stream } from "./stream.ts";

/** Stream ids are odd on a client's side, and 31 bits. */
const ID_LAST = MAX_31_BITS - 1;
/** A body up to this size does not need a large send buffer. */
const SMALL_BODY_BYTES = 4_096;
/** A send buffer of our own above this size is given up when it is empty. */
const SMALL_BUFFER_BYTES_MAX = 32_768;
/** What an idle connection keeps, unless it has used less. */
const SMALL_BUFFER_BYTES = 1_024;

/** Writes for one session. */
export class Sender<O> {
  /** Bytes for the socket. The user sends them and calls `sent`, and `rest` when it can send no more. */
  out: ByteBuffer = new ByteBuffer();
  readonly scratch: ByteBuffer = new ByteBuffer();
  readonly encoder: HpackEncoder = new HpackEncoder();
  /** What the peer has announced. */
  readonly peer: Http2Settings = initialSettings();
  /** The id of the next stream that we open. */
  nextId = 1;
  readonly #session: Http2Session<O>;
  /** Where large send buffers come from. */
  readonly #large: Spares<ByteBuffer>;
  /** Ours, while `out` is a large one. */
  #small: ByteBuffer | null = null;
  /** Bytes that the peer takes on all streams together. */
  #window = WINDOW_USUAL;
  /** Streams that have something to send and a window for it. */
  readonly #waiting = new Ring<Http2Stream<O>>();
  #isTold = false;
  /** Where the header block under way begins, from the start of `out`'s content. */
  #blockAt = 0;

  constructor(session: Http2Session<O>, large: Spares<ByteBuffer>) {
    this.#session = session;
    this.#large = large;
  }

  /** Whether the client's side may open a stream now. */
  get mayOpen(): boolean {
    const { failed, goneAway, streams } = this.#session;
    const streamsMax = this.#isTold ? this.peer.streamsMax : STREAMS_UNTIL_TOLD_MAX;
    return failed === null && !goneAway && streams.size < streamsMax && this.nextId < ID_LAST;
  }

  /** Opens a stream, whose head must follow at once; only where `mayOpen`. */
  open(bodiless: boolean): Http2Stream<O> {
    const stream = new Http2Stream<O>(
      this.nextId,
      null,
      this.peer.initialWindow,
      STREAM_WINDOW_BYTES,
    );
    stream.bodiless = bodiless;
    this.nextId += 2;
    this.#session.streams.add(stream);
    return stream;
  }

  /** Begins a header block: fields are then written by `encoder` to `out`, up to `endHeaders`. */
  beginHeaders(): void {
    const { out } = this;
    this.#blockAt = out.length;
    out.reserve(FRAME_HEAD_BYTES);
    out.end += FRAME_HEAD_BYTES;
    this.encoder.begin(out);
  }

  /** Ends it. `last`: the stream ends with it. */
  endHeaders(stream: Http2Stream<O>, last: boolean): void {
    const { out } = this;
    const at = out.start + this.#blockAt;
    const length = out.end - at - FRAME_HEAD_BYTES;
    const flags = last ? Flag.END_STREAM : 0;
    if (length <= FRAME_BYTES_USUAL) {
      const whole = flags | Flag.END_HEADERS;
      putFrameHead(out.bytes, at, length, FrameType.HEADERS, whole, stream.id);
    } else this.#split(stream.id, flags);
    if (last) this.#finished(stream);
  }

  /**
   * Sends body bytes; `lasting`: the array never changes. What cannot be written now is kept:
   * `stream.blocked` then, and `unblocked` follows. `last`: the body ends with them.
   */
  data(
    stream: Http2Stream<O>,
    bytes: Uint8Array,
    start: number,
    end: number,
    lasting: boolean,
    last: boolean,
  ): void {
    if (stream.closed) return;
    let at = start;
    if (stream.queue.length === 0) {
      if (end - start > SMALL_BODY_BYTES) this.#enlarge();
      while (at < end) {
        const length = this.#admitted(stream, end - at);
        if (length === 0) break;
        this.#frame(stream, length, last && at + length === end);
        this.out.append(bytes, at, at + length);
        at += length;
      }
      if (last && start === end) this.#frame(stream, 0, true);
    }
    if (last) stream.localEnded = true;
    if (at < end) {
      stream.queue.push(bytes, at, end, lasting);
      this.#list(stream);
    } else if (last && stream.queue.length === 0) this.#finished(stream);
  }

  /** A field whose name and value stand in two arrays. */
  field(name: Uint8Array, value: Uint8Array, start: number, end: number): void {
    const { scratch } = this;
    scratch.clear();
    scratch.append(name, 0, name.length);
    scratch.append(value, start, end);
    const { bytes } = scratch;
    this.encoder.field(bytes, 0, name.length, name.length, scratch.end, false, this.out);
  }

  /** Ends the body with these fields, behind what is queued. */
  trailers(stream: Http2Stream<O>, fields: FieldLines): void {
    if (stream.closed) return;
    stream.localEnded = true;
    if (stream.queue.length === 0) this.#writeTrailers(stream, fields);
    else stream.trailers = fields.copy(); // cold: trailers behind a queue
  }

  /** Asks the peer for a sign of life. */
  ping(): void {
    writeFrameHead(this.out, 8, FrameType.PING, 0, 0);
    for (let i = 0; i < 2; i++) this.out.append(PING, 0, PING.length);
  }

  /** `out` has room again: those that wait go on. */
  sent(): void {
    const { events, failed } = this.#session;
    // Nothing follows the GOAWAY.
    if (failed !== null) return;
    while (this.#window > 0 && this.out.length < SEND_BUFFER_BYTES_HIGH) {
      const stream = this.#waiting.take();
      if (stream === undefined) return;
      stream.listed = false;
      if (stream.closed) continue;
      this.#pump(stream);
      if (stream.queue.length > 0) this.#list(stream);
      else {
        events.unblocked(stream);
        this.#session.closeIfOver(stream);
      }
    }
  }

  /** Gives back a large buffer in which little waits, or nothing: a slow reader does not hold one for it. */
  rest(): void {
    const { out } = this;
    const small = this.#small;
    if (small === null) {
      if (out.length > 0 || out.bytes.length <= SMALL_BUFFER_BYTES_MAX) return;
      this.out = new ByteBuffer(SMALL_BUFFER_BYTES); // cold: behind a burst of heads
      return;
    }
    if (out.length > SMALL_BUFFER_BYTES_MAX) return;
    small.append(out.bytes, out.start, out.end);
    out.clear();
    // One that heads made larger still is left to the collector.
    if (out.bytes.length === SEND_BUFFER_BYTES) this.#large.giveBack(out);
    this.out = small;
    this.#small = null;
  }

  /** The peer takes more on the connection. */
  widen(increment: number): ErrorCode {
    this.#window += increment;
    if (this.#window > MAX_31_BITS) return ErrorCode.FLOW_CONTROL_ERROR;
    this.sent();
    return ErrorCode.NO_ERROR;
  }

  /** The peer takes more on a stream; false when that is more than can be. */
  widenStream(stream: Http2Stream<O>, increment: number): boolean {
    if (stream.sendWindow + increment > MAX_31_BITS) return false;
    stream.sendWindow += increment;
    if (stream.queue.length > 0) {
      this.#list(stream);
      this.sent();
    }
    return true;
  }

  /**
   * Takes over what the peer has announced; the windows of open streams change by `delta`. False when one
   * becomes larger than can be.
   */
  adopt(delta: number): boolean {
    this.encoder.setMaxTableBytes(this.peer.headerTableBytes);
    this.#isTold = true;
    if (delta === 0) return true;
    for (const stream of this.#session.streams.values()) {
      stream.sendWindow += delta;
      if (stream.sendWindow > MAX_31_BITS) return false;
      if (stream.queue.length > 0) this.#list(stream);
    }
    this.sent();
    return true;
  }

  /** How many of so many bytes may be written in one frame now. */
  #admitted(stream: Http2Stream<O>, length: number): number {
    if (this.out.length >= SEND_BUFFER_BYTES_HIGH) return 0;
    const window = Math.min(stream.sendWindow, this.#window);
    return Math.max(0, Math.min(length, window, this.peer.frameBytesMax, FRAME_BYTES_MAX));
  }

  /** The head of a DATA frame, and the accounts of its payload. */
  #frame(stream: Http2Stream<O>, length: number, last: boolean): void {
    writeFrameHead(this.out, length, FrameType.DATA, last ? Flag.END_STREAM : 0, stream.id);
    stream.sendWindow -= length;
    this.#window -= length;
  }

  /** A body is coming: takes a large buffer. */
  #enlarge(): void {
    if (this.#small !== null) return;
    const { out } = this;
    const large = this.#large.take();
    large.append(out.bytes, out.start, out.end);
    out.clear();
    this.#small = out;
    this.out = large;
  }

  #list(stream: Http2Stream<O>): void {
    // Without a window of its own it waits for WINDOW_UPDATE.
    if (stream.listed || stream.sendWindow <= 0) return;
    stream.listed = true;
    this.#waiting.push(stream);
  }

  /** One frame of what is queued, and the end where that was all. */
  #pump(stream: Http2Stream<O>): void {
    const { queue } = stream;
    const length = this.#admitted(stream, queue.length);
    if (length === 0) return;
    const last = stream.localEnded && stream.trailers === null && length === queue.length;
    this.#enlarge();
    this.#frame(stream, length, last);
    queue.take(length, this.out);
    if (last) stream.finished = true;
    const { trailers } = stream;
    if (queue.length > 0 || trailers === null) return;
    stream.trailers = null;
    this.#writeTrailers(stream, trailers);
  }

  #writeTrailers(stream: Http2Stream<O>, fields: FieldLines): void {
    this.beginHeaders();
    writeTrailerFields(fields, this.encoder, this.out);
    this.endHeaders(stream, true);
  }

  #finished(stream: Http2Stream<O>): void {
    stream.localEnded = true;
    stream.finished = true;
    this.#session.closeIfOver(stream);
  }

  /** A block above one frame's size: what is behind is moved to make room for continuations' heads. */
  #split(streamId: number, flags: number): void {
    const { out } = this;
    const first = out.start + this.#blockAt + FRAME_HEAD_BYTES;
    const block = out.bytes.slice(first, out.end); // cold: heads above 16 KiB
    out.end = first - FRAME_HEAD_BYTES;
    let type: number = FrameType.HEADERS;
    for (let at = 0; at < block.length; at += FRAME_BYTES_USUAL) {
      const stop = Math.min(block.length, at + FRAME_BYTES_USUAL);
      const end = stop === block.length ? Flag.END_HEADERS : 0;
      writeFrameHead(out, stop - at, type, end | (at === 0 ? flags : 0), streamId);
      out.append(block, at, stop);
      type = FrameType.CONTINUATION;
    }
  }
}

const PING = new Uint8Array(4);

/** Writes the fields that go on. */
function writeTrailerFields(fields: FieldLines, encoder: HpackEncoder, out: ByteBuffer): void {
  const { bytes, ranges } = fields;
  for (let i = fields.firstRegular; i < fields.count; i++) {
    if ((1 << fields.name(i) & TRAILERS_DROPPED) !== 0) continue;
    const at = i * RANGES_PER_HEADER;
    encoder.field(
      bytes,
      ranges[at]!,
      ranges[at + 1]!,
      ranges[at + 2]!,
      ranges[at + 3]!,
      fields.isNeverIndexed(i),
      out,
    );
  }
}
