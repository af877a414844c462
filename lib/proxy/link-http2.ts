// hot
/**
 * The socket of an HTTP/2 session, on either side of a proxy: brings what comes to the session and
 * sends what the session writes.
 *
 * When to send is what makes multiplexing pay: everything that one turn of the event loop writes leaves
 * together at its end. A call alone on its connection gains too, since head, body and trailers come one by one.
 * At once goes what belongs to no open stream, and so has nothing to wait for.
 */

import { Deadline } from "../base/wheel.ts";
import { releaseBytes } from "../base/bytes.ts";
import { FRAME_BYTES_MAX, NUISANCES_PER_SECOND, SEND_BUFFER_BYTES_MAX } from "../base/limits.ts";
import type { Conn } from "../host/net.ts";
import { ErrorCode, type Http2Events, Http2Session } from "../wire/http2/mod.ts";
import type { PathContext } from "./context.ts";
import type { TransportMetrics } from "./environment.ts";

/** How often a connection with streams is looked at; a peer silent for so long is asked for a sign. */
const CHECK_MS = 10_000;
/** How long it may take to give one. */
const SIGN_MS = 5_000;

/** Is told of the end. */
export interface LinkOwner {
  /** The session has failed, by the peer's mistake or by silence; the connection is being closed. */
  linkFailed(code: ErrorCode): void;
  /** Something has been sent: streams may have ended with it. */
  linkSent(): void;
}

/** One HTTP/2 connection. `O` is what its user keeps at a stream. */
export class LinkHttp2<O> {
  readonly context: PathContext;
  readonly conn: Conn<unknown>;
  readonly metrics: TransportMetrics;
  readonly session: Http2Session<O>;
  /** What was written waits for the socket's `drain`. */
  blocked = false;
  /** Somebody may still have a part of the chunk that is being received; whoever hands one on sets it. */
  isLent = false;
  /** Set by the context's list of those that will be sent at the end of the turn. */
  queued = false;
  /** Nothing of our streams with this id and above has been taken by the socket. */
  unsentFrom = 0;
  readonly #owner: LinkOwner;
  readonly #isWatched: boolean;
  readonly #check: Deadline<LinkHttp2<O>>;
  /** It is in the middle of what came: what that writes is sent behind it. */
  #receiving = false;
  #closed = false;
  #isEnding = false;
  #isShut = false;
  /** The peer has taken or sent bytes since the last look. */
  #heard = true;
  #asked = false;
  #relaxedAtMs = 0;

  /**
   * `isWatched`: the peer is a proxy, which always reads, so that its silence is death, and which may send
   * larger frames. Another program may be stopped in a debugger, or be slow to read what stands in front of
   * a ping, and gets what HTTP/2 begins with.
   */
  constructor(
    context: PathContext,
    conn: Conn<unknown>,
    metrics: TransportMetrics,
    isServer: boolean,
    events: Http2Events<O>,
    owner: LinkOwner,
    isWatched: boolean,
  ) {
    this.context = context;
    this.conn = conn;
    this.metrics = metrics;
    this.#owner = owner;
    this.#isWatched = isWatched;
    this.session = new Http2Session<O>(isServer, events, context.sessionSpares);
    if (isWatched) this.session.frameBytesMax = FRAME_BYTES_MAX;
    this.#check = new Deadline<LinkHttp2<O>>(this, lookAfter);
  }

  /** Says hello; `preface` goes before everything else. */
  start(preface: Uint8Array): void {
    this.session.sender.out.append(preface, 0, preface.length);
    this.session.start();
    if (this.#isWatched) {
      this.context.wheel.schedule(this.#check, this.context.nowMs() + CHECK_MS);
    }
    this.touch();
  }

  /** Takes a chunk that came, and frees it if nobody has a part of it. */
  chunkCame(chunk: Uint8Array): void {
    this.metrics.read(chunk.length);
    this.isLent = false;
    this.received(chunk, 0, chunk.length);
    if (!this.isLent) releaseBytes(chunk);
  }

  /** Takes bytes that came; they must never change. */
  received(bytes: Uint8Array, start: number, end: number): void {
    const { gatherer } = this.context;
    this.#heard = true;
    this.#receiving = true;
    const gathers = gatherer.begin();
    this.session.receive(bytes, start, end);
    if (gathers) gatherer.end();
    this.#receiving = false;
    if (this.session.nuisances > 0) this.#relax();
    this.touch();
  }

  /** Something may have been written: sends it now, or at the end of the turn. */
  touch(): void {
    if (this.queued || this.#receiving || this.#closed) return;
    const { length } = this.session.sender.out;
    if (length === 0) return;
    if (this.blocked) {
      if (length > SEND_BUFFER_BYTES_MAX) this.#fail(ErrorCode.ENHANCE_YOUR_CALM);
      return;
    }
    if (this.session.streams.size === 0 || this.session.failed !== null) this.send();
    else this.context.sendAtTurnsEnd(this);
  }

  /** Sends what is written, and what then finds room. */
  send(): void {
    const { sender } = this.session;
    // Behind FIN nothing can be said any more; the peer may still ask.
    if (this.#isShut) sender.out.clear();
    while (!this.#closed && !this.blocked && sender.out.length > 0) {
      const { out } = sender;
      const took = this.conn.write(out.bytes, out.start, out.length);
      if (took < 0) break;
      this.metrics.wrote(took);
      if (took > 0) this.unsentFrom = sender.nextId;
      this.blocked = took < out.length;
      out.consume(took);
      if (!this.blocked) sender.sent();
    }
    if (this.session.failed !== null) this.#fail(this.session.failed);
    else if (sender.out.length > SEND_BUFFER_BYTES_MAX) this.#fail(ErrorCode.ENHANCE_YOUR_CALM);
    else sender.rest();
    if (!this.#closed) this.#owner.linkSent();
  }

  /** The socket takes bytes again. */
  drained(): void {
    this.blocked = false;
    // The peer takes bytes, though its answer to a ping may have to wait behind many.
    this.#heard = true;
    this.send();
    if (this.#isEnding) this.#shutdown();
  }

  /** FIN behind what is written. */
  end(): void {
    if (this.#closed || this.#isEnding) return;
    this.#isEnding = true;
    this.send();
    this.#shutdown();
  }

  /** The connection is closed: every stream is lost. */
  lost(): void {
    this.#closed = true;
    this.context.wheel.cancel(this.#check);
    const { session } = this;
    session.failed ??= ErrorCode.NO_ERROR;
    for (const stream of session.streams.values()) { // cold: once per connection
      session.events.reset(stream, ErrorCode.INTERNAL_ERROR, false);
      if (!stream.closed) session.close(stream);
    }
  }

  /** Looks whether the peer still lives; the wheel calls it. */
  lookAfter(): void {
    const { context, session } = this;
    if (!this.#heard && this.#asked) {
      this.#fail(ErrorCode.NO_ERROR);
      return;
    }
    this.#asked = !this.#heard && session.streams.size > 0;
    if (this.#asked) {
      session.sender.ping();
      this.touch();
    }
    this.#heard = false;
    context.wheel.schedule(this.#check, context.nowMs() + (this.#asked ? SIGN_MS : CHECK_MS));
  }

  #shutdown(): void {
    if (this.blocked || this.#closed || this.#isShut) return;
    this.#isShut = true;
    this.conn.shutdown();
  }

  #fail(code: ErrorCode): void {
    if (this.#closed) return;
    this.#closed = true;
    this.conn.destroy();
    this.#owner.linkFailed(code);
  }

  /** Time forgives nuisances. */
  #relax(): void {
    const now = this.context.nowMs();
    const forgiven = (now - this.#relaxedAtMs) * NUISANCES_PER_SECOND / 1_000;
    this.#relaxedAtMs = now;
    this.session.nuisances = Math.max(0, this.session.nuisances - forgiven);
  }
}

function lookAfter(link: { lookAfter(): void }): void {
  link.lookAfter();
}
