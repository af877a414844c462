// hot
/**
 * One try of a request: where it goes, on which connection, and how it went. An exchange makes one, and
 * more when it asks again. The endpoint's end of a request knows its attempt and nothing behind it.
 *
 *     begun ─▶ waits for an endpoint ─assign─▶ waits for a connection ─attached─▶ sent ─▶ settled
 *                         └────────── given up, unreachable ──────────────┴─────────▲
 */

import type { CloseReason } from "../host/net.ts";
import type { FieldLines, RequestHead, ResponseHead } from "../wire/http/mod.ts";
import type { Balancer, EndpointState, PickWaiter } from "./balance.ts";
import type { HttpMetrics } from "./environment.ts";
import type { Exchange } from "./exchange.ts";
import type { GateVisitor, ShedReason } from "./gate.ts";
import { GRPC_UNKNOWN } from "./grpc.ts";
import { addGrpcTimeout } from "./grpc-deadline.ts";
import type { Loss, RequestPool, Upstream } from "./http-parts.ts";
import { addRetry } from "./mesh-headers.ts";
import type { RequestBody } from "./request-body.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

/** One try. */
export class Attempt implements PickWaiter, GateVisitor {
  readonly exchange: Exchange;
  /** It wants a new connection. */
  readonly fresh: boolean;
  /** The request may have been processed before. */
  readonly isRetry: boolean;
  /** The next proxy is told that the request is somebody's retry. */
  marksRetry = false;
  /** Where the try before it went: somewhere else is better. */
  readonly shunned: EndpointState | null;
  /** Of the side's: where it goes. */
  balancer: Balancer | null = null;
  endpoint: EndpointState | null = null;
  readonly beganAtMs: number;
  /** At the gate of an application: see `GateVisitor`. */
  place = 0;
  /** When it was given to its pool. */
  queuedAtMs = 0;
  /** When its head was sent: what comes before is no latency of the endpoint's. */
  sentAtMs = 0;
  /** Carries it, once there is a connection. */
  upstream: Upstream | null = null;
  /** Of its response; 0 without one. */
  status = 0;
  /** The same; −1 without one. */
  grpcStatus = -1;
  /** It was sent, and no head of a response has come. */
  isUnanswered = false;
  #pool: RequestPool | null = null;
  #metrics: HttpMetrics | null = null;
  #isSettled = false;

  constructor(
    exchange: Exchange,
    fresh: boolean,
    isRetry: boolean,
    shunned: EndpointState | null,
    nowMs: number,
  ) {
    this.exchange = exchange;
    this.fresh = fresh;
    this.isRetry = isRetry;
    this.shunned = shunned;
    this.beganAtMs = nowMs;
  }

  get head(): RequestHead {
    return this.exchange.head;
  }

  get caller(): string {
    return this.exchange.side.caller;
  }

  get body(): RequestBody {
    return this.exchange.body;
  }

  /** Fields that every request of its client's connection gets; null: none. */
  get added(): FieldLines | null {
    return this.exchange.side.added;
  }

  /**
   * Fields that this try gets beside them; null: none. Good until they are asked for again. `meshed`: by a
   * connection to a peer's proxy.
   */
  ownFields(meshed: boolean): FieldLines | null {
    const { exchange } = this;
    const marksRetry = this.marksRetry && meshed;
    if (!marksRetry && !exchange.head.replacesTimeout) return null;
    const { context } = exchange;
    const fields = context.addedFields;
    fields.resetFields();
    if (marksRetry) addRetry(fields);
    if (exchange.head.replacesTimeout) {
      addGrpcTimeout(exchange.deadlineAtMs - context.nowMs(), fields);
    }
    return fields;
  }

  // What the side answers.

  picked(state: EndpointState | null): void {
    if (!this.#isSettled) this.exchange.side.picked(this, state);
  }

  /** The application's gate lets it in. */
  admitted(): void {
    if (!this.#isSettled) this.exchange.side.picked(this, null);
  }

  /** There is no room for it, or it has waited too long. */
  shed(reason: ShedReason): void {
    this.#pool = null;
    this.settle(reason);
    this.exchange.shed(this, reason);
  }

  /** It goes to this endpoint. */
  assign(pool: RequestPool, metrics: HttpMetrics): void {
    this.#metrics = metrics;
    metrics.request();
    const { figures, context } = this.exchange;
    if (figures !== null) figures.attempts(context.env.metrics).request();
    this.queuedAtMs = this.exchange.context.nowMs();
    this.#pool = pool;
    pool.attach(this, this.fresh);
  }

  // What the pool tells.

  /** The head has been sent on this connection. */
  attached(upstream: Upstream): void {
    this.#pool = null;
    this.upstream = upstream;
    this.isUnanswered = true;
    this.sentAtMs = this.exchange.context.nowMs();
  }

  /** What is kept of the body follows the head. */
  sendBody(upstream: Upstream): void {
    const { body } = this.exchange;
    body.sendTo(upstream);
    body.bound();
    if (!upstream.blocked) this.exchange.upstreamDrained();
  }

  unreachable(reason: CloseReason): void {
    this.#pool = null;
    const { exchange } = this;
    const refusal = exchange.side.unreachable(this, reason);
    this.settle("connect");
    exchange.unreachable(this, refusal);
  }

  /** TLS is needed and there is no certificate. */
  unsecurable(): void {
    this.#pool = null;
    this.settle("identity required");
    this.exchange.unsecurable(this);
  }

  // What the endpoint brings.

  /**
   * The endpoint takes more of the request again. Whether the client had to wait is not known here: what
   * was gathered is written, and found too much, after its end has looked at `blocked`.
   */
  upstreamDrained(): void {
    this.exchange.upstreamDrained();
  }

  /** The client does not take more of the response now. */
  get responseBlocked(): boolean {
    return this.exchange.responseBlocked;
  }

  responseInterim(head: ResponseHead): void {
    this.exchange.responseInterim(head);
  }

  /**
   * The final head, with body bytes that came with it; `last`: that is all, and `responseDone` follows.
   * False: the response is not wanted, since the request goes elsewhere; the connection is not the
   * attempt's any more.
   */
  responseHead(
    head: ResponseHead,
    meshed: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): boolean {
    this.isUnanswered = false;
    return this.exchange.responseHead(this, head, meshed, bytes, start, end, last);
  }

  responseData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    this.exchange.responseData(this, bytes, start, end, last);
  }

  responseTrailers(fields: FieldLines): void {
    this.exchange.responseTrailers(this, fields);
  }

  /**
   * All of the response has been brought, and its connection is free for others if it can be. The rest
   * of the request still goes where it may be read.
   */
  responseDone(): void {
    this.exchange.responseDone(this);
  }

  /** The connection or the stream broke before the response was complete. */
  lost(loss: Loss): void {
    this.upstream = null;
    this.exchange.lost(this, loss);
  }

  /** The response is no HTTP that we would pass on. */
  broken(cause: string): void {
    this.upstream = null;
    this.exchange.broken(this, cause);
  }

  /** Everything behind this response's head is no HTTP: the connections are joined. */
  responseTunnel(head: ResponseHead, upstream: UpstreamHttp1): void {
    this.upstream = null;
    this.isUnanswered = false;
    this.exchange.responseTunnel(this, head, upstream);
  }

  // What the exchange decides.

  /** Nobody waits for it any more: counted with this error. */
  giveUp(error: string): void {
    this.#pool?.cancel(this);
    this.#pool = null;
    const { upstream } = this;
    this.upstream = null;
    upstream?.cancel();
    this.settle(error);
  }

  /** It is over, counted with this error. Calling it again does nothing. */
  settle(error: string): void {
    this.record(error);
    if (this.#isSettled) return;
    this.#isSettled = true;
    this.exchange.side.settled(this);
  }

  /** Counts its end, though its endpoint is still busy with it. */
  record(error: string): void {
    const metrics = this.#metrics;
    if (metrics === null) return;
    this.#metrics = null;
    const { exchange, status } = this;
    // A gRPC response without a status is one that failed (the reference counts it as unknown).
    const isMissing = exchange.grpc && error === "" && this.grpcStatus < 0;
    const grpcStatus = isMissing ? GRPC_UNKNOWN : this.grpcStatus;
    const isGood = error === "" && !exchange.isFailure(status, grpcStatus);
    const latencyMs = exchange.context.nowMs() - this.beganAtMs;
    metrics.response(status, isGood, latencyMs, error, grpcStatus);
    const { figures, context } = exchange;
    if (figures !== null) {
      figures.attempts(context.env.metrics).response(status, isGood, latencyMs, error, grpcStatus);
    }
    exchange.recorded(this, error, isGood);
  }
}
