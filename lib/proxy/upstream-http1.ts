// hot
/**
 * One HTTP/1 connection to an endpoint: carries one request at a time and brings its response.
 *
 *     CONNECTING ─▶ BUSY ─response and request done─▶ IDLE ─next request─▶ BUSY
 *         └────────────┴──── lost, broken, not to be kept ────┴──▶ CLOSED
 */

import { releaseBytes } from "../base/bytes.ts";
import { Deadline } from "../base/wheel.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import { type FieldLines, MeshFields, ResponseHead } from "../wire/http/mod.ts";
import {
  BodyFramer,
  BodyMode,
  CHUNKED_LINE,
  frameResponse,
  http1ReasonName,
  NO_LINES,
  parseResponseHead,
  startsTunnel,
  writeRequestHead,
} from "../wire/http1/mod.ts";
import { writeChunk, writeTrailers } from "./body-writer.ts";
import type { Attempt } from "./attempt.ts";
import { errnoOf } from "./errno.ts";
import { connectOptions } from "./hop.ts";
import type { Upstream } from "./http-parts.ts";
import { Intake } from "./intake.ts";
import { Outlet } from "./outlet.ts";
import type { PoolHttp1 } from "./pool-http1.ts";

const CONNECTING = 0;
const IDLE = 1;
const BUSY = 2;
const CLOSED = 3;

/** One connection of a pool. */
export class UpstreamHttp1 implements Upstream {
  readonly pool: PoolHttp1;
  readonly conn: Conn<UpstreamHttp1>;
  readonly out: Outlet;
  readonly intake: Intake = new Intake();
  /** When connecting began. */
  readonly beganAtMs: number;
  paused = false;
  ended = false;
  readonly #head = new ResponseHead();
  readonly #framer = new BodyFramer();
  /** Requests that were answered on this connection. */
  #served = 0;
  /** Some byte of the present response has come. */
  #responded = false;
  #attempt: Attempt | null = null;
  #state = CONNECTING;
  #prefaced = false;
  #inBody = false;
  #requestDone = false;
  #responseDone = false;
  /** The request's body is chunked. */
  #chunked = false;
  /** The connection may be used again after this response. */
  #keep = false;
  /** A chunk of the body whose end waits for the client. */
  #lent: Uint8Array | null = null;
  readonly #idle: Deadline<UpstreamHttp1>;

  /** Makes a connection for the pool; false when TLS is needed and there is no certificate. */
  static connect(pool: PoolHttp1): boolean {
    const { env } = pool.context;
    const options = connectOptions(pool.hop, env.identity.current());
    if (options === null) return false;
    new UpstreamHttp1(pool, (upstream) => env.net.connect(options, UPSTREAM, upstream));
    return true;
  }

  private constructor(
    pool: PoolHttp1,
    connect: (upstream: UpstreamHttp1) => Conn<UpstreamHttp1>,
  ) {
    this.pool = pool;
    this.beganAtMs = pool.context.nowMs();
    this.#idle = new Deadline<UpstreamHttp1>(this, idleTooLong);
    this.conn = connect(this);
    this.out = new Outlet(this.conn, pool.hop.metrics, pool.context.gatherer);
  }

  /** The connection can be written to. */
  ready(): void {
    this.pool.hop.metrics.opened();
    this.#state = IDLE;
    this.pool.ready(this);
  }

  /** Sends a request on this connection. */
  attach(attempt: Attempt): void {
    this.#attempt = attempt;
    this.#state = BUSY;
    this.#responded = false;
    this.#inBody = false;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#keep = false;
    this.#lent = null;
    this.out.hasSent = false;
    this.#framer.beginNone();
    attempt.attached(this);
    const { gatherer } = this.pool.context;
    const gathers = gatherer.begin();
    this.#sendHead(attempt);
    if (!this.#requestDone) attempt.sendBody(this);
    if (gathers) gatherer.end();
  }

  get blocked(): boolean {
    return this.out.blocked;
  }

  get reads(): boolean {
    return this.#keep && !this.ended;
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (last) this.#requestDone = true;
    if (this.#chunked) {
      writeChunk(this.out, bytes, start, end, last, this.pool.context.scratch);
    } else this.out.write(bytes, start, end, true);
    if (last) this.#checkDone();
  }

  trailers(fields: FieldLines): void {
    this.#requestDone = true;
    if (this.#chunked) writeTrailers(this.out, fields, this.pool.context.scratch);
    this.#checkDone();
  }

  /** The connection is in the middle of something: nobody can use it any more. */
  cancel(): void {
    if (this.#attempt === null) return;
    this.#attempt = null;
    this.destroy(!this.#responseDone);
  }

  resumeResponse(): void {
    if (this.#lent !== null) releaseBytes(this.#lent);
    this.#lent = null;
    this.#resume();
  }

  idleUntil(atMs: number): void {
    this.pool.context.wheel.schedule(this.#idle, atMs);
  }

  /** No request has been answered on it. */
  get isNew(): boolean {
    return this.#served === 0;
  }

  get idle(): boolean {
    return this.#state === IDLE;
  }

  destroy(reset = false): void {
    if (this.#state === CLOSED) return;
    if (this.#state === IDLE) this.pool.withdraw(this);
    this.#leavePool();
    this.conn.destroy(reset);
  }

  /** The connection becomes a tunnel's: no pool's any more, but open. */
  release(): void {
    this.#attempt = null;
    this.#leavePool();
  }

  // The connection.

  received(chunk: Uint8Array): void {
    this.out.metrics.read(chunk.length);
    const attempt = this.#attempt;
    const wasBody = this.#inBody && this.intake.length === 0;
    this.intake.push(chunk);
    this.#proceed();
    // Nothing but the body's middle: only the client's side can still have a part of it.
    const isBody = wasBody && this.#attempt === attempt && !this.#responseDone &&
      this.intake.length === 0;
    const blocked = this.#attempt?.responseBlocked === true;
    if (isBody && blocked) this.#lent = chunk;
    else if (isBody) releaseBytes(chunk);
    if (!blocked || this.paused) return;
    this.paused = true;
    this.conn.pause();
  }

  drained(): void {
    this.out.flush();
    if (!this.out.blocked) this.#attempt?.upstreamDrained();
  }

  peerEnded(): void {
    this.ended = true;
    const attempt = this.#attempt;
    if (attempt === null) this.destroy();
    else if (this.#responseDone) this.#stop(attempt);
    else if (this.#inBody && this.#framer.mode === BodyMode.UNTIL_CLOSE) {
      attempt.responseData(this.intake.bytes, 0, 0, true);
      this.#afterResponse(attempt);
    } else this.#lost("reset");
  }

  peerClosed(reason: CloseReason): void {
    if (this.#state === CONNECTING) {
      this.#leavePool();
      this.pool.failed(this, reason);
      return;
    }
    this.out.metrics.closed(errnoOf(reason));
    const attempt = this.#attempt;
    if (attempt === null) {
      if (this.#state === IDLE) this.pool.withdraw(this);
      this.#leavePool();
    } else if (this.#responseDone) this.#stop(attempt);
    else this.#lost(reason === "none" ? "reset" : reason);
  }

  // Requests.

  #sendHead(attempt: Attempt): void {
    const { hop, context } = this.pool;
    const { scratch } = context;
    const { head, body } = attempt;
    scratch.clear();
    if (!this.#prefaced) {
      this.#prefaced = true;
      scratch.append(hop.preface, 0, hop.preface.length);
    }
    const empty = body.complete && body.length === 0 && body.trailers === null;
    // A chunked body may be empty, and must say so; HTTP/2 tells at once that there is none.
    this.#requestDone = empty && !head.chunked;
    this.#chunked = !this.#requestDone && head.contentLength < 0;
    const lines = this.#chunked && !head.chunked ? CHUNKED_LINE : NO_LINES;
    const own = attempt.ownFields(this.pool.meshed);
    writeRequestHead(head, lines, attempt.added, own, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  // Responses.

  #proceed(): void {
    const intake = this.intake;
    while (intake.length > 0) {
      const attempt = this.#attempt;
      if (attempt === null || this.#responseDone) {
        // Nobody asked: what follows cannot be trusted either.
        this.#keep = false;
        intake.clear();
        if (attempt === null) this.destroy(true);
        return;
      }
      this.#responded = true;
      if (!(this.#inBody ? this.#readBody(attempt) : this.#readHead(attempt))) return;
    }
  }

  /** false: no more can be done with these bytes. */
  #readHead(attempt: Attempt): boolean {
    const intake = this.intake;
    const head = this.#head;
    const length = parseResponseHead(intake.bytes, intake.start, intake.end, head, head.scanned);
    if (length === 0) return false;
    if (length < 0) return this.#broken(attempt, http1ReasonName(length));
    intake.consume(length);
    if (this.pool.meshed) head.meshFields = MeshFields.KEEP;
    if (startsTunnel(head, attempt.head.method)) {
      if (head.status === 101 && !attempt.head.upgrades()) {
        return this.#broken(attempt, "an upgrade that was not asked for");
      }
      attempt.responseTunnel(head, this);
      return false;
    }
    if (head.interim()) {
      attempt.responseInterim(head);
      return true;
    }
    return this.#beginResponse(attempt);
  }

  #beginResponse(attempt: Attempt): boolean {
    const intake = this.intake;
    const head = this.#head;
    const framer = this.#framer;
    // HTTP/2 could not say that the body is coded.
    if (head.hasOtherCodings && attempt.head.http2) {
      return this.#broken(attempt, "a transfer coding beside chunked");
    }
    frameResponse(framer, head, attempt.head.method);
    this.#keep = head.persistent() && framer.mode !== BodyMode.UNTIL_CLOSE;
    attempt.body.unread = !this.#keep;
    this.#inBody = true;
    const { bytes, start } = intake;
    let taken = 0;
    if (!framer.done && intake.length > 0) {
      taken = framer.advance(bytes, start, intake.end);
      if (taken < 0) return this.#broken(attempt, http1ReasonName(taken));
    }
    intake.consume(taken);
    const last = framer.done && framer.trailers === null;
    const from = taken > 0 ? framer.payloadStart : 0;
    const to = taken > 0 ? framer.payloadEnd : 0;
    const { meshed } = this.pool;
    if (!attempt.responseHead(head, meshed, bytes, from, to, last)) return false;
    this.#afterPart(attempt);
    return true;
  }

  #readBody(attempt: Attempt): boolean {
    const intake = this.intake;
    const framer = this.#framer;
    const { bytes } = intake;
    const taken = framer.advance(bytes, intake.start, intake.end);
    if (taken < 0) return this.#broken(attempt, http1ReasonName(taken));
    intake.consume(taken);
    const { payloadStart, payloadEnd } = framer;
    const last = framer.done && framer.trailers === null;
    if (last || payloadEnd > payloadStart) {
      attempt.responseData(bytes, payloadStart, payloadEnd, last);
    }
    this.#afterPart(attempt);
    return true;
  }

  /** A run of the body was handed on. */
  #afterPart(attempt: Attempt): void {
    const { done, trailers } = this.#framer;
    if (!done || this.#attempt !== attempt) return;
    if (trailers !== null) attempt.responseTrailers(trailers);
    this.#afterResponse(attempt);
  }

  /** The response is complete; what follows it nobody has asked for. */
  #afterResponse(attempt: Attempt): void {
    if (this.#attempt !== attempt) return;
    this.#responseDone = true;
    if (this.intake.length > 0) this.#keep = false;
    // Free before the attempt is told: its client's next request may take this very connection.
    this.#checkDone();
    attempt.responseDone();
  }

  /** Request and response are both complete: the connection is free, or of no use. */
  #checkDone(): void {
    if (!this.#responseDone || !this.#requestDone || this.#attempt === null) return;
    this.#attempt = null;
    this.#served++;
    this.#resume();
    if (this.#keep && !this.ended && !this.out.blocked) {
      this.#state = IDLE;
      this.pool.release(this);
    } else this.destroy();
  }

  #resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.conn.resume();
  }

  /** The response is complete, but nobody will read the rest of the request. */
  #stop(attempt: Attempt): void {
    this.#attempt = null;
    this.destroy();
    attempt.lost({ error: "reset", unprocessed: false, raced: false, reset: 0 });
  }

  #lost(error: string): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    this.destroy(true);
    const raced = this.#served > 0 && !this.#responded;
    // A connection that was already gone has taken nothing of the request.
    const unprocessed = !this.out.hasSent && !this.#responded;
    attempt?.lost({ error, unprocessed, raced, reset: 0 });
  }

  #broken(attempt: Attempt, cause: string): false {
    this.#attempt = null;
    this.destroy(true);
    attempt.broken(cause);
    return false;
  }

  #leavePool(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.pool.context.wheel.cancel(this.#idle);
    this.pool.forget();
  }
}

function idleTooLong(upstream: UpstreamHttp1): void {
  if (upstream.idle) upstream.destroy();
}

/** The handler of all pooled connections. */
const UPSTREAM: ConnHandler<UpstreamHttp1> = {
  open(conn) {
    if (conn.data.pool.hop.tls === null) conn.data.ready();
  },
  secure(conn) {
    conn.data.ready();
  },
  data(conn, chunk) {
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
