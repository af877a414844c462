// hot
/**
 * One HTTP/1 connection to an endpoint: carries one request at a time and relays its response.
 *
 *     CONNECTING ─▶ BUSY ─response and request done─▶ IDLE ─next request─▶ BUSY
 *         └────────────┴──── lost, broken, not to be kept ────┴──▶ CLOSED
 */

import { asciiBytes } from "../base/bytes.ts";
import { Deadline } from "../base/wheel.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import {
  BodyFramer,
  BodyMode,
  frameResponse,
  parseResponseHead,
  ResponseHead,
  startsTunnel,
} from "../wire/http1/mod.ts";
import type { Downstream } from "./downstream.ts";
import { errnoOf } from "./errno.ts";
import { connectOptions } from "./hop.ts";
import { Intake } from "./intake.ts";
import { Outlet } from "./outlet.ts";
import type { HttpPool } from "./pool.ts";

const CONNECTING = 0;
const IDLE = 1;
const BUSY = 2;
const CLOSED = 3;

const PROXY_CONNECTION = asciiBytes("l5d-proxy-connection");
const UNSENT = asciiBytes("malla-unsent");

/** One connection of a pool. */
export class Upstream {
  readonly pool: HttpPool;
  readonly conn: Conn<Upstream>;
  readonly out: Outlet;
  readonly intake: Intake = new Intake();
  readonly head: ResponseHead = new ResponseHead();
  readonly framer: BodyFramer = new BodyFramer();
  /** When connecting began. */
  readonly beganAtMs: number;
  /** Requests that were answered on this connection. */
  served = 0;
  /** Some byte of the present response has come. */
  responded = false;
  paused = false;
  ended = false;
  #request: Downstream | null = null;
  #state = CONNECTING;
  #prefaced = false;
  #inBody = false;
  #responseDone = false;
  /** The connection may be used again after this response. */
  #keep = false;
  readonly #idle: Deadline<Upstream>;

  /** Makes a connection for the pool; false when TLS is needed and there is no certificate. */
  static connect(pool: HttpPool): boolean {
    const { env } = pool.context;
    const options = connectOptions(pool.hop, env.identity.current());
    if (options === null) return false;
    new Upstream(pool, (upstream) => env.net.connect(options, UPSTREAM, upstream));
    return true;
  }

  private constructor(pool: HttpPool, connect: (upstream: Upstream) => Conn<Upstream>) {
    this.pool = pool;
    this.beganAtMs = pool.context.nowMs();
    this.#idle = new Deadline<Upstream>(this, idleTooLong);
    this.conn = connect(this);
    this.out = new Outlet(this.conn, pool.hop.metrics);
  }

  /** The connection can be written to. */
  ready(): void {
    this.pool.hop.metrics.opened();
    this.#state = IDLE;
    this.pool.ready(this);
  }

  /** Begins a request on this connection. */
  attach(request: Downstream): void {
    this.#request = request;
    this.#state = BUSY;
    this.responded = false;
    this.#inBody = false;
    this.#responseDone = false;
    this.#keep = false;
    this.framer.beginNone();
    request.attached(this);
  }

  /** What goes before the first request: the transport header, once. */
  writePreface(): void {
    if (this.#prefaced) return;
    this.#prefaced = true;
    const { hop, context } = this.pool;
    context.scratch.append(hop.preface, 0, hop.preface.length);
  }

  /** The request has been written to its end. */
  requestDone(): void {
    if (this.#responseDone) this.#exchangeDone();
  }

  /** The client has gone, or will not be answered from here: the connection is in the middle. */
  abandon(): void {
    this.#request = null;
    this.destroy(true);
  }

  /** The endpoint takes bytes again. */
  drained(): void {
    this.out.flush();
    if (!this.out.blocked) this.#request?.settle();
  }

  /** The client takes bytes again. */
  resume(): void {
    if (!this.paused) return;
    this.paused = false;
    this.conn.resume();
  }

  idleUntil(atMs: number): void {
    this.pool.context.wheel.schedule(this.#idle, atMs);
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
    this.#request = null;
    this.#leavePool();
  }

  received(chunk: Uint8Array): void {
    this.out.metrics.read(chunk.length);
    this.intake.push(chunk);
    this.#proceed();
    const request = this.#request;
    if (request === null || !request.out.blocked || this.paused) return;
    this.paused = true;
    this.conn.pause();
  }

  peerEnded(): void {
    this.ended = true;
    const request = this.#request;
    if (request === null) this.destroy();
    else if (this.#inBody && this.framer.mode === BodyMode.UNTIL_CLOSE) this.#responseComplete();
    else if (this.#responseDone) this.#stopRequest(request);
    else this.#lost("reset");
  }

  peerClosed(reason: CloseReason): void {
    const request = this.#request;
    const connecting = this.#state === CONNECTING;
    if (this.#state === IDLE) this.pool.withdraw(this);
    if (connecting) {
      this.#leavePool();
      this.pool.failed(this, reason);
      return;
    }
    this.out.metrics.closed(errnoOf(reason));
    if (request === null) this.#leavePool();
    else if (this.#responseDone) this.#stopRequest(request);
    else this.#lost(reason);
  }

  #proceed(): void {
    const intake = this.intake;
    while (intake.length > 0) {
      const request = this.#request;
      if (request === null || this.#responseDone) {
        // Nobody asked: what follows cannot be trusted either.
        this.#keep = false;
        intake.clear();
        if (request === null) this.destroy(true);
        return;
      }
      this.responded = true;
      if (!(this.#inBody ? this.#relayBody(request) : this.#readHead(request))) return;
    }
  }

  /** false: no more can be done with these bytes. */
  #readHead(request: Downstream): boolean {
    const { intake, head } = this;
    const bytes = intake.bytes;
    const length = parseResponseHead(bytes, intake.start, intake.end, head, head.scanned);
    if (length === 0) return false;
    if (length < 0) return this.#broken(request, length);
    intake.consume(length);
    const method = request.head.method;
    if (startsTunnel(head, method)) {
      if (head.status === 101 && !request.head.upgrades()) return this.#broken(request, 0);
      request.tunnel(this, bytes);
      return false;
    }
    if (head.interim()) {
      request.relayInterim(this, bytes);
      return true;
    }
    return this.#beginResponse(request, bytes);
  }

  #beginResponse(request: Downstream, bytes: Uint8Array): boolean {
    const { head, framer, intake } = this;
    frameResponse(framer, head, request.head.method);
    const untilClose = framer.mode === BodyMode.UNTIL_CLOSE;
    this.#keep = head.persistent() && !untilClose;
    if (this.pool.meshed && head.hasMeshHeaders && head.find(bytes, PROXY_CONNECTION) >= 0) {
      this.#keep = false;
      if (request.elsewhere(this, head.find(bytes, UNSENT) >= 0)) return false;
    }
    let taken = 0;
    if (!framer.done && intake.length > 0) {
      taken = framer.advance(intake.bytes, intake.start, intake.end);
      if (taken < 0) return this.#broken(request, taken);
    }
    this.#inBody = true;
    request.relayResponse(this, bytes, taken, untilClose);
    intake.consume(taken);
    if (framer.done) this.#responseComplete();
    return true;
  }

  #relayBody(request: Downstream): boolean {
    const { intake, framer } = this;
    const taken = framer.advance(intake.bytes, intake.start, intake.end);
    if (taken < 0) return this.#broken(request, taken);
    request.out.write(intake.bytes, intake.start, intake.start + taken, true);
    intake.consume(taken);
    if (framer.done) this.#responseComplete();
    return true;
  }

  #responseComplete(): void {
    const request = this.#request;
    this.#responseDone = true;
    if (this.intake.length > 0) this.#keep = false;
    if (request === null) return;
    if (request.request.done) this.#exchangeDone();
    else if (!this.#keep || this.ended) this.#stopRequest(request);
  }

  /** Request and response are both complete. */
  #exchangeDone(): void {
    const request = this.#request;
    if (request === null) return;
    this.#request = null;
    this.served++;
    this.resume();
    if (this.#keep && !this.ended && !this.out.blocked) {
      this.#state = IDLE;
      this.pool.release(this);
    } else this.destroy();
    request.exchangeDone();
  }

  /** The response is complete, but nobody will read the rest of the request. */
  #stopRequest(request: Downstream): void {
    this.#request = null;
    this.destroy();
    request.stopped();
  }

  #lost(reason: CloseReason): void {
    const request = this.#request;
    this.#request = null;
    this.destroy(true);
    request?.upstreamLost(this, reason);
  }

  /** The response cannot be understood. `reason` is the parser's, 0: an upgrade nobody asked for. */
  #broken(request: Downstream, reason: number): false {
    this.#request = null;
    this.destroy(true);
    request.responseBroken(reason);
    return false;
  }

  #leavePool(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.pool.context.wheel.cancel(this.#idle);
    this.pool.forget();
  }
}

function idleTooLong(upstream: Upstream): void {
  if (upstream.idle) upstream.destroy();
}

/** The handler of all pooled connections. */
const UPSTREAM: ConnHandler<Upstream> = {
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
