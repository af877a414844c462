// hot
/**
 * A client's HTTP/2 connection: any number of requests at a time, each an exchange of its own on a
 * stream of its own.
 *
 *     SERVING ─drain─▶ first GOAWAY, ping ─pong─▶ last GOAWAY ─last stream─▶ OVER
 *        └─ FIN or failure of the peer ─────────────────────────────────────▲
 */

import type { CloseReason, ConnHandler } from "../host/net.ts";
import { type FieldLines, MeshFields, type ResponseHead } from "../wire/http/mod.ts";
import {
  encodeResponse,
  ErrorCode,
  errorCodeName,
  type Http2Events,
  type Http2Session,
  type Http2Stream,
  readOriginalProtocol,
} from "../wire/http2/mod.ts";
import { type Client, enterPhase, type PathContext, type Session } from "./context.ts";
import { errnoOf } from "./errno.ts";
import { Exchange } from "./exchange.ts";
import type { Downstream, HttpSide, Refusal } from "./http-parts.ts";
import { writeErrorHttp2 } from "./http-error.ts";
import { LinkHttp2, type LinkOwner } from "./link-http2.ts";
import { TOO_LARGE } from "./refusals.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

const NOTHING = new Uint8Array(0);

/** One client connection that speaks HTTP/2. */
export class DownstreamHttp2 implements Session, Http2Events<ResponseStream>, LinkOwner {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly link: LinkHttp2<ResponseStream>;
  readonly #client: Client;
  #isDraining = false;
  /** Ends when the last stream has. */
  #isEnding = false;

  constructor(context: PathContext, side: HttpSide, client: Client) {
    this.context = context;
    this.side = side;
    this.#client = client;
    const { conn, metrics } = client.out;
    const watched = side.fromMesh;
    this.link = new LinkHttp2<ResponseStream>(context, conn, metrics, true, this, this, watched);
    context.opened(this);
    enterPhase(conn, CLIENT, this);
  }

  begin(): void {
    const { intake, ended, paused, out } = this.#client;
    this.link.start(NOTHING);
    if (intake.length > 0) this.link.received(intake.bytes, intake.start, intake.end);
    intake.clear();
    if (ended) this.peerEnded();
    else if (paused) out.conn.resume();
  }

  /** Streams that are on their way when the client learns of it are still taken. */
  drain(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.link.session.goaway(false);
    this.link.session.sender.ping();
    this.link.touch();
  }

  abort(): void {
    this.link.conn.destroy(true);
  }

  // What the session tells.

  request(
    _session: Http2Session<ResponseStream>,
    stream: Http2Stream<ResponseStream>,
    last: boolean,
  ): void {
    const head = stream.request;
    if (head === null) return;
    if (this.side.fromMesh) {
      readOriginalProtocol(head);
      head.meshFields = MeshFields.KEEP_CANONICAL;
    }
    const response = new ResponseStream(this, stream);
    const exchange = new Exchange(this.context, this.side.sideOf(head), response, head);
    response.exchange = exchange;
    stream.owner = response;
    exchange.body.complete = last;
    if (head.tooLarge) exchange.refuse(TOO_LARGE);
    else exchange.side.begin(exchange);
  }

  interim(): void {}

  response(): void {}

  data(
    stream: Http2Stream<ResponseStream>,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const exchange = stream.owner?.exchange ?? null;
    if (exchange !== null) {
      exchange.requestData(bytes, start, end, last);
      const { blocked } = exchange;
      if (last || blocked || exchange.body.whole) this.link.isLent = true;
      if (blocked) {
        stream.owner!.unconsumed += end - start;
        return;
      }
    }
    this.link.session.consumed(stream, end - start);
  }

  trailers(stream: Http2Stream<ResponseStream>, fields: FieldLines): void {
    stream.owner?.exchange?.requestTrailers(fields);
  }

  reset(stream: Http2Stream<ResponseStream>): void {
    stream.owner?.exchange?.abandoned("canceled");
  }

  unblocked(stream: Http2Stream<ResponseStream>): void {
    stream.owner?.drained();
  }

  goaway(): void {}

  settled(): void {}

  /** The client knows that we go: whatever it opens from now on, it opens elsewhere. */
  ponged(): void {
    if (!this.#isDraining || this.#isEnding) return;
    this.#isEnding = true;
    this.link.session.goaway(true);
    this.link.touch();
    this.endIfDone();
  }

  linkFailed(code: ErrorCode): void {
    if (code === ErrorCode.NO_ERROR) return;
    const { env } = this.context;
    env.metrics.failed(this.side.direction, "http", "bad request");
    const message = errorCodeName(code);
    env.log.debug("ended an HTTP/2 connection", { direction: this.side.direction, message });
  }

  linkSent(): void {
    if (this.#isEnding) this.endIfDone();
  }

  // The connection.

  received(chunk: Uint8Array): void {
    this.link.chunkCame(chunk);
    if (this.#isEnding) this.endIfDone();
  }

  drained(): void {
    this.link.drained();
  }

  /**
   * A client that is gone says no more than this. One that only stops writing could not take its responses
   * either, as it makes no room for them; no server waits for its streams.
   */
  peerEnded(): void {
    if (this.link.session.streams.size > 0) {
      this.link.conn.destroy();
      return;
    }
    this.#isEnding = true;
    this.endIfDone();
  }

  peerClosed(reason: CloseReason): void {
    this.link.metrics.closed(errnoOf(reason));
    this.link.lost();
    this.context.closed(this);
    this.side.closed();
  }

  /** FIN behind the last response. */
  endIfDone(): void {
    if (!this.#isEnding || this.link.session.streams.size > 0) return;
    this.link.end();
  }
}

/** Where the response of one stream goes. */
class ResponseStream implements Downstream {
  exchange: Exchange | null = null;
  /** Bytes of the request that wait for the endpoint: the client may not send as many more. */
  unconsumed = 0;
  readonly #connection: DownstreamHttp2;
  readonly #stream: Http2Stream<ResponseStream>;
  /** A head of 1xx has been sent. */
  #hasInterim = false;
  /** The response is complete, though the request is not. */
  #isDone = false;

  constructor(connection: DownstreamHttp2, stream: Http2Stream<ResponseStream>) {
    this.#connection = connection;
    this.#stream = stream;
  }

  get blocked(): boolean {
    return this.#stream.blocked;
  }

  /** Who has not read one of them gets no other ones: no window bounds heads. */
  interim(head: ResponseHead): void {
    const { link } = this.#connection;
    if (link.blocked && this.#hasInterim) return;
    this.#hasInterim = true;
    this.#head(head, null, false);
    link.touch();
  }

  respond(
    head: ResponseHead,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    const { link, side } = this.#connection;
    this.#head(head, side.addedToResponse(), last && start === end);
    if (end > start) link.session.sender.data(this.#stream, bytes, start, end, true, last);
    link.touch();
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

  refuse(refusal: Refusal): void {
    const { link, side } = this.#connection;
    if (this.#stream.closed) return;
    const { sender } = link.session;
    sender.beginHeaders();
    writeErrorHttp2(refusal, this.exchange?.grpc === true, side.explains, sender);
    sender.endHeaders(this.#stream, true);
    link.touch();
  }

  get hasCodes(): boolean {
    return true;
  }

  cutOff(code: number): void {
    const { link } = this.#connection;
    this.exchange = null;
    link.session.reset(this.#stream, code);
    link.touch();
    this.#connection.endIfDone();
  }

  done(): void {
    this.exchange = null;
    this.#isDone = true;
    if (!this.#stream.blocked) this.#end();
  }

  /** What was queued on the stream, or on its connection, is out. */
  drained(): void {
    if (this.#isDone) this.#end();
    else this.exchange?.clientDrained();
  }

  resumeRequest(): void {
    const { link } = this.#connection;
    link.session.consumed(this.#stream, this.unconsumed);
    this.unconsumed = 0;
    link.touch();
  }

  /** Nothing that came by HTTP/2 asks for a connection of its own. */
  tunnel(_head: ResponseHead, upstream: UpstreamHttp1): void {
    upstream.destroy(true);
    this.exchange?.tunnelClosed();
    this.cutOff(ErrorCode.INTERNAL_ERROR);
  }

  #head(head: ResponseHead, added: FieldLines | null, last: boolean): void {
    if (this.#stream.closed) return;
    const { sender } = this.#connection.link.session;
    sender.beginHeaders();
    encodeResponse(sender, head, added);
    sender.endHeaders(this.#stream, last);
  }

  /** Nobody reads the rest of the request. */
  #end(): void {
    const { link } = this.#connection;
    if (!this.#stream.remoteEnded) link.session.reset(this.#stream, ErrorCode.NO_ERROR);
    link.touch();
    this.#connection.endIfDone();
  }
}

/** The handler of all client connections that speak HTTP/2. */
const CLIENT: ConnHandler<DownstreamHttp2> = {
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
