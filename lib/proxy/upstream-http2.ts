// hot
/**
 * One HTTP/2 connection to an endpoint: carries as many requests at a time as the peer admits.
 *
 *     CONNECTING ─▶ OPEN ─GOAWAY, pool closed─▶ LEAVING ─last stream─▶ CLOSED
 *         └───────────┴──────────── lost, idle for long ─────────────────▲
 */

import { Deadline } from "../base/wheel.ts";
import { UPSTREAM_IDLE_MS } from "../base/limits.ts";
import type { CloseReason, Conn, ConnHandler } from "../host/net.ts";
import { type FieldLines, MeshFields, Method, type ResponseHead } from "../wire/http/mod.ts";
import {
  encodeRequest,
  ErrorCode,
  errorCodeName,
  type Http2Events,
  type Http2Stream,
} from "../wire/http2/mod.ts";
import type { Attempt } from "./attempt.ts";
import { errnoOf } from "./errno.ts";
import { connectOptions } from "./hop.ts";
import type { Upstream } from "./http-parts.ts";
import { LinkHttp2, type LinkOwner } from "./link-http2.ts";
import type { PoolHttp2 } from "./pool-http2.ts";

const CONNECTING = 0;
const OPEN = 1;
const LEAVING = 2;
const CLOSED = 3;

/** The peer has announced that it does not take, or finish, any more. */
const GONE_AWAY = "go away";

const NOTHING = new Uint8Array(0);

/** One connection of a pool. */
export class UpstreamHttp2 implements Http2Events<RequestStream>, LinkOwner {
  readonly pool: PoolHttp2;
  readonly link: LinkHttp2<RequestStream>;
  /** When connecting began. */
  readonly beganAtMs: number;
  #state = CONNECTING;
  /** Responses that came on it. */
  #served = 0;
  #isSettled = false;
  /** Why its streams are lost, for the label `error`; empty while they are not. */
  #lostBy = "";
  readonly #idle: Deadline<UpstreamHttp2>;

  /** Makes a connection for the pool; null when TLS is needed and there is no certificate. */
  static connect(pool: PoolHttp2): UpstreamHttp2 | null {
    const { env } = pool.context;
    const options = connectOptions(pool.hop, env.identity.current());
    if (options === null) return null;
    return new UpstreamHttp2(pool, (upstream) => env.net.connect(options, UPSTREAM, upstream));
  }

  private constructor(
    pool: PoolHttp2,
    connect: (upstream: UpstreamHttp2) => Conn<UpstreamHttp2>,
  ) {
    this.pool = pool;
    this.beganAtMs = pool.context.nowMs();
    this.#idle = new Deadline<UpstreamHttp2>(this, idleTooLong);
    const { context, hop } = pool;
    this.link = new LinkHttp2<RequestStream>(
      context,
      connect(this),
      hop.metrics,
      false,
      this,
      this,
      pool.meshed,
    );
  }

  /** Whether it takes another request now. */
  get hasRoom(): boolean {
    return this.#state === OPEN && this.link.session.sender.mayOpen;
  }

  /** Its peer has not said yet how many requests it takes. */
  get isNew(): boolean {
    return this.#state === OPEN && !this.#isSettled;
  }

  /** The connection can be written to. */
  ready(): void {
    const { hop } = this.pool;
    hop.metrics.opened();
    this.#state = OPEN;
    this.link.start(hop.preface);
    this.pool.ready(this);
    this.#rest();
  }

  /** Sends a request on a stream of its own; only where it has room. */
  attach(attempt: Attempt): void {
    const { session } = this.link;
    const { sender } = session;
    const { head, body } = attempt;
    const stream = sender.open(head.method === Method.HEAD);
    const request = new RequestStream(this, stream, attempt);
    stream.owner = request;
    // An empty body that was announced is sent as one.
    const last = body.complete && body.length === 0 && body.trailers === null && !head.chunked;
    sender.beginHeaders();
    encodeRequest(sender, head, attempt.added, attempt.ownFields(this.pool.meshed));
    sender.endHeaders(stream, last);
    attempt.attached(request);
    if (!last) attempt.sendBody(request);
    this.link.touch();
  }

  /** The pool has no use for it any more: it goes when its streams have. */
  leave(): void {
    if (this.#state === OPEN) this.#state = LEAVING;
    this.#rest();
  }

  destroy(): void {
    if (this.#state === CLOSED) return;
    this.#leavePool();
    this.link.conn.destroy();
  }

  /** Nothing has been under way for long. */
  idleTooLong(): void {
    if (this.link.session.streams.size === 0) this.destroy();
  }

  /** A stream may have ended: there is room for another, or nothing to do. */
  streamEnded(): void {
    if (this.hasRoom) this.pool.serve(this);
    this.#rest();
  }

  // What the session tells.

  request(): void {}

  interim(stream: Http2Stream<RequestStream>, head: ResponseHead): void {
    this.#trust(head);
    stream.owner?.attempt.responseInterim(head);
  }

  response(stream: Http2Stream<RequestStream>, head: ResponseHead, last: boolean): void {
    const request = stream.owner;
    if (request === null) return;
    this.#served++;
    this.#trust(head);
    const { attempt } = request;
    const { meshed } = this.pool;
    if (attempt.responseHead(head, meshed, NOTHING, 0, 0, last) && last) attempt.responseDone();
  }

  data(
    stream: Http2Stream<RequestStream>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const request = stream.owner;
    if (request !== null) {
      const { attempt } = request;
      attempt.responseData(bytes, start, end, last);
      const { responseBlocked } = attempt;
      if (last || responseBlocked) this.link.isLent = true;
      if (last) attempt.responseDone();
      else if (responseBlocked) {
        request.unconsumed += end - start;
        return;
      }
    }
    this.link.session.consumed(stream, end - start);
  }

  trailers(stream: Http2Stream<RequestStream>, fields: FieldLines): void {
    const attempt = stream.owner?.attempt;
    attempt?.responseTrailers(fields);
    attempt?.responseDone();
  }

  reset(stream: Http2Stream<RequestStream>, code: number, byPeer: boolean): void {
    const attempt = stream.owner?.attempt;
    stream.owner = null;
    const isUnsent = this.#lostBy !== "" && stream.id >= this.link.unsentFrom;
    const unprocessed = isUnsent || code === ErrorCode.REFUSED_STREAM;
    attempt?.lost({
      error: this.#lostBy || (unprocessed && !byPeer ? GONE_AWAY : errorCodeName(code)),
      unprocessed,
      raced: this.#lostBy !== "" && !stream.headed && this.#served > 0,
      // A refused one has been tried again as often as it should: the client must not begin anew.
      reset: byPeer && !unprocessed ? code : 0,
    });
  }

  unblocked(stream: Http2Stream<RequestStream>): void {
    stream.owner?.attempt.upstreamDrained();
  }

  goaway(): void {
    this.pool.withdraw(this);
    this.leave();
  }

  settled(): void {
    this.#isSettled = true;
    this.pool.serve(this);
  }

  ponged(): void {}

  linkFailed(code: ErrorCode): void {
    const { address } = this.pool.hop;
    const message = errorCodeName(code);
    this.#lostBy = code === ErrorCode.NO_ERROR ? "timeout" : "protocol";
    this.pool.context.env.log.debug("ended an HTTP/2 connection", { address, message });
  }

  linkSent(): void {
    this.streamEnded();
  }

  // The connection.

  received(chunk: Uint8Array): void {
    this.link.chunkCame(chunk);
    this.streamEnded();
  }

  drained(): void {
    this.link.drained();
  }

  peerEnded(): void {
    this.destroy();
  }

  peerClosed(reason: CloseReason): void {
    if (this.#state === CONNECTING) {
      this.#leavePool();
      this.pool.failed(this, reason);
      return;
    }
    this.link.metrics.closed(errnoOf(reason));
    const { goneAway } = this.link.session;
    this.#lostBy ||= goneAway ? GONE_AWAY : reason === "none" ? "reset" : reason;
    this.#leavePool();
    this.link.lost();
  }

  #trust(head: ResponseHead): void {
    if (this.pool.meshed) head.meshFields = MeshFields.KEEP;
  }

  /** Without streams it is kept for a while, or goes. */
  #rest(): void {
    if (this.link.session.streams.size > 0 || this.#state === CONNECTING) return;
    if (this.#state === LEAVING) this.destroy();
    else if (this.#state === OPEN) {
      const { context } = this.pool;
      context.wheel.schedule(this.#idle, context.nowMs() + UPSTREAM_IDLE_MS);
    }
  }

  #leavePool(): void {
    if (this.#state === CLOSED) return;
    this.#state = CLOSED;
    this.pool.context.wheel.cancel(this.#idle);
    this.pool.forget(this);
  }
}

/** Where the request of one stream goes. */
class RequestStream implements Upstream {
  readonly attempt: Attempt;
  /** Bytes of the response that wait for the client: the endpoint may not send as many more. */
  unconsumed = 0;
  readonly #connection: UpstreamHttp2;
  readonly #stream: Http2Stream<RequestStream>;

  constructor(
    connection: UpstreamHttp2,
    stream: Http2Stream<RequestStream>,
    attempt: Attempt,
  ) {
    this.#connection = connection;
    this.#stream = stream;
    this.attempt = attempt;
  }

  get blocked(): boolean {
    return this.#stream.blocked;
  }

  get reads(): boolean {
    return !this.#stream.closed;
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    const { link } = this.#connection;
    link.session.sender.data(this.#stream, bytes, start, end, true, last);
    link.touch();
  }

  trailers(fields: FieldLines): void {
    const { link } = this.#connection;
    link.session.sender.trailers(this.#stream, fields);
    link.touch();
  }

  resumeResponse(): void {
    if (this.unconsumed === 0) return;
    const { link } = this.#connection;
    link.session.consumed(this.#stream, this.unconsumed);
    this.unconsumed = 0;
    link.touch();
  }

  cancel(): void {
    if (this.#stream.closed) return;
    const { link } = this.#connection;
    this.#stream.owner = null;
    link.session.reset(this.#stream, ErrorCode.CANCEL);
    link.touch();
    this.#connection.streamEnded();
  }
}

function idleTooLong(upstream: UpstreamHttp2): void {
  upstream.idleTooLong();
}

/** The handler of all pooled connections. */
const UPSTREAM: ConnHandler<UpstreamHttp2> = {
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
