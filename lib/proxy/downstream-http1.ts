// hot
/**
 * A client's HTTP/1 connection: one request at a time, in order.
 *
 *     HEAD ─request head─▶ BUSY ─exchange done─▶ HEAD
 *       │ malformed          └─101, CONNECT─▶ TUNNEL
 *       └──────────────▶ OVER (`linger.ts`: FIN, the rest of the request is thrown away)
 *
 * What the client sends behind a request waits in `intake`, and the connection is paused meanwhile.
 */

import { releaseBytes } from "../base/bytes.ts";
import type { CloseReason, ConnHandler } from "../host/net.ts";
import {
  type FieldLines,
  MeshFields,
  Method,
  RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";
import {
  BodyFramer,
  CHUNKED_LINE,
  EMPTY_LINE,
  frameRequest,
  http1ReasonName,
  NO_LINES,
  parseRequestHead,
  writeResponseHead,
} from "../wire/http1/mod.ts";
import { appendChunk, writeChunk, writeTrailers } from "./body-writer.ts";
import { type Client, enterPhase, type PathContext, type Session } from "./context.ts";
import { errnoOf } from "./errno.ts";
import { Exchange } from "./exchange.ts";
import { malformedStatus, writeError } from "./http-error.ts";
import type { Downstream, HttpSide, Refusal } from "./http-parts.ts";
import { connectionLine } from "./http1-lines.ts";
import type { Intake } from "./intake.ts";
import { Lingering } from "./linger.ts";
import type { Outlet } from "./outlet.ts";
import { Splice } from "./splice.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

const HEAD = 0;
const BUSY = 1;
const TUNNEL = 2;
const OVER = 3;

/** Up to here body bytes are copied behind the head, to be written with it. */
const COALESCE_BYTES = 16_384;

/** One client connection that speaks HTTP/1. */
export class DownstreamHttp1 implements Session, Downstream {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly out: Outlet;
  readonly #intake: Intake;
  readonly #head = new RequestHead();
  readonly #framer = new BodyFramer();
  #exchange: Exchange | null = null;
  #ended: boolean;
  #state = HEAD;
  #paused: boolean;
  /** The loop over what came is running further up the stack. */
  #looping = false;
  #keepAlive = false;
  #responded = false;
  /** The response's body is chunked by us. */
  #chunked = false;
  /** The response's body lasts until the connection closes. */
  #untilClose = false;
  #tunnel: Splice | null = null;

  constructor(context: PathContext, side: HttpSide, client: Client) {
    this.context = context;
    this.side = side;
    this.out = client.out;
    this.#intake = client.intake;
    this.#ended = client.ended;
    this.#paused = client.paused;
    context.opened(this);
    enterPhase(this.out.conn, CLIENT, this);
  }

  begin(): void {
    this.#proceed();
  }

  drain(): void {
    if (this.#state === HEAD && this.#intake.length === 0) this.#finish();
    else if (!this.#responded) this.#keepAlive = false;
  }

  abort(): void {
    if (this.#tunnel !== null) this.#tunnel.abort();
    else this.out.conn.destroy(true);
  }

  // What the exchange tells.

  get blocked(): boolean {
    return this.out.blocked;
  }

  /** HTTP/1.0 does not know such heads; and who has not read one of them gets no other ones. */
  interim(head: ResponseHead): void {
    if (this.#head.versionMinor === 0 || this.out.blocked) return;
    const { scratch } = this.context;
    scratch.clear();
    writeResponseHead(head, false, NO_LINES, null, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  respond(
    head: ResponseHead,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const framing = this.#frameResponse(head, start === end && last);
    this.#responded = true;
    // Who has sent all of the request by then would take the connection for his next one.
    const unread = !this.#framer.done && this.#exchange?.body.unread === true;
    if (this.context.draining || unread) this.#keepAlive = false;
    const { scratch } = this.context;
    scratch.clear();
    const uncoded = head.chunked && !this.#chunked;
    const connection = connectionLine(this.#keepAlive, this.#head, framing);
    writeResponseHead(head, uncoded, connection, this.side.addedToResponse(), scratch);
    if (end - start > COALESCE_BYTES) {
      this.out.write(scratch.bytes, scratch.start, scratch.end, false);
      this.data(bytes, start, end, last);
      return;
    }
    if (this.#chunked) appendChunk(bytes, start, end, last, scratch);
    else scratch.append(bytes, start, end);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#chunked) writeChunk(this.out, bytes, start, end, last, this.context.scratch);
    else this.out.write(bytes, start, end, true);
  }

  trailers(fields: FieldLines): void {
    if (this.#chunked) writeTrailers(this.out, fields, this.context.scratch);
  }

  refuse(refusal: Refusal): void {
    if (!this.#framer.done || this.#head.method === Method.CONNECT) this.#keepAlive = false;
    this.#writeRefusal(refusal);
  }

  get hasCodes(): boolean {
    return false;
  }

  cutOff(): void {
    this.#exchange = null;
    this.#linger();
    // FIN comes too early for all but a body that nothing else ends. A reset might take with it what has
    // been answered before.
    if (this.#untilClose) this.out.resetFlushed();
    else this.out.finish();
  }

  done(): void {
    this.#exchange = null;
    if (!this.#keepAlive || !this.#framer.done) {
      this.#finish();
      return;
    }
    this.#state = HEAD;
    this.#proceed();
  }

  resumeRequest(): void {
    this.#proceed();
  }

  tunnel(head: ResponseHead, upstream: UpstreamHttp1): void {
    const { scratch } = this.context;
    scratch.clear();
    writeResponseHead(head, false, NO_LINES, null, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
    this.#state = TUNNEL;
    upstream.release();
    const paused = this.#paused;
    const client = { out: this.out, intake: this.#intake, ended: this.#ended, paused };
    this.side.tunneled(() => this.abort()); // cold: tunnels
    this.#tunnel = new Splice(this, client, upstream);
  }

  spliceClosed(): void {
    this.#exchange?.tunnelClosed();
    this.#exchange = null;
    this.side.tunneled(null);
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
    const intake = this.#intake;
    const exchange = this.#exchange;
    const wasBody = intake.length === 0 && !this.#framer.done && exchange?.body.whole === false;
    intake.push(chunk);
    this.#proceed();
    if (!wasBody || this.#framer.done || this.#exchange !== exchange) return;
    // Nothing but the body's middle, which is not kept for another try.
    if (intake.length === 0 && exchange?.blocked === false) releaseBytes(chunk);
  }

  drained(): void {
    this.out.flush();
    if (this.out.blocked) return;
    this.#exchange?.clientDrained();
    if (this.#state === HEAD) this.#proceed();
  }

  peerEnded(): void {
    this.#ended = true;
    this.#proceed();
  }

  peerClosed(reason: CloseReason): void {
    this.#state = OVER;
    this.out.metrics.closed(errnoOf(reason));
    const exchange = this.#exchange;
    this.#exchange = null;
    exchange?.abandoned("canceled");
    this.lingered();
  }

  // Reading requests.

  #proceed(): void {
    if (!this.#looping) {
      this.#looping = true;
      while (this.#step());
      this.#looping = false;
    }
    this.#settle();
  }

  /** Reads a head or a part of a body; false when nothing more can be done now. */
  #step(): boolean {
    switch (this.#state) {
      case HEAD:
        // A client that does not read its responses gets no further ones.
        return !this.out.blocked && this.#readHead();
      case BUSY: {
        const exchange = this.#exchange;
        if (exchange === null || this.#framer.done || exchange.blocked) return false;
        return this.#readBody(exchange);
      }
      default:
        return false;
    }
  }

  /** Begins a request if its head is here. */
  #readHead(): boolean {
    const intake = this.#intake;
    const head = this.#head;
    if (intake.length === 0) {
      if (this.#ended || this.context.draining) this.#finish();
      return false;
    }
    const length = parseRequestHead(intake.bytes, intake.start, intake.end, head, head.scanned);
    if (length === 0) {
      if (this.#ended) this.out.conn.destroy();
      return false;
    }
    if (length < 0) {
      this.#refuseMalformed(length);
      return false;
    }
    intake.consume(length);
    frameRequest(this.#framer, head);
    if (this.side.fromMesh) head.meshFields = MeshFields.KEEP_CANONICAL;
    this.#keepAlive = head.persistent() && !this.context.draining;
    this.#responded = false;
    this.#chunked = false;
    this.#state = BUSY;
    const exchange = new Exchange(this.context, this.side.sideOf(head), this, head);
    this.#exchange = exchange;
    exchange.body.complete = this.#framer.done;
    // What is here of the body goes with the head.
    while (!this.#framer.done && intake.length > 0) {
      if (!this.#takeBody(exchange)) return false;
    }
    exchange.side.begin(exchange);
    return true;
  }

  /** Hands on what is here of the body. */
  #readBody(exchange: Exchange): boolean {
    if (this.#intake.length > 0) return this.#takeBody(exchange);
    // The rest will never come, and a backend must not take what it has for the whole.
    if (this.#ended) this.out.conn.destroy(true);
    return false;
  }

  /** Takes one run of the body; false when it is malformed. */
  #takeBody(exchange: Exchange): boolean {
    const framer = this.#framer;
    const { bytes, start, end } = this.#intake;
    const taken = framer.advance(bytes, start, end);
    if (taken < 0) {
      this.#brokenBody(exchange, taken);
      return false;
    }
    this.#intake.consume(taken);
    const { trailers, payloadStart, payloadEnd } = framer;
    const last = framer.done && trailers === null;
    if (last || payloadEnd > payloadStart) {
      exchange.requestData(bytes, payloadStart, payloadEnd, last);
    }
    if (framer.done && trailers !== null) exchange.requestTrailers(trailers);
    return true;
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

  /** The body's framing is bad: the upstream has got a part that it must not take for a whole. */
  #brokenBody(exchange: Exchange, reason: number): void {
    this.#exchange = null;
    exchange.abandoned("bad request");
    if (this.#responded) {
      this.cutOff();
      this.context.env.metrics.failed(this.side.direction, "http", "bad request");
    } else this.#refuseMalformed(reason);
  }

  /** Pauses or resumes the client as it must be now. */
  #settle(): void {
    if (this.#state >= TUNNEL) return;
    const full = this.#state === HEAD
      ? this.out.blocked
      : this.#intake.length > 0 || this.#exchange?.blocked === true;
    if (full === this.#paused) return;
    this.#paused = full;
    if (full) this.out.conn.pause();
    else this.out.conn.resume();
  }

  // Sending responses.

  /**
   * Decides how the response's end is told: by its length, by chunks, or by the connection's end. Lines
   * that the head needs for it.
   */
  #frameResponse(head: ResponseHead, empty: boolean): Uint8Array {
    this.#chunked = false;
    this.#untilClose = false;
    const { method, versionMinor } = this.#head;
    const { status } = head;
    if (status === 204 || status === 304 || method === Method.HEAD || head.contentLength >= 0) {
      return NO_LINES;
    }
    if (versionMinor === 0) {
      if (empty) return EMPTY_LINE;
      this.#keepAlive = false;
      this.#untilClose = true;
      return NO_LINES;
    }
    if (empty && !head.chunked) return EMPTY_LINE;
    this.#chunked = true;
    return head.chunked ? NO_LINES : CHUNKED_LINE;
  }

  #writeRefusal(refusal: Refusal): void {
    const { scratch } = this.context;
    scratch.clear();
    const http10 = this.#head.versionMinor === 0;
    writeError(refusal, { explain: this.side.explains, close: !this.#keepAlive, http10 }, scratch);
    this.out.write(scratch.bytes, scratch.start, scratch.end, false);
  }

  // Ending.

  /** FIN behind the last response. */
  #finish(): void {
    this.#linger();
    this.out.finish();
  }

  #linger(): void {
    this.#state = OVER;
    this.#intake.clear();
    if (this.#paused) this.out.conn.resume();
    new Lingering(this.context, this.out, this);
  }
}

/** The handler of all client connections that speak HTTP/1. */
const CLIENT: ConnHandler<DownstreamHttp1> = {
  open() {},
  secure() {},
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
