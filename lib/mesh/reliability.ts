/**
 * What a proxy does so that callers see less of failing backends, as values: what to send again, how
 * long to wait, and when to leave an endpoint alone. Nothing here knows Kubernetes or protobuf.
 */

import type { BackoffBounds } from "../base/backoff.ts";

/** Which responses are thrown away and asked for again. */
export interface RetryPolicy {
  /** HTTP statuses, from and to. */
  readonly statuses: readonly (readonly [from: number, to: number])[];
  /** gRPC statuses. */
  readonly grpcStatuses: readonly number[];
  /** Tries beside the first one. */
  readonly retriesMax: number;
  /** A request with a larger body is sent once. */
  readonly requestBytesMax: number;
  /** How long one try may take before another one is made; 0: any time. */
  readonly tryTimeoutMs: number;
  /** How long to wait before each. */
  readonly backoff: BackoffBounds;
}

/** How long a request may take; 0: any time. */
export interface RouteTimeouts {
  /** From the request's head to the response's end, all tries together. */
  readonly requestMs: number;
  /** From the request's end to the response's end. */
  readonly responseMs: number;
  /** Without any byte in either direction. */
  readonly idleMs: number;
}

/** When a second endpoint is asked beside one that has not answered. */
export interface HedgePolicy {
  /** After this time; 0: after as long as a share of the responses takes. */
  readonly delayMs: number;
  /** That share, between 0 and 1. */
  readonly quantile: number;
  /** A request with a larger body is sent once. */
  readonly requestBytesMax: number;
}

/** When an endpoint is left alone for a while, and how it is taken back. */
export interface FailureAccrual {
  /** So many failures one after another; 0: they do not count. */
  readonly failuresMax: number;
  /** How long it is left alone; then one request at a time tries it. */
  readonly backoff: BackoffBounds;
  /** Also when too few of its recent responses were good. */
  readonly successRate?: SuccessRatePolicy;
  /** So many endpoints are never left alone. */
  readonly endpointsMin: number;
}

/** When an endpoint's recent responses are too bad. */
export interface SuccessRatePolicy {
  /** Between 0 and 1; below it the endpoint is left alone. */
  readonly threshold: number;
  /** Over which the rate is averaged. */
  readonly windowMs: number;
  /** Fewer responses say nothing. */
  readonly requestsMin: number;
}

/** How failures weigh on the choice of an endpoint. */
export interface LoadPenalty {
  /** The latency that a failure counts as. */
  readonly penaltyMs: number;
  /** The longest `Retry-After` that is honoured; 0: none is. */
  readonly retryAfterMaxMs: number;
}

/** What retries may add to the load of a destination. */
export interface RetryBudget {
  /** Retries per request. */
  readonly ratio: number;
  /** Retries a second that are always allowed. */
  readonly minPerSecond: number;
  /** How long a request counts. */
  readonly ttlMs: number;
}

/** The reference's budget, where nobody configured one. */
export const DEFAULT_RETRY_BUDGET: RetryBudget = { ratio: 0.2, minPerSecond: 10, ttlMs: 10_000 };
