// hot
/**
 * A client's HTTP/1 connection: one request at a time, in order, with the responses relayed back.
 *
 *     HEAD ─request head─▶ WAITING ─connection─▶ RELAYING ─both done─▶ HEAD
 *       │                     │  ▲ retry │            │ └─101, CONNECT─▶ TUNNEL
 *       │ malformed           │ refused  └────────────┤ lost in the middle
 *       └──────────────▶ OVER (`linger.ts`: FIN, the rest of the request is thrown away)
 *
 * What the client sends behind a request waits in `intake`, and the connection is paused meanwhile.
 */

import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import {
  http1ReasonName,
  isIdempotent,
  Method,
  NO_LINES,
  parseRequestHead,
  RequestHead,
} from "../wire/http1/mod.ts";
import { type Client, enterPhase, type PathContext, type Session } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import { errnoOf } from "./errno.ts";
import { malformedStatus, writeError } from "./http-error.ts";
import type { HttpSide, Refusal } from "./http-side.ts";
import { connectionLine, writeResponseHead } from "./http-write.ts";
import type { Intake } from "./intake.ts";
import { Lingering } from "./linger.ts";
import type { Outlet } from "./outlet.ts";
import type { HttpPool } from "./pool.ts";
import { COALESCE_BYTES, RequestSender } from "./request-sender.ts";
import { Splice } from "./splice.ts";
import type { Upstream } from "./upstream.ts";

const HEAD = 0;
const WAITING = 1;
const RELAYING = 2;
const TUNNEL = 3;
const OVER = 4;

/** Connections that one request may be tried on: the replica may be gone, and the next one too. */
const TRIES_MAX = 3;

/** One client connection that speaks HTTP/1. */
export class Downstream implements Session {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly out: Outlet;
  readonly intake: Intake;
  readonly head: RequestHead = new RequestHead();
  readonly request: RequestSender;
  upstream: Upstream | null = null;
  /** When the request was given to its pool. */
  queuedAtMs = 0;
  /** Where it waits for a connection. */
  #queue: HttpPool | null = null;
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
  #tunnel: Splice | null = null;

  constructor(context: PathContext, side: HttpSide, client: Client) {
    this.context = context;
    this.side = side;
    this.out = client.out;
    this.intake = client.intake;
    this.request = new RequestSender(this.head, client.intake);
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
    this.queuedAtMs = this.context.nowMs();
    this.#queue = pool;
    pool.attach(this, fresh);
  }

  /** The request is answered by the proxy; nothing of a response has been sent. */
  refuse(refusal: Refusal): void {
    if (this.#state !== WAITING) return;
    if (!this.request.received || this.head.method === Method.CONNECT) this.#keepAlive = false;
    this.#writeRefusal(refusal);
    this.#next();
  }

  // What the upstream tells.

  attached(upstream: Upstream): void {
    this.#state = RELAYING;
    this.#queue = null;
    this.upstream = upstream;
    this.#send(upstream);
    this.#checkTruncated();
    this.settle();
  }

  unreachable(reason: CloseReason): void {
    this.#queue = null;
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
    this.#queue = null;
    this.#record("identity required");
    this.side.settled();
    this.context.env.metrics.failed(this.side.direction, "http", "identity required");
    this.refuse({ status: 503, kind: "identity required", message: "no certificate yet" });
  }

  /** The peer's proxy cannot reach its application. true: the request goes to another endpoint. */
  elsewhere(upstream: Upstream, unsent: boolean): boolean {
    const possible = this.side.avoid();
    const safe = this.request.replayable && (unsent || isIdempotent(this.head.method));
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
    writeResponseHead(bytes, upstream, NO_LINES, scratch);
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
    writeResponseHead(bytes, upstream, connectionLine(this.#keepAlive, this.head), scratch);
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
    const again = upstream.served > 0 && !upstream.responded && this.request.replayable &&
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
    writeResponseHead(bytes, upstream, NO_LINES, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
    this.#record("");
    this.#state = TUNNEL;
    this.upstream = null;
    upstream.release();
    const { out, intake, ended } = this;
    this.#tunnel = new Splice(this, { out, intake, ended, paused: this.#paused }, upstream);
  }

  spliceClosed(): void {
    this.side.settled();
    this.lingered();
  }

  /** The client's connection is closed. */
  lingered(): void {
    this.#state = OVER;
    this.context.closed(this);
    this.side.closed();
  }

  // The client's connection.

  received(chunk: Uint8Array): void {
    this.out.metrics.read(chunk.length);
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
    this.#state = OVER;
    this.out.metrics.closed(errnoOf(reason));
    if (state === WAITING || state === RELAYING) {
      this.#queue?.cancel(this);
      this.#queue = null;
      this.upstream?.abandon();
      this.upstream = null;
      this.#record("canceled");
      this.side.settled();
    }
    this.lingered();
  }

  /** Pauses or resumes the client as it must be now. */
  settle(): void {
    const state = this.#state;
    if (state === OVER || state === TUNNEL) return;
    const full = state === HEAD
      ? this.out.blocked
      : this.intake.length > 0 || (this.upstream !== null && this.upstream.out.blocked);
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
    if (this.#state === RELAYING && !this.request.received) this.#forwardBody();
    this.settle();
  }

  /** Begins a request if its head is here; false when more bytes are needed. */
  #readHead(): boolean {
    const { intake, head } = this;
    if (intake.length === 0) {
      if (this.ended || this.context.draining) this.#finish();
      return false;
    }
    const length = parseRequestHead(intake.bytes, intake.start, intake.end, head, head.scanned);
    if (length === 0) {
      if (this.ended) this.out.conn.destroy();
      return false;
    }
    if (length < 0) {
      this.#refuseMalformed(length);
      return false;
    }
    this.request.begin(length);
    this.#keepAlive = head.persistent() && !this.context.draining;
    this.#tries = 0;
    this.#responseStarted = false;
    this.#status = 0;
    this.#metrics = null;
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
    const { scratch } = this.context;
    scratch.clear();
    upstream.writePreface();
    const reason = this.request.send(upstream.out, this.side.requestLines, scratch);
    if (reason < 0) this.#brokenBody(reason);
  }

  #forwardBody(): void {
    const { upstream, request } = this;
    if (upstream === null || this.intake.length === 0) return;
    const reason = request.forward(upstream.out);
    if (reason < 0) this.#brokenBody(reason);
    else if (request.done) upstream.requestDone();
    else this.#checkTruncated();
  }

  /** The rest of the request will never come, and a backend must not take it for complete. */
  #checkTruncated(): void {
    if (!this.ended || this.request.received || this.intake.length > 0) return;
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
    this.request.settle();
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
    this.#linger();
    this.out.destroyFlushed();
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
    this.request.forget();
    if (!this.#keepAlive) {
      this.#finish();
      return;
    }
    this.#state = HEAD;
    this.#proceed();
  }

  /** FIN behind the last response. */
  #finish(): void {
    this.#linger();
    this.out.finish();
  }

  #linger(): void {
    this.#state = OVER;
    this.intake.clear();
    if (this.#paused) this.out.conn.resume();
    new Lingering(this.context, this.out, this);
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
