// hot
/**
 * A client's HTTP/1 connection: one request at a time, in order, with the responses relayed back.
 *
 *     HEAD ─request head─▶ WAITING ─connection─▶ RELAYING ─both done─▶ HEAD
 *       │                     │  ▲ retry │            │ └─101, CONNECT─▶ TUNNEL
 *       │ malformed           │ refused  └────────────┤ lost in the middle
 *       └────────────▶ LINGER (FIN sent, rest of the request thrown away) ─▶ CLOSED
 *
 * What the client sends behind a request waits in `intake`, and the connection is paused meanwhile.
 */

import { asciiBytes, type ByteBuffer } from "../base/bytes.ts";
import { Deadline } from "../base/wheel.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import {
  BodyFramer,
  frameRequest,
  http1ReasonName,
  isIdempotent,
  Method,
  NO_LINES,
  parseRequestHead,
  RequestHead,
  rewriteHead,
  type RewriteOptions,
} from "../wire/http1/mod.ts";
import { type Client, enterPhase, type PathContext, type Session } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import { errnoOf } from "./errno.ts";
import { malformedStatus, writeError } from "./http-error.ts";
import type { HttpSide, Refusal } from "./http-side.ts";
import type { Intake } from "./intake.ts";
import type { Outlet } from "./outlet.ts";
import type { HttpPool } from "./pool.ts";
import { Splice } from "./splice.ts";
import type { Upstream } from "./upstream.ts";

const HEAD = 0;
const WAITING = 1;
const RELAYING = 2;
const TUNNEL = 3;
const LINGER = 4;
const CLOSED = 5;

/** Up to here body bytes are copied behind the head, to be written with it. */
const COALESCE_BYTES = 16_384;
/** How long a client may go on sending after our FIN before it is cut off. */
const LINGER_MS = 2_000;
/** Connections that one request may be tried on: the replica may be gone, and the next one too. */
const TRIES_MAX = 3;

const NOTHING = new Uint8Array(0);
const CLOSE_LINE = asciiBytes("connection: close\r\n");
const KEEP_ALIVE_LINE = asciiBytes("connection: keep-alive\r\n");
const DIGIT_ONE = 0x31;

const REQUEST: RewriteOptions = { dropMeshHeaders: true, keepUpgrade: true };
const FROM_MESH: RewriteOptions = { dropMeshHeaders: false, keepUpgrade: true };
const FROM_OUTSIDE: RewriteOptions = { dropMeshHeaders: true, keepUpgrade: true };

/** One client connection that speaks HTTP/1. */
export class Downstream implements Session {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly out: Outlet;
  readonly intake: Intake;
  readonly head: RequestHead = new RequestHead();
  readonly framer: BodyFramer = new BodyFramer();
  /** Where `head`'s offsets point to. */
  headBytes: Uint8Array = NOTHING;
  /** The whole request has been handed to the upstream. */
  requestDone = true;
  upstream: Upstream | null = null;
  ended: boolean;
  #state = HEAD;
  #paused: boolean;
  /** The loop over pipelined requests is running further up the stack. */
  #looping = false;
  #keepAlive = false;
  #tries = 0;
  #responseStarted = false;
  #status = 0;
  #beganAtMs = 0;
  #metrics: HttpMetrics | null = null;
  /** All of the request went out in one go and is still here: `#bodyBytes` behind the head. */
  #replayable = false;
  #bodyBytes: Uint8Array = NOTHING;
  #bodyStart = 0;
  #bodyEnd = 0;
  #tunnel: Splice | null = null;
  #linger: Deadline<Downstream> | null = null;

  constructor(context: PathContext, side: HttpSide, client: Client) {
    this.context = context;
    this.side = side;
    this.out = client.out;
    this.intake = client.intake;
    this.ended = client.ended;
    this.#paused = client.paused;
    context.opened(this);
    enterPhase(this.out.conn, CLIENT, this);
  }

  begin(): void {
    this.#proceed();
  }

  drain(): void {
    if (this.#state === HEAD && this.intake.length === 0) this.#finish();
    else if (!this.#responseStarted) this.#keepAlive = false;
  }

  abort(): void {
    if (this.#tunnel !== null) this.#tunnel.abort();
    else this.out.conn.destroy(true);
  }

  /** A policy does not admit this client any more; only a tunnel has no next request to refuse. */
  get tunneling(): boolean {
    return this.#tunnel !== null;
  }

  // What the side answers.

  /** The request goes to this endpoint. */
  assign(pool: HttpPool, metrics: HttpMetrics, fresh: boolean): void {
    this.#metrics = metrics;
    metrics.request();
    pool.attach(this, fresh);
  }

  /** The request is answered by the proxy; nothing of a response has been sent. */
  refuse(refusal: Refusal): void {
    if (this.#state !== WAITING) return;
    if (!this.framer.done || this.head.method === Method.CONNECT) this.#keepAlive = false;
    this.#writeRefusal(refusal);
    this.#next();
  }

  // What the upstream tells.

  attached(upstream: Upstream): void {
    this.#state = RELAYING;
    this.upstream = upstream;
    this.#send(upstream);
    this.#checkTruncated();
    this.settle();
  }

  unreachable(reason: CloseReason): void {
    this.upstream = null;
    const refusal = this.side.unreachable(reason);
    this.#record("connect");
    this.side.settled();
    if (refusal === null && this.#tries < TRIES_MAX) this.#dispatch(false);
    else {this.refuse(
        refusal ?? { status: 502, kind: "i/o", message: "no endpoint can be reached" },
      );}
  }

  /** TLS is needed and there is no certificate. */
  unsecurable(): void {
    this.upstream = null;
    this.#record("identity required");
    this.side.settled();
    this.context.env.metrics.failed(this.side.direction, "http", "identity required");
    this.refuse({ status: 503, kind: "identity required", message: "no certificate yet" });
  }

  /** The peer's proxy cannot reach its application. true: the request goes to another endpoint. */
  elsewhere(upstream: Upstream, unsent: boolean): boolean {
    const possible = this.side.avoid();
    const safe = this.#replayable && (unsent || isIdempotent(this.head.method));
    if (!possible || !safe || this.#responseStarted || this.#tries >= TRIES_MAX) return false;
    upstream.abandon();
    this.upstream = null;
    this.#record("unavailable");
    this.side.settled();
    this.#state = WAITING;
    this.#dispatch(false);
    return true;
  }

  /** 1xx but 101: more heads follow. HTTP/1.0 does not know them. */
  relayInterim(upstream: Upstream, bytes: Uint8Array): void {
    if (this.head.versionMinor === 0) return;
    const { scratch } = this.context;
    scratch.clear();
    const options = upstream.pool.meshed ? FROM_MESH : FROM_OUTSIDE;
    rewriteHead(bytes, upstream.head, options, NO_LINES, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  /** The final head, with the first `bodyLength` bytes of the upstream's intake behind it. */
  relayResponse(
    upstream: Upstream,
    bytes: Uint8Array,
    bodyLength: number,
    untilClose: boolean,
  ): void {
    this.side.answered(this.context.nowMs());
    this.#startResponse(upstream);
    if (untilClose || this.context.draining) this.#keepAlive = false;
    const { scratch } = this.context;
    scratch.clear();
    this.#rewriteResponse(upstream, bytes, this.#connectionLine(), scratch);
    const intake = upstream.intake;
    if (bodyLength > COALESCE_BYTES) {
      this.out.write(scratch.bytes, scratch.start, scratch.end, false);
      this.out.write(intake.bytes, intake.start, intake.start + bodyLength, true);
    } else {
      scratch.append(intake.bytes, intake.start, intake.start + bodyLength);
      this.out.write(scratch.bytes, scratch.start, scratch.end, false);
    }
  }

  /** Response and request are complete. */
  exchangeDone(): void {
    this.upstream = null;
    this.#record("");
    this.side.settled();
    this.#next();
  }

  /** The response is complete; the rest of the request goes nowhere. */
  stopped(): void {
    this.#keepAlive = false;
    this.exchangeDone();
  }

  /** The connection broke before the response was complete. */
  upstreamLost(upstream: Upstream, reason: CloseReason): void {
    this.upstream = null;
    const again = upstream.served > 0 && !upstream.responded && this.#replayable &&
      this.#tries < TRIES_MAX && isIdempotent(this.head.method);
    this.#failed(reason === "none" ? "reset" : reason, again);
  }

  /** The response is no HTTP that we would pass on. `reason` is the parser's, negated. */
  responseBroken(reason: number): void {
    this.upstream = null;
    const { log } = this.context.env;
    const cause = reason === 0 ? "an upgrade that was not asked for" : http1ReasonName(reason);
    log.warn("refused a malformed response", { direction: this.side.direction, cause });
    this.#failed("malformed", false);
  }

  /** Everything behind this response's head is no HTTP: the connections are joined. */
  tunnel(upstream: Upstream, bytes: Uint8Array): void {
    this.side.answered(this.context.nowMs());
    this.#startResponse(upstream);
    const { scratch } = this.context;
    scratch.clear();
    this.#rewriteResponse(upstream, bytes, NO_LINES, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
    this.#record("");
    this.#state = TUNNEL;
    this.upstream = null;
    upstream.release();
    const { out, intake, ended } = this;
    this.#tunnel = new Splice(this, { out, intake, ended, paused: this.#paused }, upstream);
  }

  spliceClosed(): void {
    this.#state = CLOSED;
    this.side.settled();
    this.#over();
  }

  // The client's connection.

  received(chunk: Uint8Array): void {
    this.out.metrics.read(chunk.length);
    if (this.#state === LINGER) return;
    this.intake.push(chunk);
    this.#proceed();
  }

  drained(): void {
    this.out.flush();
    if (this.out.blocked) return;
    this.upstream?.resume();
    if (this.#state === HEAD) this.#proceed();
  }

  peerEnded(): void {
    this.ended = true;
    if (this.#state === HEAD) this.#proceed();
    else this.#checkTruncated();
  }

  peerClosed(reason: CloseReason): void {
    const state = this.#state;
    this.#state = CLOSED;
    this.out.metrics.closed(errnoOf(reason));
    if (state === WAITING || state === RELAYING) {
      this.upstream?.abandon();
      this.upstream = null;
      this.#record("canceled");
      this.side.settled();
    }
    this.#over();
  }

  /** Pauses or resumes the client as it must be now. */
  settle(): void {
    const state = this.#state;
    if (state === CLOSED || state === TUNNEL) return;
    const full = state === HEAD ? this.out.blocked : state !== LINGER &&
      (this.intake.length > 0 || (this.upstream !== null && this.upstream.out.blocked));
    if (full === this.#paused) return;
    this.#paused = full;
    if (full) this.out.conn.pause();
    else this.out.conn.resume();
  }

  // Reading requests.

  #proceed(): void {
    if (!this.#looping) {
      this.#looping = true;
      // A client that does not read its responses gets no further ones.
      while (this.#state === HEAD && !this.out.blocked && this.#readHead());
      this.#looping = false;
    }
    if (this.#state === RELAYING && !this.framer.done) this.#forwardBody();
    this.settle();
  }

  /** Begins a request if its head is here; false when more bytes are needed. */
  #readHead(): boolean {
    const { intake, head } = this;
    if (intake.length === 0) {
      if (this.ended || this.context.draining) this.#finish();
      return false;
    }
    const bytes = intake.bytes;
    const length = parseRequestHead(bytes, intake.start, intake.end, head, head.scanned);
    if (length === 0) {
      if (this.ended) this.out.conn.destroy();
      return false;
    }
    if (length < 0) {
      this.#refuseMalformed(length);
      return false;
    }
    this.headBytes = bytes;
    intake.consume(length);
    frameRequest(this.framer, head);
    this.requestDone = false;
    this.#keepAlive = head.persistent() && !this.context.draining;
    this.#tries = 0;
    this.#responseStarted = false;
    this.#status = 0;
    this.#metrics = null;
    this.#replayable = false;
    this.#beganAtMs = this.context.nowMs();
    this.#state = WAITING;
    const refusal = this.side.admit(this);
    if (refusal !== null) this.refuse(refusal);
    else this.#dispatch(false);
    return true;
  }

  #dispatch(fresh: boolean): void {
    this.#tries++;
    this.#state = WAITING;
    this.side.dispatch(this, fresh);
  }

  #refuseMalformed(reason: number): void {
    const message = http1ReasonName(reason);
    const { env } = this.context;
    env.metrics.failed(this.side.direction, "http", "bad request");
    env.log.debug("refused a malformed request", { direction: this.side.direction, message });
    this.#keepAlive = false;
    this.#writeRefusal({ status: malformedStatus(reason), kind: "bad request", message });
    this.#finish();
  }

  // Sending the request.

  /** The head and what is here of the body, in one write if it is short. */
  #send(upstream: Upstream): void {
    const { head, framer, intake } = this;
    const { out } = upstream;
    const { scratch } = this.context;
    scratch.clear();
    upstream.writePreface();
    const lines = this.side.requestLines;
    rewriteHead(this.headBytes, head, REQUEST, lines, scratch);
    if (this.#replayable) {
      scratch.append(this.#bodyBytes, this.#bodyStart, this.#bodyEnd);
      out.write(scratch.bytes, scratch.start, scratch.end, false);
      return;
    }
    let taken = 0;
    if (!framer.done && intake.length > 0) {
      taken = framer.advance(intake.bytes, intake.start, intake.end);
      if (taken < 0) {
        this.#brokenBody(taken);
        return;
      }
    }
    this.#bodyBytes = intake.bytes;
    this.#bodyStart = intake.start;
    this.#bodyEnd = intake.start + taken;
    intake.consume(taken);
    this.#replayable = framer.done && taken <= COALESCE_BYTES;
    this.requestDone = framer.done;
    if (taken <= COALESCE_BYTES) {
      scratch.append(this.#bodyBytes, this.#bodyStart, this.#bodyEnd);
      out.write(scratch.bytes, scratch.start, scratch.end, false);
    } else {
      out.write(scratch.bytes, scratch.start, scratch.end, false);
      out.write(this.#bodyBytes, this.#bodyStart, this.#bodyEnd, true);
      this.#bodyBytes = NOTHING;
    }
  }

  #forwardBody(): void {
    const { intake, framer, upstream } = this;
    if (upstream === null || intake.length === 0) return;
    const start = intake.start;
    const taken = framer.advance(intake.bytes, start, intake.end);
    if (taken < 0) {
      this.#brokenBody(taken);
      return;
    }
    upstream.out.write(intake.bytes, start, start + taken, true);
    intake.consume(taken);
    if (!framer.done) {
      this.#checkTruncated();
      return;
    }
    this.requestDone = true;
    upstream.requestDone();
  }

  /** The rest of the request will never come, and a backend must not take it for complete. */
  #checkTruncated(): void {
    if (!this.ended || this.framer.done || this.intake.length > 0) return;
    if (this.#state === WAITING || this.#state === RELAYING) this.out.conn.destroy(true);
  }

  /** The body's framing is bad: the upstream has got a part that it must not take for a whole. */
  #brokenBody(reason: number): void {
    const upstream = this.upstream;
    this.upstream = null;
    upstream?.abandon();
    this.#record("bad request");
    this.side.settled();
    if (this.#responseStarted) {
      this.#cutOff();
      this.context.env.metrics.failed(this.side.direction, "http", "bad request");
    } else this.#refuseMalformed(reason);
  }

  // Sending the response.

  #startResponse(upstream: Upstream): void {
    this.#responseStarted = true;
    this.#status = upstream.head.status;
    this.#bodyBytes = NOTHING;
  }

  #connectionLine(): Uint8Array {
    if (!this.#keepAlive) return CLOSE_LINE;
    return this.head.versionMinor === 0 ? KEEP_ALIVE_LINE : NO_LINES;
  }

  #rewriteResponse(
    upstream: Upstream,
    bytes: Uint8Array,
    lines: Uint8Array,
    scratch: ByteBuffer,
  ): void {
    const { head } = upstream;
    // Each hop speaks its own version; the chunk is ours to change.
    if (head.versionMinor === 0) bytes[head.start + 7] = DIGIT_ONE;
    const options = upstream.pool.meshed ? FROM_MESH : FROM_OUTSIDE;
    rewriteHead(bytes, head, options, lines, scratch);
  }

  #failed(error: string, again: boolean): void {
    this.#record(error);
    this.side.settled();
    if (this.#responseStarted) {
      this.context.env.metrics.failed(this.side.direction, "http", "i/o");
      this.#cutOff();
    } else if (again) this.#dispatch(true);
    else {
      this.#state = WAITING;
      this.context.env.metrics.failed(this.side.direction, "http", "i/o");
      this.refuse({ status: 502, kind: "i/o", message: `upstream connection: ${error}` });
    }
  }

  /** What was relayed is not the whole; the client must see that, after what there is. */
  #cutOff(): void {
    this.#state = LINGER;
    this.intake.clear();
    this.#startLinger();
    this.out.destroyFlushed();
    this.settle();
  }

  #writeRefusal(refusal: Refusal): void {
    const { scratch } = this.context;
    scratch.clear();
    const http10 = this.head.versionMinor === 0;
    writeError(refusal, { explain: this.side.explains, close: !this.#keepAlive, http10 }, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  // Ending.

  #next(): void {
    this.headBytes = NOTHING;
    this.#bodyBytes = NOTHING;
    if (!this.#keepAlive) {
      this.#finish();
      return;
    }
    this.#state = HEAD;
    this.#proceed();
  }

  /** FIN behind the last response. The client may still be sending: what comes is thrown away. */
  #finish(): void {
    this.#state = LINGER;
    this.intake.clear();
    this.#startLinger();
    this.out.finish();
    this.settle();
  }

  #startLinger(): void {
    this.#linger = new Deadline<Downstream>(this, lingeredTooLong);
    this.context.wheel.schedule(this.#linger, this.context.nowMs() + LINGER_MS);
  }

  lingered(): void {
    if (this.#state !== LINGER) return;
    // A slow reader may have its time for what was answered.
    if (this.out.blocked) this.#startLinger();
    else this.out.conn.destroy();
  }

  #over(): void {
    if (this.#linger !== null) this.context.wheel.cancel(this.#linger);
    this.context.closed(this);
    this.side.closed();
  }

  /** Counts the end of one try. */
  #record(error: string): void {
    const metrics = this.#metrics;
    if (metrics === null) return;
    this.#metrics = null;
    const latencyMs = this.context.nowMs() - this.#beganAtMs;
    const success = error === "" && this.#status < 500;
    metrics.response(this.#status, success, latencyMs, error);
  }
}

function lingeredTooLong(downstream: Downstream): void {
  downstream.lingered();
}

/** The handler of all client connections that speak HTTP. */
const CLIENT: ConnHandler<Downstream> = {
  open() {},
  secure() {},
  data(conn: Conn<Downstream>, chunk: Uint8Array) {
    conn.data.received(chunk);
  },
  drain(conn) {
    conn.data.drained();
  },
  end(conn) {
    conn.data.peerEnded();
  },
  close(conn, reason) {
    conn.data.peerClosed(reason);
  },
};
