/**
 * The two ends that an exchange joins, whatever protocol each of them speaks, and what pools and
 * directions see of it. `exchange.ts` is in the middle; `downstream-*.ts` and `upstream-*.ts` implement
 * the ends.
 */

import type { CloseReason } from "../host/net.ts";
import type { FieldLines, RequestHead, ResponseHead } from "../wire/http/mod.ts";
import type { RunningQuantile } from "../base/running-quantile.ts";
import type { HedgePolicy, RetryPolicy, RouteTimeouts } from "../mesh/reliability.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { Attempt } from "./attempt.ts";
import type { EndpointState } from "./balance.ts";
import type { ErrorKind, RouteFigures } from "./environment.ts";
import type { Exchange } from "./exchange.ts";
import type { OutcomeError } from "./outcome.ts";
import type { ProfileFigures } from "./profile-figures.ts";
import type { ResponseClasses } from "./response-classes.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

/** A response, or a part of one, that goes to the client. Bytes never change. */
export interface Downstream {
  /** The client does not take more now: whoever brings the response should wait. */
  readonly blocked: boolean;
  /** A head with 1xx, but not 101. The head is good during the call. */
  interim(head: ResponseHead): void;
  /** The head, with body bytes that came with it; `last`: that is all. */
  respond(
    head: ResponseHead,
    bytes: Uint8Array,
    start: number,
    end: number,
    last: boolean,
  ): void;
  data(bytes: Uint8Array, start: number, end: number, last: boolean): void;
  /** The end of the body, with fields that are good during the call. */
  trailers(fields: FieldLines): void;
  /** Answers in the proxy's own name; nothing of a response has been sent. */
  refuse(refusal: Refusal): void;
  /** Whether a response can end with a code that says why. */
  readonly hasCodes: boolean;
  /** The response ends in the middle or before its head, and the client must see that: by the code
   * where there are such. */
  cutOff(code: number): void;
  /** The response is complete, whether or not the request is. */
  done(): void;
  /** The upstream takes more of the request again. */
  resumeRequest(): void;
  /** Everything behind this head is no HTTP: the two connections are joined. */
  tunnel(head: ResponseHead, upstream: UpstreamHttp1): void;
}

/** A request on its way to an endpoint. Bytes never change. */
export interface Upstream {
  /** The endpoint does not take more now: whoever brings the request should wait. */
  readonly blocked: boolean;
  /** The rest of the request is read though the response is complete. */
  readonly reads: boolean;
  data(bytes: Uint8Array, start: number, end: number, last: boolean): void;
  trailers(fields: FieldLines): void;
  /** The client takes more of the response again. */
  resumeResponse(): void;
  /** Nobody waits for the response any more. */
  cancel(): void;
}

/** Why a response will not come or not be complete. */
export interface Loss {
  /** For the label `error`. */
  readonly error: string;
  /** The request was surely not processed: it may be sent again whatever it does. */
  readonly unprocessed: boolean;
  /** It may have been lost in the race with the close of a connection that had served before. */
  readonly raced: boolean;
  /** The code by which the endpoint has reset the stream; 0 when it has not. */
  readonly reset: number;
}

/** Connections to one endpoint by one protocol. */
export interface RequestPool {
  /** The endpoint has a proxy of the mesh, whose `l5d-*` headers count. */
  readonly meshed: boolean;
  /** Gives the request a connection: `attached`, `unreachable` or `unsecurable` follows, perhaps at
   * once. `fresh`: none that has been idle, whose peer may have closed it by now. */
  attach(attempt: Attempt, fresh: boolean): void;
  /** The request, which waits for a connection, needs none any more. */
  cancel(attempt: Attempt): void;
}

/** A request that is answered by the proxy itself. */
export interface Refusal {
  readonly status: number;
  /** For the header `l5d-proxy-error` and the counter. */
  readonly kind: ErrorKind;
  readonly message: string;
  /** What it counts as; absent: as `kind` says. */
  readonly error?: OutcomeError;
  /** The application behind this proxy cannot be reached, and the request has not been sent. */
  readonly unsent?: boolean;
}

/** What a route has configured, and what its requests share. */
export interface HttpRoute {
  readonly retry: RetryPolicy | null;
  readonly hedge: HedgePolicy | null;
  /** How long responses take, where a second attempt waits for that. */
  readonly latency: RunningQuantile | null;
  readonly timeouts: RouteTimeouts | null;
  readonly budget: RetryBudget;
  /** For the route's metrics; the same object each time. */
  readonly labels: Labels;
  /** Which responses are failures; null: the usual ones. */
  readonly classes: ResponseClasses | null;
  /** Where a ServiceProfile's route is counted; null: it is a policy's. */
  readonly figures: ProfileFigures | null;
}

/** Whose connection an exchange came by. */
export interface SideFacts {
  /** The client's address in text; empty where it is this pod's own application. */
  readonly client: string;
  /** The client's identity; empty without one. */
  readonly clientId: string;
  /** Where the connection leads: the Service's name, or an address, in text. */
  readonly target: string;
}

/** One direction's part in the exchanges of one client connection. */
export interface HttpSide {
  readonly direction: "inbound" | "outbound";
  /** Fields that forwarded requests get. */
  readonly added: FieldLines | null;
  /** Fields that the client's responses get now; null: none. Good until they are asked for again. */
  addedToResponse(): FieldLines | null;
  /** The client is a peer's proxy, whose `l5d-*` fields may be believed. */
  readonly fromMesh: boolean;
  /** Whether the client may read what exactly went wrong. */
  readonly explains: boolean;
  /** Among whom what there is is shared: a client's identity, or its address. */
  readonly caller: string;
  /** Whose a request of the connection is: usually this one's, but it may name another target. */
  sideOf(head: RequestHead): HttpSide;
  /** Begins the exchange, as soon as it is known where its side leads. */
  begin(exchange: Exchange): void;
  /** What is configured for a request; null: nothing is. */
  routeOf(head: RequestHead): HttpRoute | null;
  /**
   * Where to count how the client's requests, or its gRPC calls, ended; `route`: as found for one;
   * `isProbe`: as `admit` has told of it.
   */
  figures(isGrpc: boolean, route: HttpRoute | null, isProbe: boolean): RouteFigures;
  /** For records of single requests: whose connection this is, and where it leads. */
  describe(): SideFacts;
  /** Looks at the request's head; null when it may go on. */
  admit(exchange: Exchange): Refusal | null;
  /** Calls `attempt.assign` or `exchange.refuse`, now or later. */
  dispatch(attempt: Attempt): void;
  /** A balancer that `dispatch` waits for has chosen; null: there is nothing to choose. */
  picked(attempt: Attempt, state: EndpointState | null): void;
  /** The connection could not be made. null: dispatch again, else what to answer. */
  unreachable(attempt: Attempt, reason: CloseReason): Refusal | null;
  /** The peer's proxy cannot reach its application; false when there is nowhere else to go. */
  avoid(attempt: Attempt): boolean;
  /** The response's head is here. */
  answered(attempt: Attempt, head: ResponseHead): void;
  /** The attempt was good or bad; not told of one that the client has left. */
  judged(attempt: Attempt, isGood: boolean): void;
  /** The attempt is over, answered or not; called once after each `dispatch` that did not refuse. */
  settled(attempt: Attempt): void;
  /** An upgrade or CONNECT has become a tunnel; `abort` ends it. null: it is over. */
  tunneled(abort: (() => void) | null): void;
  /** The client's connection is over; called once and last. */
  closed(): void;
}
