// hot
/**
 * One HTTP/2 connection without its socket: bytes in, events out; calls in, bytes out. Serves both
 * roles. Keeps streams, windows and header tables right, and holds the peer to the rules and to our
 * limits; what requests mean is not known here. `sender.ts` is the writing half.
 *
 * Events may call back into the session. After `failed` the user sends what is in `out` (the GOAWAY)
 * and closes the connection.
 */

import {
  CONNECTION_WINDOW_BYTES,
  HEADER_LIST_BYTES_MAX,
  NUISANCES_BURST,
  STREAM_WINDOW_BYTES,
  STREAMS_PER_CONNECTION_MAX,
} from "../../base/limits.ts";
import { FieldLines } from "../http/field-lines.ts";
import { ResponseHead } from "../http/head.ts";
import { ErrorCode, Flag, FRAME_BYTES_USUAL, FrameType, PREFACE, readUint31 } from "./frame.ts";
import { readUint32, writeFrameHead, writeGoaway, writeReset, writeWindowUpdate } from "./frame.ts";
import type { Http2Events } from "./events.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { checkPriority, HeaderBlock } from "./header-block.ts";
import { HpackDecoder } from "./hpack/mod.ts";
import { LateFrames } from "./late-frames.ts";
import { areTrailers, readRequestHead, readResponseHead } from "./read-head.ts";
import { Sender } from "./sender.ts";
import type { SessionSpares } from "./session-spares.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { initialSettings, readSettings, WINDOW_USUAL, writeSettings } from "./settings.ts";
import { Http2Stream } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";

const PING_BYTES = 8;

/** One connection. */
export class Http2Session<O> implements FrameSink {
  readonly isServer: boolean;
  readonly events: Http2Events<O>;
  readonly sender: Sender<O>;
  readonly streams: StreamTable<O> = new StreamTable();
  /** Why the connection must be closed; null while it may go on. */
  failed: ErrorCode | null = null;
  /** The peer has sent GOAWAY. */
  goneAway = false;
  /** Frames that cost work and brought nothing, less what time has forgiven. */
  nuisances = 0;
  /** Payload of a frame that we take; not to be changed after `start`. */
  frameBytesMax = FRAME_BYTES_USUAL;
  readonly #reader: FrameReader;
  readonly #decoder = new HpackDecoder();
  readonly #block = new HeaderBlock();
  readonly #fields = new FieldLines();
  readonly #response = new ResponseHead();
  readonly #spares: SessionSpares;
  readonly #late: LateFrames;
  #prefaceSeen = 0;
  #hasSettings = false;
  /** The last stream that the peer has opened. */
  #lastPeerId = 0;
  readonly #window = new ReceiveWindow();
  #dataStream: Http2Stream<O> | null = null;

  constructor(isServer: boolean, events: Http2Events<O>, spares: SessionSpares) {
    this.isServer = isServer;
    this.events = events;
    this.#spares = spares;
    this.#late = new LateFrames(isServer);
    this.#reader = new FrameReader(this);
    this.sender = new Sender(this, spares.sendBuffers);
  }

  /** Says hello. */
  start(): void {
    const { out } = this.sender;
    if (!this.isServer) out.append(PREFACE, 0, PREFACE.length);
    writeSettings(out, {
      ...initialSettings(), // cold: once per connection
      streamsMax: STREAMS_PER_CONNECTION_MAX,
      initialWindow: STREAM_WINDOW_BYTES,
      frameBytesMax: this.frameBytesMax,
      headerListBytesMax: HEADER_LIST_BYTES_MAX,
    }, this.isServer);
    writeWindowUpdate(out, 0, CONNECTION_WINDOW_BYTES - WINDOW_USUAL);
  }

  /** Takes what came; the array must never change. */
  receive(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    if (this.isServer && this.#prefaceSeen < PREFACE.length) {
      while (at < end && this.#prefaceSeen < PREFACE.length) {
        if (bytes[at++] !== PREFACE[this.#prefaceSeen++]) {
          return this.fail(ErrorCode.PROTOCOL_ERROR);
        }
      }
    }
    if (this.failed !== null || at === end) return;
    const code = this.#reader.read(bytes, at, end);
    if (code !== ErrorCode.NO_ERROR) this.fail(code);
  }

  /** Ends the connection for a mistake of the peer's, or for ours. */
  fail(code: ErrorCode): void {
    if (this.failed !== null) return;
    this.failed = code;
    writeGoaway(this.sender.out, this.#lastPeerId, code);
  }

  /**
   * Announces that no more streams are taken. `final` false is the first of two announcements: streams
   * that are on their way are still taken until the second.
   */
  goaway(final: boolean): void {
    if (this.failed !== null) return;
    if (final) this.#late.takenUpTo = this.#lastPeerId;
    writeGoaway(this.sender.out, final ? this.#lastPeerId : 0x7fffffff, ErrorCode.NO_ERROR);
  }

  /** Closes a stream at once. Nothing is told of it. */
  reset(stream: Http2Stream<O>, code: number): void {
    if (stream.closed) return;
    writeReset(this.sender.out, stream.id, code);
    if (!stream.remoteEnded) this.#late.add(stream.id);
    this.close(stream);
  }

  /** The user has done with so many bytes of the stream's body: the peer may send as many more. */
  consumed(stream: Http2Stream<O>, count: number): void {
    if (stream.closed) return;
    stream.held -= count;
    this.#window.held -= count;
    stream.unacknowledged += count;
    if (!stream.remoteEnded && stream.unacknowledged >= STREAM_WINDOW_BYTES >> 1) {
      writeWindowUpdate(this.sender.out, stream.id, stream.unacknowledged);
      stream.receiveWindow += stream.unacknowledged;
      stream.unacknowledged = 0;
    }
    this.#acknowledge();
  }

  /** Both halves have ended and nothing waits: the stream is over. */
  closeIfOver(stream: Http2Stream<O>): void {
    if (stream.remoteEnded && stream.finished && !stream.closed) this.close(stream);
  }

  /** Forgets a stream. */
  close(stream: Http2Stream<O>): void {
    stream.closed = true;
    stream.owner = null;
    this.streams.delete(stream.id);
    this.#window.held -= stream.held;
    stream.held = 0;
    stream.queue.clear();
    stream.trailers = null;
    if (stream.request !== null) this.#spares.requestHeads.giveBack(stream.request);
    this.#acknowledge();
  }

  // Frames.

  dataBegan(streamId: number, length: number): ErrorCode {
    if (streamId === 0 || this.#block.streamId !== 0) return ErrorCode.PROTOCOL_ERROR;
    if (!this.#window.take(length)) return ErrorCode.FLOW_CONTROL_ERROR;
    const stream = this.streams.get(streamId) ?? null;
    this.#dataStream = stream;
    if (stream === null) {
      if (this.#isIdle(streamId)) return ErrorCode.PROTOCOL_ERROR;
      if (!this.#late.may(streamId)) return ErrorCode.STREAM_CLOSED;
    } else if (stream.remoteEnded) this.#broken(stream, ErrorCode.STREAM_CLOSED);
    else if (!stream.headed) this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
    else {
      stream.receiveWindow -= length;
      if (stream.receiveWindow < 0) this.#broken(stream, ErrorCode.FLOW_CONTROL_ERROR);
    }
    return ErrorCode.NO_ERROR;
  }

  dataCame(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const stream = this.#dataStream;
    if (stream === null || stream.closed) {
      this.#acknowledge();
      return;
    }
    const length = end - start;
    if (stream.expected >= 0) {
      stream.expected -= length;
      if (stream.expected < 0 || (last && stream.expected > 0)) {
        this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
        return;
      }
    }
    if (length === 0 && !last) this.#nuisance();
    stream.held += length;
    this.#window.held += length;
    if (last) stream.remoteEnded = true;
    this.events.data(stream, bytes, start, end, last);
    this.#acknowledge();
    if (last) this.closeIfOver(stream);
  }

  paddingCame(length: number): void {
    const stream = this.#dataStream;
    if (stream === null || stream.closed) return;
    stream.held += length;
    this.#window.held += length;
    this.consumed(stream, length);
  }

  frameCame(
    type: number,
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    if (this.#block.streamId !== 0 && type !== FrameType.CONTINUATION) {
      return ErrorCode.PROTOCOL_ERROR;
    }
    if (!this.#hasSettings && type !== FrameType.SETTINGS) return ErrorCode.PROTOCOL_ERROR;
    switch (type) {
      case FrameType.HEADERS:
        return this.#headersFrame(flags, streamId, bytes, start, end);
      case FrameType.CONTINUATION:
        return this.#continuation(flags, streamId, bytes, start, end);
      case FrameType.WINDOW_UPDATE:
        return this.#windowUpdate(streamId, bytes, start, end);
      case FrameType.RST_STREAM:
        return this.#resetFrame(streamId, bytes, start, end);
      case FrameType.SETTINGS:
        return this.#settingsFrame(flags, streamId, bytes, start, end);
      case FrameType.PING:
        return this.#ping(flags, streamId, bytes, start, end);
      case FrameType.GOAWAY:
        return this.#goawayFrame(streamId, bytes, start, end);
      case FrameType.PRIORITY:
        this.#nuisance();
        return checkPriority(streamId, bytes, start, end);
      case FrameType.PUSH_PROMISE:
        return ErrorCode.PROTOCOL_ERROR;
      default:
        this.#nuisance();
        return ErrorCode.NO_ERROR;
    }
  }

  #headersFrame(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    if (streamId === 0) return ErrorCode.PROTOCOL_ERROR;
    const block = this.#block;
    const code = block.find(flags, streamId, bytes, start, end);
    if (code !== ErrorCode.NO_ERROR) return code;
    const last = (flags & Flag.END_STREAM) !== 0;
    if ((flags & Flag.END_HEADERS) !== 0) {
      return this.#headers(streamId, last, bytes, block.start, block.stop);
    }
    block.begin(streamId, last, bytes);
    return ErrorCode.NO_ERROR;
  }

  #continuation(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    const block = this.#block;
    if (streamId === 0 || block.streamId !== streamId) return ErrorCode.PROTOCOL_ERROR;
    const code = block.add(bytes, start, end);
    if (code !== ErrorCode.NO_ERROR || (flags & Flag.END_HEADERS) === 0) return code;
    const { bytes: whole, last } = block;
    block.end();
    return this.#headers(streamId, last, whole.bytes, whole.start, whole.end);
  }

  /** A whole header block: it must be decoded whatever becomes of its stream. */
  #headers(
    streamId: number,
    last: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      if (this.isServer && streamId > this.#lastPeerId) {
        return this.#requestHead(streamId, last, bytes, start, end);
      }
      if (this.#isIdle(streamId)) return ErrorCode.PROTOCOL_ERROR;
      if (!this.#late.may(streamId)) return ErrorCode.STREAM_CLOSED;
      return this.#decode(bytes, start, end, this.#fields);
    }
    if (!stream.headed) return this.#responseHead(stream, last, bytes, start, end);
    const code = this.#decode(bytes, start, end, this.#fields);
    if (code !== ErrorCode.NO_ERROR) return code;
    if (stream.remoteEnded) this.#broken(stream, ErrorCode.STREAM_CLOSED);
    else if (!last || stream.expected > 0 || !areTrailers(this.#fields)) {
      this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
    } else {
      stream.remoteEnded = true;
      this.events.trailers(stream, this.#fields);
      this.closeIfOver(stream);
    }
    return ErrorCode.NO_ERROR;
  }

  #requestHead(
    streamId: number,
    last: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    if ((streamId & 1) === 0) return ErrorCode.PROTOCOL_ERROR;
    this.#lastPeerId = streamId;
    const head = this.#spares.requestHeads.take();
    head.reset();
    const code = this.#decode(bytes, start, end, head);
    if (code !== ErrorCode.NO_ERROR) return code;
    if (streamId > this.#late.takenUpTo) return code;
    if (this.streams.size >= STREAMS_PER_CONNECTION_MAX) {
      return this.#refuse(streamId, ErrorCode.REFUSED_STREAM);
    }
    if (!head.tooLarge && (!readRequestHead(head) || (last && head.contentLength > 0))) {
      return this.#refuse(streamId, ErrorCode.PROTOCOL_ERROR);
    }
    const window = this.sender.peer.initialWindow;
    const stream = new Http2Stream<O>(streamId, head, window, STREAM_WINDOW_BYTES);
    stream.headed = true;
    stream.remoteEnded = last;
    stream.expected = head.contentLength;
    this.streams.add(stream);
    this.events.request(this, stream, last);
    return ErrorCode.NO_ERROR;
  }

  #responseHead(
    stream: Http2Stream<O>,
    last: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    const head = this.#response;
    head.reset();
    const code = this.#decode(bytes, start, end, head);
    if (code !== ErrorCode.NO_ERROR) return code;
    if (head.tooLarge || !readResponseHead(head) || (last && head.interim())) {
      this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
      return ErrorCode.NO_ERROR;
    }
    if (head.interim()) {
      this.events.interim(stream, head);
      return ErrorCode.NO_ERROR;
    }
    stream.headed = true;
    stream.remoteEnded = last;
    // A body where none may be would be taken for the next response where this one goes on by HTTP/1.
    const bodiless = stream.bodiless || head.status === 204 || head.status === 304;
    stream.expected = bodiless ? 0 : head.contentLength;
    if (last && stream.expected > 0) {
      this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
      return ErrorCode.NO_ERROR;
    }
    this.events.response(stream, head, last);
    if (last) this.closeIfOver(stream);
    return ErrorCode.NO_ERROR;
  }

  #decode(bytes: Uint8Array, start: number, end: number, fields: FieldLines): ErrorCode {
    if (fields === this.#fields) fields.resetFields();
    const reason = this.#decoder.decode(bytes, start, end, fields);
    return reason === 0 ? ErrorCode.NO_ERROR : ErrorCode.COMPRESSION_ERROR;
  }

  #windowUpdate(streamId: number, bytes: Uint8Array, start: number, end: number): ErrorCode {
    if (end - start !== 4) return ErrorCode.FRAME_SIZE_ERROR;
    const increment = readUint31(bytes, start);
    if (streamId === 0) {
      return increment === 0 ? ErrorCode.PROTOCOL_ERROR : this.sender.widen(increment);
    }
    const stream = this.streams.get(streamId);
    if (stream === undefined) {
      return this.#isIdle(streamId) ? ErrorCode.PROTOCOL_ERROR : ErrorCode.NO_ERROR;
    }
    if (increment === 0) this.#broken(stream, ErrorCode.PROTOCOL_ERROR);
    else if (!this.sender.widenStream(stream, increment)) {
      this.#broken(stream, ErrorCode.FLOW_CONTROL_ERROR);
    }
    return ErrorCode.NO_ERROR;
  }

  #resetFrame(streamId: number, bytes: Uint8Array, start: number, end: number): ErrorCode {
    if (end - start !== 4) return ErrorCode.FRAME_SIZE_ERROR;
    if (streamId === 0 || this.#isIdle(streamId)) return ErrorCode.PROTOCOL_ERROR;
    const stream = this.streams.get(streamId);
    if (stream === undefined) return ErrorCode.NO_ERROR;
    if (this.isServer) this.#nuisance();
    this.#tellReset(stream, readUint32(bytes, start), true);
    return ErrorCode.NO_ERROR;
  }

  #settingsFrame(
    flags: number,
    streamId: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): ErrorCode {
    if (streamId !== 0) return ErrorCode.PROTOCOL_ERROR;
    if ((flags & Flag.ACK) !== 0) {
      if (!this.#hasSettings) return ErrorCode.PROTOCOL_ERROR;
      return end === start ? ErrorCode.NO_ERROR : ErrorCode.FRAME_SIZE_ERROR;
    }
    const { peer, out } = this.sender;
    const window = peer.initialWindow;
    const code = readSettings(bytes, start, end, peer);
    if (code !== ErrorCode.NO_ERROR) return code;
    writeFrameHead(out, 0, FrameType.SETTINGS, Flag.ACK, 0);
    if (!this.sender.adopt(peer.initialWindow - window)) return ErrorCode.FLOW_CONTROL_ERROR;
    this.events.settled(this);
    if (this.#hasSettings) this.#nuisance();
    this.#hasSettings = true;
    return ErrorCode.NO_ERROR;
  }

  #ping(flags: number, id: number, bytes: Uint8Array, start: number, end: number): ErrorCode {
    if (id !== 0) return ErrorCode.PROTOCOL_ERROR;
    if (end - start !== PING_BYTES) return ErrorCode.FRAME_SIZE_ERROR;
    if ((flags & Flag.ACK) !== 0) {
      this.events.ponged(this);
      return ErrorCode.NO_ERROR;
    }
    const { out } = this.sender;
    writeFrameHead(out, PING_BYTES, FrameType.PING, Flag.ACK, 0);
    out.append(bytes, start, end);
    this.#nuisance();
    return ErrorCode.NO_ERROR;
  }

  #goawayFrame(streamId: number, bytes: Uint8Array, start: number, end: number): ErrorCode {
    if (streamId !== 0) return ErrorCode.PROTOCOL_ERROR;
    if (end - start < 8) return ErrorCode.FRAME_SIZE_ERROR;
    this.goneAway = true;
    const lastId = readUint31(bytes, start);
    const code = readUint32(bytes, start + 4);
    if (!this.isServer) {
      for (const stream of this.streams.values()) {
        if (stream.id > lastId && !stream.closed) {
          this.#tellReset(stream, ErrorCode.REFUSED_STREAM, false);
        }
      }
    }
    this.events.goaway(this, code);
    return ErrorCode.NO_ERROR;
  }

  /** The stream has never been opened, by whoever may open it. */
  #isIdle(streamId: number): boolean {
    if ((streamId & 1) === 0) return true;
    return this.isServer ? streamId > this.#lastPeerId : streamId >= this.sender.nextId;
  }

  /** The peer has made a mistake that concerns one stream only. */
  #broken(stream: Http2Stream<O>, code: ErrorCode): void {
    writeReset(this.sender.out, stream.id, code);
    this.#late.add(stream.id);
    this.#nuisance();
    this.#tellReset(stream, code, false);
  }

  #tellReset(stream: Http2Stream<O>, code: number, byPeer: boolean): void {
    this.events.reset(stream, code, byPeer);
    if (!stream.closed) this.close(stream);
  }

  /** Resets a stream that nobody was told of. */
  #refuse(streamId: number, code: ErrorCode): ErrorCode {
    writeReset(this.sender.out, streamId, code);
    this.#late.add(streamId);
    this.#nuisance();
    return ErrorCode.NO_ERROR;
  }

  #acknowledge(): void {
    if (this.failed === null) this.#window.acknowledge(this.sender.out);
  }

  #nuisance(): void {
    if (++this.nuisances > NUISANCES_BURST) this.fail(ErrorCode.ENHANCE_YOUR_CALM);
  }
}
