// hot
/**
 * One request and its response, between a client's connection and an endpoint's, whichever protocols
 * they speak.
 *
 *     begun ─admitted─▶ ASKING ─head of a response─▶ RESPONDING ─response complete─▶ OVER
 *       └ refused        ▲  └ lost, bad, too late       │   └ request is not ▶ RESPONDED ─┘
 *                        └──── another attempt ─┘       └ lost: cut off
 *
 * The client's end tells what it brings (`request*`, `abandoned`), an attempt (`attempt.ts`) what its
 * endpoint brings. Each tells the other to wait by `blocked`.
 */

import type { FieldLines, RequestHead, ResponseHead } from "../wire/http/mod.ts";
import { isIdempotent } from "../wire/http/mod.ts";
import { ErrorCode } from "../wire/http2/mod.ts";
import { Attempt } from "./attempt.ts";
import type { PathContext } from "./context.ts";
import { ExchangeTimers, sooner, type TimedExchange, timersOf } from "./exchange-timers.ts";
import { grpcStatusOf } from "./grpc.ts";
import { isFailure } from "../mesh/failure.ts";
import type { ShedReason } from "./gate.ts";
import { grpcTimeoutMs } from "./grpc-deadline.ts";
import { type Hedging, hedgingOf } from "./hedging.ts";
import type { Downstream, HttpRoute, HttpSide, Loss, Refusal, Upstream } from "./http-parts.ts";
import { closesPeer, isUnsent, takeAddedRetries } from "./mesh-headers.ts";
import type { OutcomeError } from "./outcome.ts";
import type { ProfileFigures } from "./profile-figures.ts";
import { lostRefusal, NO_CERTIFICATE, shedRefusal, type Timeout, UNREACHABLE } from "./refusals.ts";
import { NOTHING, RequestBody } from "./request-body.ts";
import { retriesGrpcStatus, retriesStatus } from "./retry.ts";
import { Retrying } from "./retrying.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";
import { Witness } from "./witness.ts";

const ASKING = 0;
const RESPONDING = 1;
const RESPONDED = 2;
const OVER = 3;

/** Connections that one request may be tried on: the replica may be gone, and the next one too. */
const TRIES_MAX = 3;

/** One exchange. */
export class Exchange implements TimedExchange {
  readonly context: PathContext;
  readonly side: HttpSide;
  readonly head: RequestHead;
  readonly body: RequestBody = new RequestBody();
  /** The request is a gRPC call. */
  readonly grpc: boolean;
  /** The request is a check by the node's agent; told by the side. */
  isProbe = false;
  readonly beganAtMs: number;
  /** When a call must be over; told to its server. Infinity: some time. */
  deadlineAtMs = Infinity;
  readonly #downstream: Witness;
  #state = ASKING;
  /** The present one, or the last. */
  #attempt: Attempt | null = null;
  /** Since the last response that was thrown away. */
  #tries = 0;
  #route: HttpRoute | null = null;
  /** By the route's policy, where it has one. */
  #retrying: Retrying | null = null;
  #hedging: Hedging | null = null;
  #timers: ExchangeTimers | null = null;
  /** A call's response head that waits for its status, which may have it thrown away. */
  #heldHead: ResponseHead | null = null;

  constructor(context: PathContext, side: HttpSide, downstream: Downstream, head: RequestHead) {
    this.context = context;
    this.side = side;
    this.head = head;
    this.#downstream = new Witness(context, side, downstream, head);
    this.grpc = this.#downstream.isGrpc;
    this.beganAtMs = this.#downstream.beganAtMs;
  }

  /** The client should bring no more of the request's body. */
  get blocked(): boolean {
    return this.#upstream?.blocked ?? this.body.length > 0;
  }

  /** Where a ServiceProfile's route is counted. */
  get figures(): ProfileFigures | null {
    return this.#route?.figures ?? null;
  }

  /** Whether a response is a failure of the server's, by the route's classes or as usual. */
  isFailure(status: number, grpcStatus: number): boolean {
    const classes = this.#route?.classes ?? null;
    return classes === null ? isFailure(status, grpcStatus) : classes.isFailure(status, grpcStatus);
  }

  /** Asks for admission and a connection; what is here of the body has been told. */
  begin(): void {
    // Its client may have gone while its target was being looked up.
    if (this.#state === OVER) return;
    const refusal = this.side.admit(this);
    if (refusal !== null) {
      this.refuse(refusal);
      return;
    }
    this.#downstream.isProbe = this.isProbe;
    const route = this.#route = this.side.routeOf(this.head);
    if (route !== null) this.#downstream.took(route);
    const deadlineMs = this.grpc ? grpcTimeoutMs(this.head) : 0;
    if (route !== null || deadlineMs > 0) this.#configure(route, deadlineMs);
    this.#ask(false, false);
  }

  // What the client brings.

  requestData(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    if (this.#state === OVER) return;
    this.#downstream.requestBytes += end - start;
    this.#timers?.requestCame(last);
    if (last) this.body.complete = true;
    this.body.keep(bytes, start, end);
    const upstream = this.#upstream;
    if (upstream === null) return;
    this.body.bound();
    upstream.data(bytes, start, end, last);
    if (last && this.#state === RESPONDED) this.#finish();
  }

  requestTrailers(fields: FieldLines): void {
    if (this.#state === OVER) return;
    this.#timers?.requestCame(true);
    this.body.complete = true;
    // Kept for a connection to come, or for another try: their array is good for this call only.
    if (this.body.whole) this.body.trailers = fields.copy(); // cold: requests with trailers
    this.#upstream?.trailers(fields);
    if (this.#state === RESPONDED) this.#finish();
  }

  /** The client takes more of the response again. */
  clientDrained(): void {
    this.#upstream?.resumeResponse();
  }

  /** The client has gone, or has broken its own request. */
  abandoned(error: string): void {
    if (this.#state === OVER) return;
    this.#downstream.abandoned();
    this.#end();
    this.#attempt?.giveUp(error);
    this.body.drop();
  }

  /** The request is answered by the proxy; nothing of a response has been sent. */
  refuse(refusal: Refusal): void {
    if (this.#state >= RESPONDING) return;
    this.#end();
    this.body.drop();
    this.#downstream.refuse(refusal);
    this.#downstream.done();
  }

  // What an attempt tells.

  /** No connection could be made. `refusal` null: there is somewhere else to go. */
  unreachable(attempt: Attempt, refusal: Refusal | null): void {
    if (this.#goesOn(attempt)) return;
    if (refusal === null && this.#tries < TRIES_MAX) this.#ask(false, false);
    else this.#failTry(refusal ?? UNREACHABLE);
  }

  /** An attempt finds no room, or has waited too long. */
  shed(attempt: Attempt, reason: ShedReason): void {
    if (this.#state !== ASKING) return;
    this.context.env.metrics.failed(this.side.direction, "http", reason);
    if (!this.#goesOn(attempt)) this.#failTry(shedRefusal(reason));
  }

  /** TLS is needed and there is no certificate. */
  unsecurable(attempt: Attempt): void {
    this.context.env.metrics.failed(this.side.direction, "http", "identity required");
    if (!this.#goesOn(attempt)) this.refuse(NO_CERTIFICATE);
  }

  upstreamDrained(): void {
    this.#downstream.resumeRequest();
  }

  /** The client does not take more of the response now. */
  get responseBlocked(): boolean {
    return this.#downstream.blocked;
  }

  responseInterim(head: ResponseHead): void {
    if (this.#state === ASKING) this.#downstream.interim(head);
  }

  /** See `Attempt.responseHead`. */
  responseHead(
    attempt: Attempt,
    head: ResponseHead,
    meshed: boolean,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): boolean {
    if (this.#hedging !== null && this.isFailure(head.status, -1) && this.#goesOn(attempt)) {
      this.side.answered(attempt, head);
      attempt.status = head.status;
      attempt.giveUp("");
      return false;
    }
    if (meshed && closesPeer(head) && this.#elsewhere(attempt, isUnsent(head))) return false;
    if (meshed && head.hasMeshHeaders) this.#hear(takeAddedRetries(head));
    this.side.answered(attempt, head);
    if (this.#retrying !== null) {
      if (this.#retriesHead(this.#retrying, attempt, head, last)) return false;
      if (this.#heldHead !== null) return true;
    }
    this.#respond(attempt, head);
    this.#downstream.respond(head, bytes, start, end, last);
    return true;
  }

  responseData(
    attempt: Attempt,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    if (this.#heldHead !== null) this.#releaseHead(attempt);
    else this.#timers?.responseCame();
    if (this.#state === RESPONDING) this.#downstream.data(bytes, start, end, last);
  }

  responseTrailers(attempt: Attempt, fields: FieldLines): void {
    const held = this.#heldHead;
    if (held !== null) {
      if (this.#retriesCall(attempt, held.status, grpcStatusOf(fields))) return;
      this.#releaseHead(attempt);
    }
    if (this.#state !== RESPONDING) return;
    if (this.grpc) attempt.grpcStatus = grpcStatusOf(fields);
    this.#downstream.trailers(fields);
  }

  responseDone(attempt: Attempt): void {
    if (this.#state !== RESPONDING) return;
    attempt.record("");
    if (this.body.complete || attempt.upstream?.reads !== true) this.#finish();
    else this.#state = RESPONDED;
  }

  lost(attempt: Attempt, loss: Loss): void {
    if (this.#state === OVER) return;
    if (this.#state === RESPONDED) return this.#finish();
    this.#heldHead = null;
    const { error } = loss;
    attempt.settle(error);
    if (this.#goesOn(attempt)) return;
    if (this.#state === ASKING && this.#mayResend(loss)) {
      this.#ask(loss.raced, !loss.unprocessed);
      return;
    }
    // The endpoint's own code goes to the client, as if there were no proxy.
    const code = this.#downstream.hasCodes ? loss.reset : 0;
    if (code === 0) this.context.env.metrics.failed(this.side.direction, "http", "i/o");
    const refusal = lostRefusal(error);
    if (this.#state === RESPONDING) this.#cutOff(code, refusal.error);
    else this.#failTry(refusal, code);
  }

  broken(attempt: Attempt, cause: string): void {
    const { direction } = this.side;
    this.context.env.log.warn("refused a malformed response", { direction, cause });
    this.lost(attempt, { error: "malformed", unprocessed: false, raced: false, reset: 0 });
  }

  responseTunnel(attempt: Attempt, head: ResponseHead, upstream: UpstreamHttp1): void {
    this.side.answered(attempt, head);
    this.#respond(attempt, head);
    this.#end();
    attempt.record("");
    this.#downstream.tunnel(head, upstream);
  }

  /** The tunnel is over: its endpoint has one thing less to do. */
  tunnelClosed(): void {
    this.#attempt?.settle("");
  }

  /** An attempt's end has been counted. */
  recorded(attempt: Attempt, error: string, isGood: boolean): void {
    if (error !== "canceled") this.side.judged(attempt, isGood);
    if (isGood) this.#retrying?.succeeded();
  }

  // Deadlines.

  timedOut(timeout: Timeout): void {
    if (this.#state === OVER) return;
    this.context.env.metrics.failed(this.side.direction, "http", timeout.kind);
    this.#giveUp(timeout.word);
    if (this.#state === ASKING) this.refuse(timeout);
    else if (this.grpc && this.#state === RESPONDING) this.#endCall(timeout);
    else this.#cutOff(0, timeout.error);
  }

  tryTimedOut(timeout: Timeout): void {
    const retrying = this.#retrying;
    if (this.#state !== ASKING || retrying === null || retrying.waits) return;
    if (!retrying.takeOne(this.body)) return this.timedOut(timeout);
    this.#giveUp(timeout.word);
    this.#askLater(retrying);
  }

  /** The attempt takes long: another endpoint is asked as well. */
  hedgeDue(): void {
    if (this.#state !== ASKING || this.#attempt === null || this.#retrying?.waits === true) return;
    this.#hedging?.start(this.#attempt);
  }

  headHeldTooLong(): void {
    if (this.#attempt !== null) this.#releaseHead(this.#attempt);
  }

  get #upstream(): Upstream | null {
    return this.#attempt?.upstream ?? null;
  }

  /** Takes what the route has configured, and the time that a call's client waits; 0: any. */
  #configure(route: HttpRoute | null, deadlineMs: number): void {
    const { context, beganAtMs } = this;
    const retry = route?.retry ?? null;
    const timeouts = route?.timeouts ?? null;
    const { complete } = this.body;
    if (route !== null && retry !== null) {
      this.#retrying = new Retrying(context, route, retry, this.grpc, beganAtMs);
    }
    this.#hedging = hedgingOf(context, route, this);
    const tryMs = retry?.tryTimeoutMs ?? 0;
    const requestMs = sooner(timeouts?.requestMs ?? 0, deadlineMs);
    this.#timers = timersOf(context, this, timeouts, tryMs, requestMs, complete, beganAtMs);
    if (!this.grpc || requestMs <= 0) return;
    this.deadlineAtMs = beganAtMs + requestMs;
    this.head.replacesTimeout = true;
  }

  /** The peer tells what share of retries has been added behind it. */
  #hear(share: number): void {
    this.#retrying?.heard(share);
    if (share > 0) this.context.addedRetries.told(share, this.context.nowMs());
  }

  /** One of two attempts has come to nothing, and the other one is waited for. */
  #goesOn(failed: Attempt): boolean {
    const survivor = this.#hedging?.survivor(failed, this.#attempt) ?? null;
    if (survivor !== null) this.#attempt = survivor;
    return survivor !== null;
  }

  /** Whether the response is thrown away; where that is not known yet, its head is held. */
  #retriesHead(retrying: Retrying, attempt: Attempt, head: ResponseHead, last: boolean): boolean {
    if (retriesStatus(retrying.policy, head.status)) {
      if (this.#askAgain(retrying, attempt, head.status, -1)) return true;
    }
    if (!retrying.looksAtGrpc) return false;
    if (last) return this.#retriesCall(attempt, head.status, grpcStatusOf(head));
    // Who is not done with asking may wait for the head, and could hardly be asked for it all again.
    if (!this.body.complete) return false;
    // The call's status comes behind the body: nothing goes down before there is some.
    this.#heldHead = this.context.responseHeads.take();
    head.copyTo(this.#heldHead);
    this.#timers ??= new ExchangeTimers(this.context, this, null, 0);
    this.#timers.headHeld();
    return false;
  }

  /** Whether a call with this status is thrown away. */
  #retriesCall(attempt: Attempt, status: number, grpcStatus: number): boolean {
    const retrying = this.#retrying;
    return retrying !== null && retriesGrpcStatus(retrying.policy, grpcStatus) &&
      this.#askAgain(retrying, attempt, status, grpcStatus);
  }

  /** Throws a response away and asks again; false when that cannot be. */
  #askAgain(retrying: Retrying, attempt: Attempt, status: number, grpcStatus: number): boolean {
    if (!retrying.takeOne(this.body)) return false;
    attempt.status = status;
    attempt.grpcStatus = grpcStatus;
    this.#giveUp("");
    this.#askLater(retrying);
    return true;
  }

  /** Answers in the proxy's own name, or with no more than a code; or asks again by the policy. */
  #failTry(refusal: Refusal, code = 0): void {
    const retrying = this.#retrying;
    if (retrying?.retriesRefusal(refusal) === true && retrying.takeOne(this.body)) {
      this.#askLater(retrying);
    } else if (code === 0) this.refuse(refusal);
    else this.#cutOff(code, refusal.error);
  }

  #cutOff(code: number, error?: OutcomeError): void {
    this.#end();
    this.body.drop();
    this.#downstream.cutOff(code === 0 ? ErrorCode.INTERNAL_ERROR : code, error);
  }

  /** Ends the present attempt, counted with this error. */
  #giveUp(error: string): void {
    this.#heldHead = null;
    this.#hedging?.stop(error);
    this.#attempt?.giveUp(error);
  }

  #askLater(retrying: Retrying): void {
    this.#tries = 0;
    this.#timers?.tryEnded();
    retrying.after(() => this.#ask(false, true)); // cold: retries
  }

  /** The call's head goes down: something of its body, or its end, has come. */
  #releaseHead(attempt: Attempt): void {
    const head = this.#heldHead;
    this.#heldHead = null;
    if (head === null || this.#state !== ASKING) return;
    this.#respond(attempt, head);
    this.#downstream.respond(head, NOTHING, 0, 0, false);
    this.context.responseHeads.giveBack(head);
  }

  /** Nothing follows. */
  #end(): void {
    this.#state = OVER;
    this.#timers?.stop();
    this.#retrying?.stop();
    this.#hedging?.stop("canceled");
  }

  /** A call whose response has begun ends with its status. */
  #endCall(timeout: Timeout): void {
    this.#end();
    this.body.drop();
    this.#downstream.endCall(timeout);
  }

  /** Makes an attempt, if possible not where the last one went. */
  #ask(fresh: boolean, isRetry: boolean): void {
    this.#tries++;
    const last = this.#attempt;
    const nowMs = last === null ? this.beganAtMs : this.context.nowMs();
    this.#timers?.tryBegan(nowMs);
    const attempt = new Attempt(this, fresh, isRetry, last?.endpoint ?? null, nowMs);
    this.#attempt = attempt;
    this.side.dispatch(attempt);
  }

  /** Sends the request to another endpoint, if there is one and it is safe. */
  #elsewhere(attempt: Attempt, unsent: boolean): boolean {
    const possible = this.side.avoid(attempt);
    const safe = this.body.whole && (unsent || isIdempotent(this.head.method));
    if (!possible || !safe || this.#tries >= TRIES_MAX) return false;
    attempt.giveUp("unavailable");
    this.#ask(false, !unsent);
    return true;
  }

  #mayResend({ unprocessed, raced }: Loss): boolean {
    if (!this.body.whole || this.#tries >= TRIES_MAX) return false;
    return unprocessed || (raced && isIdempotent(this.head.method));
  }

  #respond(attempt: Attempt, head: ResponseHead): void {
    this.#state = RESPONDING;
    this.#hedging?.decided(attempt, this.#attempt);
    this.#attempt = attempt;
    attempt.status = head.status;
    this.#timers?.responseBegan();
    if (this.grpc) attempt.grpcStatus = grpcStatusOf(head);
    this.body.drop();
  }

  #finish(): void {
    this.#end();
    const attempt = this.#attempt;
    const upstream = this.#upstream;
    if (attempt !== null) attempt.upstream = null;
    if (!this.body.complete) upstream?.cancel();
    attempt?.settle("");
    this.#downstream.done();
  }
}
