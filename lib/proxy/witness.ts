// hot
/**
 * Stands between an exchange and its client and sees what the client gets, whatever the attempts behind
 * it did: status, bytes, times, and why an answer is not the application's. At the end it adds to the
 * route's figures, and tells the recorders that were asked for (access log, trace). Without any it costs
 * an object and some numbers per request.
 */

import type { FieldLines, RequestHead, ResponseHead } from "../wire/http/mod.ts";
import { FieldName } from "../wire/http/mod.ts";
import { isFailure } from "../mesh/failure.ts";
import type { PathContext } from "./context.ts";
import { GRPC_UNKNOWN, grpcStatusFor, grpcStatusOf, isGrpc } from "./grpc.ts";
import type { Downstream, HttpRoute, HttpSide, Refusal } from "./http-parts.ts";
import {
  errorOfRefusal,
  type Outcome,
  type OutcomeError,
  type Recorder,
  type Recording,
} from "./outcome.ts";
import type { ProfileFigures } from "./profile-figures.ts";
import type { Timeout } from "./refusals.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

/** Sees one exchange. */
export class Witness implements Downstream, Outcome {
  readonly isGrpc: boolean;
  /** The request is a check by the node's agent. */
  isProbe = false;
  status = 0;
  grpcStatus = -1;
  error: OutcomeError = "";
  refusal: Refusal | null = null;
  requestBytes = 0;
  responseBytes = 0;
  readonly beganAtMs: number;
  headMs = -1;
  totalMs = 0;
  readonly #context: PathContext;
  readonly #side: HttpSide;
  readonly #client: Downstream;
  readonly #recordings: Recording[] | null;
  #route: HttpRoute | null = null;
  #isOver = false;

  constructor(context: PathContext, side: HttpSide, client: Downstream, head: RequestHead) {
    this.#context = context;
    this.#side = side;
    this.#client = client;
    this.isGrpc = isGrpc(head);
    this.beganAtMs = context.nowMs();
    const { recorders } = context.env;
    this.#recordings = recorders.length === 0 ? null : begin(recorders, side, head);
  }

  /** The route is known. */
  took(route: HttpRoute): void {
    this.#route = route;
    route.figures?.requests(this.#context.env.metrics).request();
  }

  /** The client has gone, or has broken its own request. */
  abandoned(): void {
    this.#end("CANCEL");
  }

  // What the exchange tells its client.

  get blocked(): boolean {
    return this.#client.blocked;
  }

  get hasCodes(): boolean {
    return this.#client.hasCodes;
  }

  interim(head: ResponseHead): void {
    this.#client.interim(head);
  }

  respond(
    head: ResponseHead,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void {
    this.#answered(head);
    this.responseBytes += end - start;
    this.#client.respond(head, bytes, start, end, last);
  }

  data(bytes: Uint8Array, start: number, end: number, last: boolean): void {
    this.responseBytes += end - start;
    this.#client.data(bytes, start, end, last);
  }

  trailers(fields: FieldLines): void {
    if (this.isGrpc) this.grpcStatus = grpcStatusOf(fields);
    this.#client.trailers(fields);
  }

  refuse(refusal: Refusal): void {
    this.refusal = refusal;
    this.status = refusal.status;
    if (this.isGrpc) this.grpcStatus = grpcStatusFor(refusal.status);
    this.error = errorOfRefusal(refusal);
    this.#client.refuse(refusal);
  }

  cutOff(code: number, error: OutcomeError = "IO"): void {
    this.#end(error);
    this.#client.cutOff(code);
  }

  /** The next request of the connection may begin before this returns. */
  done(): void {
    this.#end(this.error);
    this.#client.done();
  }

  /** A call whose response has begun ends with its status, as its time is over. */
  endCall({ error, trailers }: Timeout): void {
    this.error = error;
    this.trailers(trailers);
    this.done();
  }

  resumeRequest(): void {
    this.#client.resumeRequest();
  }

  tunnel(head: ResponseHead, upstream: UpstreamHttp1): void {
    this.#answered(head);
    this.#end("");
    this.#client.tunnel(head, upstream);
  }

  #answered(head: ResponseHead): void {
    this.status = head.status;
    this.headMs = this.#context.nowMs() - this.beganAtMs;
    if (this.isGrpc && (head.seen & 1 << FieldName.GRPC_STATUS) !== 0) {
      this.grpcStatus = grpcStatusOf(head);
    }
  }

  #end(error: OutcomeError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.error = error;
    this.totalMs = this.#context.nowMs() - this.beganAtMs;
    if (this.headMs < 0) this.headMs = this.totalMs;
    // A call that ends without a status has failed: the reference counts it as unknown.
    if (this.isGrpc && this.grpcStatus < 0) this.grpcStatus = GRPC_UNKNOWN;
    const { status, grpcStatus, totalMs } = this;
    const route = this.#route;
    const { isGrpc, isProbe } = this;
    this.#side.figures(isGrpc, route, isProbe).ended(status, grpcStatus, error, totalMs);
    if (route !== null && route.figures !== null) this.#countOf(route, route.figures);
    const recordings = this.#recordings;
    if (recordings === null) return;
    for (let i = 0; i < recordings.length; i++) recordings[i]!.ended(this);
  }

  /** What a ServiceProfile's route counts of it. */
  #countOf({ classes }: HttpRoute, figures: ProfileFigures): void {
    const { status, grpcStatus, error, totalMs } = this;
    const isFailed = classes === null
      ? isFailure(status, grpcStatus)
      : classes.isFailure(status, grpcStatus);
    const isGood = error === "" && !isFailed;
    const requests = figures.requests(this.#context.env.metrics);
    requests.response(status, isGood, totalMs, error, grpcStatus);
  }
}

function begin(
  recorders: readonly Recorder[],
  side: HttpSide,
  head: RequestHead,
): Recording[] | null {
  const found: Recording[] = [];
  for (let i = 0; i < recorders.length; i++) {
    const recording = recorders[i]!.begin(side, head);
    if (recording !== null) found.push(recording);
  }
  return found.length === 0 ? null : found;
}
