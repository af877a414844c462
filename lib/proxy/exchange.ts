// hot
/**
 * One request and its response, between a client's connection and an endpoint's, whichever protocols
 * they speak.
 *
 *     begun ─admitted─▶ WAITING ─connection─▶ SENT ─head─▶ RESPONDING ─response complete─▶ OVER
 *       └ refused          ▲ ▲ └── unreachable    │          │   └ request is not ▶ RESPONDED ─┘
 *                          │ └── another one ─────┘ lost     └ lost: cut off
 *                          └──── sent again, if that is safe
 *
 * The client's end tells what it brings (`request*`, `abandoned`), the endpoint's end what that brings
 * (`response*`, `lost`, `broken`). Each tells the other to wait by `blocked`.
 */

import type { CloseReason } from "../host/net.ts";
import {
  type FieldLines,
  FieldName,
  isIdempotent,
  Method,
  type RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";
import type { Balancer, EndpointState, PickWaiter } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import { GRPC_UNKNOWN, grpcStatusOf, isGrpc, isGrpcFailure } from "./grpc.ts";
import type { Downstream, HttpSide, Loss, Refusal, RequestPool, Upstream } from "./http-parts.ts";
import { closesPeer, isUnsent } from "./mesh-headers.ts";
import { RequestBody } from "./request-body.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

const WAITING = 0;
const SENT = 1;
const RESPONDING = 2;
const RESPONDED = 3;
const OVER = 4;

/** Connections that one request may be tried on: the replica may be gone, and the next one too. */
const TRIES_MAX = 3;

/** One exchange. */
export class Exchange implements PickWaiter {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly head: RequestHead;
  readonly body: RequestBody = new RequestBody();
  /** Of the side's: where the try of now goes. */
  balancer: Balancer | null = null;
  endpoint: EndpointState | null = null;
  /** When the try of now was given to its pool. */
  queuedAtMs = 0;
  /** The try of now wants a new connection. */
  fresh = false;
  readonly #downstream: Downstream;
  #upstream: Upstream | null = null;
  #pool: RequestPool | null = null;
  #state = WAITING;
  #tries = 0;
  #status = 0;
  #grpcStatus = -1;
  readonly #isGrpc: boolean;
  readonly #beganAtMs: number;
  #metrics: HttpMetrics | null = null;
  /** The client has waited for the upstream to take more. */
  #isHeld = false;

  constructor(context: PathContext, side: HttpSide, downstream: Downstream, head: RequestHead) {
    this.context = context;
    this.side = side;
    this.#downstream = downstream;
    this.head = head;
    this.#isGrpc = isGrpc(head);
    this.#beganAtMs = context.nowMs();
  }

  /** The client should bring no more of the request's body. */
  get blocked(): boolean {
    const upstream = this.#upstream;
    return upstream === null ? this.body.length > 0 : upstream.blocked;
  }

  /** Nothing of a response has been sent, and none has been refused. */
  get waiting(): boolean {
    return this.#state < RESPONDING;
  }

  get grpc(): boolean {
    return this.#isGrpc;
  }

  /** Asks for admission and a connection; what is here of the body has been told. */
  begin(): void {
    const refusal = this.side.admit(this);
    if (refusal !== null) this.refuse(refusal);
    else this.#dispatch(false);
  }

  // What the client brings.

  requestData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#state === OVER) return;
    if (last) this.body.complete = true;
    this.body.keep(bytes, start, end);
    const upstream = this.#upstream;
    if (upstream === null) return;
    this.body.bound();
    upstream.data(bytes, start, end, last);
    this.#isHeld = upstream.blocked;
    if (last && this.#state === RESPONDED) this.#finish();
  }

  requestTrailers(fields: FieldLines): void {
    if (this.#state === OVER) return;
    this.body.complete = true;
    const upstream = this.#upstream;
    // Kept for a connection to come, or for another try: their array is good for this call only.
    if (this.body.whole) this.body.trailers = fields.copy(); // cold: requests with trailers
    if (upstream === null) return;
    upstream.trailers(fields);
    if (this.#state === RESPONDED) this.#finish();
  }

  /** The client takes more of the response again. */
  clientDrained(): void {
    this.#upstream?.resumeResponse();
  }

  /** The client has gone, or has broken its own request. */
  abandoned(error: string): void {
    if (this.#state === OVER) return;
    this.#pool?.cancel(this);
    const upstream = this.#upstream;
    this.#upstream = null;
    this.#state = OVER;
    upstream?.cancel();
    this.#settle(error);
    this.body.drop();
  }

  // What the side answers.

  picked(state: EndpointState | null): void {
    if (this.#state === WAITING) this.side.picked(this, state);
  }

  /** The request goes to this endpoint. */
  assign(pool: RequestPool, metrics: HttpMetrics): void {
    this.#metrics = metrics;
    metrics.request();
    this.queuedAtMs = this.context.nowMs();
    this.#pool = pool;
    pool.attach(this, this.fresh);
  }

  /** The request is answered by the proxy; nothing of a response has been sent. */
  refuse(refusal: Refusal): void {
    if (this.#state >= RESPONDING) return;
    this.#state = OVER;
    this.body.drop();
    this.#downstream.refuse(refusal);
    this.#downstream.done();
  }

  // What the pool tells.

  /** The head has been sent on this connection. */
  attached(upstream: Upstream): void {
    this.#pool = null;
    this.#upstream = upstream;
    this.#state = SENT;
  }

  /** What is kept of the body follows the head. */
  sendBody(upstream: Upstream): void {
    this.body.sendTo(upstream);
    this.body.bound();
    if (upstream.blocked) this.#isHeld = true;
    else this.#downstream.resumeRequest();
  }

  unreachable(reason: CloseReason): void {
    this.#pool = null;
    const refusal = this.side.unreachable(this, reason);
    this.#settle("connect");
    if (refusal === null && this.#tries < TRIES_MAX) this.#dispatch(false);
    else {this.refuse(
        refusal ?? { status: 502, kind: "i/o", message: "no endpoint can be reached" },
      );}
  }

  /** TLS is needed and there is no certificate. */
  unsecurable(): void {
    this.#pool = null;
    this.#settle("identity required");
    this.context.env.metrics.failed(this.side.direction, "http", "identity required");
    this.refuse({ status: 503, kind: "identity required", message: "no certificate yet" });
  }

  // What the endpoint brings.

  /** The endpoint takes more of the request again. */
  upstreamDrained(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#downstream.resumeRequest();
  }

  /** The client does not take more of the response now. */
  get responseBlocked(): boolean {
    return this.#downstream.blocked;
  }

  responseInterim(head: ResponseHead): void {
    if (this.#state === SENT) this.#downstream.interim(head);
  }

  /**
   * The final head, with body bytes that came with it; `last`: that is all, and `responseDone` follows. False: the response is not
   * wanted, since the request goes elsewhere; the connection is not the exchange's any more.
   */
  responseHead(
    head: ResponseHead,
    meshed: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): boolean {
    if (meshed && closesPeer(head) && this.#elsewhere(isUnsent(head))) return false;
    this.#respond(head);
    this.#downstream.respond(head, bytes, start, end, last);
    return true;
  }

  responseData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#state === RESPONDING) this.#downstream.data(bytes, start, end, last);
  }

  responseTrailers(fields: FieldLines): void {
    if (this.#state !== RESPONDING) return;
    if (this.#isGrpc) this.#grpcStatus = grpcStatusOf(fields);
    this.#downstream.trailers(fields);
  }

  /**
   * All of the response has been brought, and its connection is free for others if it can be. The rest
   * of the request still goes where it may be read.
   */
  responseDone(): void {
    if (this.#state !== RESPONDING) return;
    this.#record("");
    if (this.body.complete || this.#upstream?.reads !== true) this.#finish();
    else this.#state = RESPONDED;
  }

  /** The connection or the stream broke before the response was complete. */
  lost(loss: Loss): void {
    if (this.#state === OVER) return;
    if (this.#state === RESPONDED) {
      this.#finish();
      return;
    }
    this.#upstream = null;
    const { error } = loss;
    const state = this.#state;
    this.#settle(error);
    if (state === RESPONDING) {
      this.#state = OVER;
      this.context.env.metrics.failed(this.side.direction, "http", "i/o");
      this.#downstream.cutOff();
    } else if (this.#mayResend(loss)) this.#dispatch(!loss.unprocessed);
    else {
      this.#state = WAITING;
      this.context.env.metrics.failed(this.side.direction, "http", "i/o");
      this.refuse({ status: 502, kind: "i/o", message: `upstream connection: ${error}` });
    }
  }

  /** The response is no HTTP that we would pass on. */
  broken(cause: string): void {
    const { direction } = this.side;
    this.context.env.log.warn("refused a malformed response", { direction, cause });
    this.lost({ error: "malformed", unprocessed: false, raced: false });
  }

  /** Everything behind this response's head is no HTTP: the connections are joined. */
  responseTunnel(head: ResponseHead, upstream: UpstreamHttp1): void {
    this.#respond(head);
    this.#upstream = null;
    this.#state = OVER;
    this.#record("");
    this.#downstream.tunnel(head, upstream);
  }

  #dispatch(fresh: boolean): void {
    this.#tries++;
    this.#state = WAITING;
    this.fresh = fresh;
    this.side.dispatch(this, fresh);
  }

  /** Sends the request to another endpoint, if there is one and it is safe. */
  #elsewhere(unsent: boolean): boolean {
    const possible = this.side.avoid(this);
    const safe = this.body.whole && (unsent || isIdempotent(this.head.method));
    if (!possible || !safe || this.#tries >= TRIES_MAX) return false;
    const upstream = this.#upstream;
    this.#upstream = null;
    upstream?.cancel();
    this.#settle("unavailable");
    this.#dispatch(false);
    return true;
  }

  #mayResend({ unprocessed, raced }: Loss): boolean {
    if (!this.body.whole || this.#tries >= TRIES_MAX) return false;
    return unprocessed || (raced && isIdempotent(this.head.method));
  }

  #respond(head: ResponseHead): void {
    this.#state = RESPONDING;
    this.#status = head.status;
    if (this.#isGrpc && (head.seen & 1 << FieldName.GRPC_STATUS) !== 0) {
      this.#grpcStatus = grpcStatusOf(head);
    }
    this.side.answered(this);
    this.body.drop();
  }

  #finish(): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    this.#state = OVER;
    if (!this.body.complete) upstream?.cancel();
    this.side.settled(this);
    this.#downstream.done();
  }

  #settle(error: string): void {
    this.#record(error);
    this.side.settled(this);
  }

  /** Counts the end of one try. */
  #record(error: string): void {
    const metrics = this.#metrics;
    if (metrics === null) return;
    this.#metrics = null;
    const latencyMs = this.context.nowMs() - this.#beganAtMs;
    // A gRPC response without a status is one that failed (the reference counts it as unknown).
    const isMissing = this.#isGrpc && error === "" && this.#grpcStatus < 0;
    const grpcStatus = isMissing ? GRPC_UNKNOWN : this.#grpcStatus;
    const failed = error !== "" || this.#status >= 500 || isGrpcFailure(grpcStatus);
    metrics.response(this.#status, !failed, latencyMs, error, grpcStatus);
  }
}

/** Whether a request cannot be carried by HTTP/2: it wants the connection for itself. */
export function wantsConnection(head: RequestHead): boolean {
  return !head.http2 && (head.upgrades() || head.method === Method.CONNECT);
}
