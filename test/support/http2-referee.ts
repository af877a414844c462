/**
 * Holds what one side of an HTTP/2 connection writes against RFC 9113, knowing nothing of the session
 * that wrote it: frame by frame, with windows, stream states, header tables and acknowledgements of its
 * own. Whatever the other side sends, be it valid or not, this side must keep the rules.
 */

import {
  CONNECTION_WINDOW_BYTES,
  FRAME_BYTES_MAX,
  HEADER_LIST_BYTES_MAX,
  STREAM_WINDOW_BYTES,
} from "../../lib/base/limits.ts";
import { asciiText } from "../../lib/base/bytes.ts";
import { FieldLines } from "../../lib/wire/http/mod.ts";
import {
  Flag,
  FRAME_BYTES_USUAL,
  FrameType,
  PREFACE,
  readUint31,
  readUint32,
} from "../../lib/wire/http2/frame.ts";
import { HpackDecoder } from "../../lib/wire/http2/hpack/mod.ts";
import { type Frame, FrameSplitter } from "./raw-http2.ts";

const WINDOW_FIRST = 65_535;
const WINDOW_LARGEST = 0x7fffffff;
const INITIAL_WINDOW_SIZE = 4;
const MAX_FRAME_SIZE = 5;

/** What both sides know of a stream. */
interface StreamState {
  /** Bytes that this side may still send. */
  window: number;
  /** Bytes that this side has allowed and not got. */
  granted: number;
  saidEnd: boolean;
  saidReset: boolean;
  saidHead: boolean;
  heardReset: boolean;
}

/** Watches one side. Throws at the first breach of a rule. */
export class Referee {
  readonly #isServer: boolean;
  readonly #said: FrameSplitter;
  readonly #heard: FrameSplitter;
  readonly #decoder = new HpackDecoder();
  readonly #streams = new Map<number, StreamState>();
  readonly #pings: string[] = [];
  #window = WINDOW_FIRST;
  #granted = WINDOW_FIRST;
  #peerInitialWindow = WINDOW_FIRST;
  #peerFrameBytesMax = FRAME_BYTES_USUAL;
  #settings = 0;
  #saidFrames = 0;
  /** The stream whose header block goes on, 0 for none. */
  #blockOf = 0;
  #block: number[] = [];
  #lastId = 0;
  #lastHeardId = 0;
  #isOver = false;
  readonly #later: (() => void)[] = [];

  constructor(isServer: boolean) {
    this.#isServer = isServer;
    this.#said = new FrameSplitter(isServer ? 0 : PREFACE.length);
    this.#heard = new FrameSplitter(isServer ? PREFACE.length : 0);
  }

  /**
   * The side gets these bytes. What they allow counts from now on; what they forbid from `settled` on,
   * since it may have written before it came to them.
   */
  heard(bytes: Uint8Array): void {
    for (const frame of this.#heard.push(bytes)) this.#hear(frame);
  }

  /** The side has acted on all that it heard, and `said` has seen what it wrote. */
  settled(): void {
    for (const apply of this.#later.splice(0)) apply();
  }

  /** The side has written these bytes. */
  said(bytes: Uint8Array): void {
    for (const frame of this.#said.push(bytes)) {
      check(!this.#isOver, "nothing follows a GOAWAY with an error", frame);
      const most = Math.min(this.#peerFrameBytesMax, FRAME_BYTES_MAX);
      check(frame.payload.length <= most, "a larger frame than the peer takes", frame);
      if (this.#saidFrames++ === 0) check(frame.type === FrameType.SETTINGS, "no SETTINGS", frame);
      const isContinuation = frame.type === FrameType.CONTINUATION;
      check(isContinuation === (this.#blockOf !== 0), "a block was interrupted", frame);
      this.#say(frame);
    }
  }

  #hear({ type, flags, streamId, payload }: Frame): void {
    const stream = this.#streams.get(streamId);
    switch (type) {
      case FrameType.HEADERS:
        if (this.#isServer && streamId % 2 === 1 && streamId > this.#lastHeardId) {
          this.#lastHeardId = streamId;
          this.#open(streamId);
        }
        break;
      case FrameType.DATA:
        this.#granted -= payload.length;
        if (stream !== undefined) stream.granted -= payload.length;
        break;
      case FrameType.RST_STREAM:
        if (stream === undefined || payload.length !== 4) break;
        this.#later.push(() => stream.heardReset = true);
        break;
      case FrameType.WINDOW_UPDATE:
        if (payload.length !== 4) break;
        if (streamId === 0) this.#window += readUint31(payload, 0);
        else if (stream !== undefined) stream.window += readUint31(payload, 0);
        break;
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) this.#pings.push(textOf(payload));
        break;
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) === 0) this.#hearSettings(payload);
        break;
      default:
    }
  }

  #hearSettings(payload: Uint8Array): void {
    this.#settings++;
    for (let at = 0; at + 6 <= payload.length; at += 6) {
      const id = payload[at]! << 8 | payload[at + 1]!;
      const value = readUint32(payload, at + 2);
      if (id === MAX_FRAME_SIZE) this.#hearFrameBytesMax(value);
      if (id !== INITIAL_WINDOW_SIZE) continue;
      const delta = value - this.#peerInitialWindow;
      this.#peerInitialWindow = value;
      const opened = [...this.#streams.values()];
      const apply = () => {
        for (const stream of opened) stream.window += delta;
      };
      if (delta > 0) apply();
      else this.#later.push(apply);
    }
  }

  #hearFrameBytesMax(value: number): void {
    const apply = () => void (this.#peerFrameBytesMax = value);
    if (value > this.#peerFrameBytesMax) apply();
    else this.#later.push(apply);
  }

  #say(frame: Frame): void {
    const { type, flags, streamId, payload } = frame;
    switch (type) {
      case FrameType.DATA:
        return this.#sayData(frame);
      case FrameType.HEADERS:
        return this.#sayHeaders(frame);
      case FrameType.CONTINUATION:
        check(streamId === this.#blockOf, "a continuation of another block", frame);
        return this.#sayBlock(frame, payload);
      case FrameType.RST_STREAM: {
        const stream = this.#known(frame);
        check(!stream.saidReset, "a stream is reset twice", frame);
        check(!stream.heardReset, "a reset is answered by a reset", frame);
        stream.saidReset = true;
        return;
      }
      case FrameType.WINDOW_UPDATE:
        return this.#sayWindow(frame);
      case FrameType.SETTINGS:
        if ((flags & Flag.ACK) !== 0) check(this.#settings-- > 0, "no settings to accept", frame);
        return;
      case FrameType.PING:
        if ((flags & Flag.ACK) === 0) return;
        check(this.#pings.shift() === textOf(payload), "an answer to no ping", frame);
        return;
      case FrameType.GOAWAY:
        this.#isOver = readUint32(payload, 4) !== 0;
        return;
      default:
        check(false, "an unknown frame", frame);
    }
  }

  #sayData(frame: Frame): void {
    const stream = this.#known(frame);
    const { length } = frame.payload;
    check(stream.saidHead && !stream.saidEnd && !stream.saidReset, "DATA out of place", frame);
    stream.window -= length;
    this.#window -= length;
    const isAllowed = length === 0 || (stream.window >= 0 && this.#window >= 0);
    check(isAllowed, "DATA beyond the window", frame);
    stream.saidEnd = (frame.flags & Flag.END_STREAM) !== 0;
  }

  #sayHeaders(frame: Frame): void {
    const { streamId, flags, payload } = frame;
    if (!this.#isServer && !this.#streams.has(streamId)) {
      check(streamId % 2 === 1 && streamId > this.#lastId, "a stream id out of order", frame);
      this.#lastId = streamId;
      this.#open(streamId);
    }
    const stream = this.#known(frame);
    check(!stream.saidEnd && !stream.saidReset, "HEADERS behind the end", frame);
    stream.saidHead = true;
    stream.saidEnd = (flags & Flag.END_STREAM) !== 0;
    this.#blockOf = streamId;
    this.#block = [];
    this.#sayBlock(frame, payload);
  }

  #sayBlock(frame: Frame, payload: Uint8Array): void {
    for (const byte of payload) this.#block.push(byte);
    if ((frame.flags & Flag.END_HEADERS) === 0) return;
    this.#blockOf = 0;
    const fields = new FieldLines();
    const block = Uint8Array.from(this.#block);
    check(this.#decoder.decode(block, 0, block.length, fields) === 0, "a bad block", frame);
    check(!fields.malformed, "a malformed field", frame);
    check(block.length <= HEADER_LIST_BYTES_MAX * 2, "a block above all limits", frame);
  }

  #sayWindow(frame: Frame): void {
    const increment = readUint31(frame.payload, 0);
    check(increment > 0 && increment <= WINDOW_LARGEST, "a bad increment", frame);
    if (frame.streamId === 0) {
      this.#granted += increment;
      // A frame that has begun counts for the side already, for us when it is whole.
      const most = CONNECTION_WINDOW_BYTES + FRAME_BYTES_USUAL;
      check(this.#granted <= most, "more than the connection's window", frame);
      return;
    }
    const stream = this.#known(frame);
    stream.granted += increment;
    const most = STREAM_WINDOW_BYTES + FRAME_BYTES_USUAL;
    check(stream.granted <= most, "more than the stream's window", frame);
  }

  #open(streamId: number): void {
    this.#streams.set(streamId, {
      window: this.#peerInitialWindow,
      granted: STREAM_WINDOW_BYTES,
      saidEnd: false,
      saidReset: false,
      saidHead: false,
      heardReset: false,
    });
  }

  #known(frame: Frame): StreamState {
    const stream = this.#streams.get(frame.streamId);
    check(stream !== undefined, "a frame of an idle stream", frame);
    return stream as StreamState;
  }
}

function check(holds: boolean, breach: string, { type, flags, streamId, payload }: Frame): void {
  if (holds) return;
  throw new Error(`${breach}: type ${type}, flags ${flags}, id ${streamId}, ${payload.length} B`);
}

function textOf(bytes: Uint8Array): string {
  return asciiText(bytes, 0, bytes.length);
}
