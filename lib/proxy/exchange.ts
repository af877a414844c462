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
  type RequestHead,
  type ResponseHead,
} from "../wire/http/mod.ts";
import type { Balancer, EndpointState, PickWaiter } from "./balance.ts";
import { Account } from "./account.ts";
import type { PathContext } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import { grpcStatusOf, isGrpc } from "./grpc.ts";
import { ExchangeTimers, type TimedExchange } from "./exchange-timers.ts";
import type {
  Downstream,
  HttpRoute,
  HttpSide,
  Loss,
  Refusal,
  RequestPool,
  Upstream,
} from "./http-parts.ts";
import { closesPeer, isUnsent } from "./mesh-headers.ts";
import { TIMED_OUT, UNREACHABLE } from "./refusals.ts";
import { RequestBody } from "./request-body.ts";
import { retriesGrpcStatus, retriesStatus } from "./retry.ts";
import { Retrying } from "./retrying.ts";
import { ErrorCode } from "../wire/http2/mod.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

const WAITING = 0;
const SENT = 1;
const RESPONDING = 2;
const RESPONDED = 3;
const OVER = 4;

const NOTHING = new Uint8Array(0);

/** Connections that one request may be tried on: the replica may be gone, and the next one too. */
const TRIES_MAX = 3;

/** One exchange. */
export class Exchange implements PickWaiter, TimedExchange {
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
  readonly #account: Account;
  /** By the route's policy, where it has one. */
  #retrying: Retrying | null = null;
  #timers: ExchangeTimers | null = null;
  /** A call's response head that waits for its status, which may have it thrown away. */
  #heldHead: ResponseHead | null = null;

  constructor(context: PathContext, side: HttpSide, downstream: Downstream, head: RequestHead) {
    this.context = context;
    this.side = side;
    this.#downstream = downstream;
    this.head = head;
    this.#account = new Account(isGrpc(head), context.nowMs());
  }

  /** The client should bring no more of the request's body. */
  get blocked(): boolean {
    const upstream = this.#upstream;
    return upstream === null ? this.body.length > 0 : upstream.blocked;
  }

  get grpc(): boolean {
    return this.#account.isGrpc;
  }

  /** Asks for admission and a connection; what is here of the body has been told. */
  begin(): void {
    const refusal = this.side.admit(this);
    if (refusal !== null) {
      this.refuse(refusal);
      return;
    }
    const route = this.side.route;
    if (route !== null) this.#configure(route);
    this.#dispatch(false);
  }

  // What the client brings.

  requestData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#state === OVER) return;
    this.#timers?.touched();
    if (last) this.#requestComplete();
    this.body.keep(bytes, start, end);
    const upstream = this.#upstream;
    if (upstream === null) return;
    this.body.bound();
    upstream.data(bytes, start, end, last);
    if (last && this.#state === RESPONDED) this.#finish();
  }

  requestTrailers(fields: FieldLines): void {
    if (this.#state === OVER) return;
    this.#requestComplete();
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
    this.#end();
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
    this.#account.begin(metrics);
    this.queuedAtMs = this.context.nowMs();
    this.#pool = pool;
    pool.attach(this, this.fresh);
  }

  /** The request is answered by the proxy; nothing of a response has been sent. */
  refuse(refusal: Refusal): void {
    if (this.#state >= RESPONDING) return;
    this.#end();
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
    if (!upstream.blocked) this.#downstream.resumeRequest();
  }

  unreachable(reason: CloseReason): void {
    this.#pool = null;
    const refusal = this.side.unreachable(this, reason);
    this.#settle("connect");
    if (refusal === null && this.#tries < TRIES_MAX) this.#dispatch(false);
    else this.#failTry(refusal ?? UNREACHABLE);
  }

  /** TLS is needed and there is no certificate. */
  unsecurable(): void {
    this.#pool = null;
    this.#settle("identity required");
    this.context.env.metrics.failed(this.side.direction, "http", "identity required");
    this.refuse({ status: 503, kind: "identity required", message: "no certificate yet" });
  }

  // What the endpoint brings.

  /**
   * The endpoint takes more of the request again. Whether the client had to wait is not known here: what
   * was gathered is written, and found too much, after its end has looked at `blocked`.
   */
  upstreamDrained(): void {
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
    this.side.answered(this, head);
    if (this.#retrying !== null) {
      if (this.#retriesHead(this.#retrying, head, last)) return false;
      if (this.#heldHead !== null) return true;
    }
    this.#respond(head);
    this.#downstream.respond(head, bytes, start, end, last);
    return true;
  }

  responseData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    this.#timers?.touched();
    if (this.#heldHead !== null) this.#releaseHead();
    if (this.#state === RESPONDING) this.#downstream.data(bytes, start, end, last);
  }

  responseTrailers(fields: FieldLines): void {
    const held = this.#heldHead;
    if (held !== null) {
      if (this.#retriesCall(held.status, grpcStatusOf(fields))) return;
      this.#releaseHead();
    }
    if (this.#state !== RESPONDING) return;
    if (this.#account.isGrpc) this.#account.grpcStatus = grpcStatusOf(fields);
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
    this.#upstream = null;
    if (this.#state === RESPONDED) {
      this.#finish();
      return;
    }
    this.#heldHead = null;
    const { error } = loss;
    const state = this.#state;
    this.#settle(error);
    if (state === SENT && this.#mayResend(loss)) return this.#dispatch(!loss.unprocessed);
    // The endpoint's own code goes to the client, as if there were no proxy.
    const code = this.#downstream.hasCodes ? loss.reset : 0;
    if (code === 0) this.context.env.metrics.failed(this.side.direction, "http", "i/o");
    if (state === RESPONDING) this.#cutOff(code);
    else {
      this.#state = WAITING;
      const message = `upstream connection: ${error}`;
      this.#failTry({ status: 502, kind: "i/o", message }, code);
    }
  }

  /** The response is no HTTP that we would pass on. */
  broken(cause: string): void {
    const { direction } = this.side;
    this.context.env.log.warn("refused a malformed response", { direction, cause });
    this.lost({ error: "malformed", unprocessed: false, raced: false, reset: 0 });
  }

  /** Everything behind this response's head is no HTTP: the connections are joined. */
  responseTunnel(head: ResponseHead, upstream: UpstreamHttp1): void {
    this.side.answered(this, head);
    this.#respond(head);
    this.#upstream = null;
    this.#end();
    this.#record("");
    this.#downstream.tunnel(head, upstream);
  }

  /** The tunnel is over: its endpoint has one thing less to do. */
  tunnelClosed(): void {
    this.side.settled(this);
  }

  // Deadlines.

  timedOut(): void {
    const state = this.#state;
    if (state === OVER) return;
    this.context.env.metrics.failed(this.side.direction, "http", "response timeout");
    this.#giveUpTry("response timeout");
    if (state < RESPONDING) this.refuse(TIMED_OUT);
    else this.#cutOff(0);
  }

  tryTimedOut(): void {
    const retrying = this.#retrying;
    if (this.#state >= RESPONDING || retrying === null || retrying.waits) return;
    const may = retrying.takeOne(this.body);
    this.#giveUpTry("response timeout");
    if (may) this.#resendLater(retrying);
    else {
      this.context.env.metrics.failed(this.side.direction, "http", "response timeout");
      this.refuse(TIMED_OUT);
    }
  }

  #configure(route: HttpRoute): void {
    const { retry, timeouts } = route;
    if (retry !== null) this.#retrying = new Retrying(this.context, route, retry);
    const tryMs = retry?.tryTimeoutMs ?? 0;
    if (timeouts === null && tryMs === 0) return;
    this.#timers = new ExchangeTimers(this.context, this, timeouts, tryMs);
    this.#timers.touched();
    if (this.body.complete) this.#timers.requestEnded();
  }

  #requestComplete(): void {
    this.body.complete = true;
    this.#timers?.requestEnded();
  }

  /** Whether the response is thrown away; where that is not known yet, its head is held. */
  #retriesHead(retrying: Retrying, head: ResponseHead, last: boolean): boolean {
    if (retriesStatus(retrying.policy, head.status)) {
      if (this.#sendAgain(retrying, head.status, -1)) return true;
    }
    if (!this.#account.isGrpc || !retrying.looksAtGrpc) return false;
    if (last) return this.#retriesCall(head.status, grpcStatusOf(head));
    // The call's status comes behind the body: nothing goes down before there is some.
    this.#heldHead = head.copy(); // cold: calls that may be sent again
    return false;
  }

  /** Whether a call with this status is thrown away. */
  #retriesCall(status: number, grpcStatus: number): boolean {
    const retrying = this.#retrying;
    return retrying !== null && retriesGrpcStatus(retrying.policy, grpcStatus) &&
      this.#sendAgain(retrying, status, grpcStatus);
  }

  /** Throws a response away and sends the request again; false when that cannot be. */
  #sendAgain(retrying: Retrying, status: number, grpcStatus: number): boolean {
    if (!retrying.takeOne(this.body)) return false;
    this.#account.status = status;
    this.#account.grpcStatus = grpcStatus;
    this.#giveUpTry("");
    this.#resendLater(retrying);
    return true;
  }

  /** Answers in the proxy's own name, or with no more than a code; or sends again by the policy. */
  #failTry(refusal: Refusal, code = 0): void {
    const retrying = this.#retrying;
    const isGrpc = this.#account.isGrpc;
    if (retrying?.retriesRefusal(refusal, isGrpc) === true && retrying.takeOne(this.body)) {
      this.#resendLater(retrying);
    } else if (code === 0) this.refuse(refusal);
    else this.#cutOff(code);
  }

  #cutOff(code: number): void {
    this.#end();
    this.body.drop();
    this.#downstream.cutOff(code === 0 ? ErrorCode.INTERNAL_ERROR : code);
  }

  /** Ends the try of now, counted with this error. */
  #giveUpTry(error: string): void {
    this.#pool?.cancel(this);
    this.#pool = null;
    const upstream = this.#upstream;
    this.#upstream = null;
    this.#heldHead = null;
    upstream?.cancel();
    this.#settle(error);
  }

  #resendLater(retrying: Retrying): void {
    this.#state = WAITING;
    this.#tries = 0;
    this.#timers?.tryEnded();
    retrying.after(() => this.#dispatch(false)); // cold: retries
  }

  /** The call's head goes down: something of its body, or its end, has come. */
  #releaseHead(): void {
    const head = this.#heldHead;
    this.#heldHead = null;
    if (head === null || this.#state !== SENT) return;
    this.#respond(head);
    this.#downstream.respond(head, NOTHING, 0, 0, false);
  }

  /** Nothing follows. */
  #end(): void {
    this.#state = OVER;
    this.#timers?.stop();
    this.#retrying?.stop();
  }

  #dispatch(fresh: boolean): void {
    this.#tries++;
    this.#state = WAITING;
    this.#timers?.tryBegan();
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
    this.#account.status = head.status;
    this.#timers?.tryEnded();
    this.#timers?.touched();
    if (this.#account.isGrpc && (head.seen & 1 << FieldName.GRPC_STATUS) !== 0) {
      this.#account.grpcStatus = grpcStatusOf(head);
    }
    this.body.drop();
  }

  #finish(): void {
    const upstream = this.#upstream;
    this.#upstream = null;
    this.#end();
    if (!this.body.complete) upstream?.cancel();
    this.side.settled(this);
    this.#downstream.done();
  }

  #settle(error: string): void {
    this.#record(error);
    this.side.settled(this);
  }

  #record(error: string): void {
    const isGood = this.#account.end(error, this.context.nowMs());
    if (isGood === null) return;
    if (error !== "canceled") this.side.judged(this, isGood);
    if (isGood) this.#retrying?.succeeded();
  }
}
