/** Retries, timeouts, failure accrual and load penalties, to and from the messages of the contract. */

import type { BackoffBounds } from "../base/backoff.ts";
import type {
  FailureAccrual,
  HedgePolicy,
  LoadPenalty,
  RetryPolicy,
  RouteTimeouts,
} from "../mesh/reliability.ts";
import { durationFromWire, durationToWire } from "./duration.ts";
import type { Timeouts } from "./gen/http_route.ts";
import type {
  Backend_BalanceP2c_PenaltyPeakEwma,
  DeepPartial,
  ExponentialBackoff,
  FailureAccrual as WireAccrual,
  GrpcRoute_Retry,
  HttpRoute_Hedge,
  HttpRoute_Retry,
} from "./gen/outbound.ts";

/** What the contract's retries wait where a message does not say. */
const BACKOFF_USUAL: BackoffBounds = { minMs: 25, maxMs: 250, jitter: 1 };
/** What the contract's breakers wait where a message does not say. */
const PENALTY_USUAL: BackoffBounds = { minMs: 1_000, maxMs: 60_000, jitter: 0.5 };
const WINDOW_USUAL_MS = 10_000;

const GRPC_CONDITIONS = {
  cancelled: 1,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  internal: 13,
  unavailable: 14,
} as const;

/** The message of an HTTP route's retries. */
export function httpRetryToWire(
  retry: RetryPolicy,
): DeepPartial<HttpRoute_Retry> {
  return {
    ...retryInit(retry),
    conditions: {
      statusRanges: retry.statuses.map(([start, end]) => ({ start, end })),
      grpcStatuses: [...retry.grpcStatuses],
    },
  };
}

/** The message of a gRPC route's retries. */
export function grpcRetryToWire(
  retry: RetryPolicy,
): DeepPartial<GrpcRoute_Retry> {
  const has = (status: number) => retry.grpcStatuses.includes(status);
  return {
    ...retryInit(retry),
    conditions: {
      cancelled: has(GRPC_CONDITIONS.cancelled),
      deadlineExceeded: has(GRPC_CONDITIONS.deadlineExceeded),
      resourceExhausted: has(GRPC_CONDITIONS.resourceExhausted),
      internal: has(GRPC_CONDITIONS.internal),
      unavailable: has(GRPC_CONDITIONS.unavailable),
    },
  };
}

/** The retries in a message of an HTTP route; undefined when nothing is asked for again. */
export function httpRetryFromWire(message: HttpRoute_Retry | undefined): RetryPolicy | undefined {
  if (message === undefined || message.maxRetries === 0) return undefined;
  const { conditions } = message;
  const statuses = (conditions?.statusRanges ?? []).map(({ start, end }) => [start, end] as const);
  return retryOf(message, statuses, conditions?.grpcStatuses ?? []);
}

/** The retries in a message of a gRPC route. */
export function grpcRetryFromWire(message: GrpcRoute_Retry | undefined): RetryPolicy | undefined {
  if (message === undefined || message.maxRetries === 0) return undefined;
  const { conditions } = message;
  const statuses = Object.entries(GRPC_CONDITIONS)
    .filter(([name]) => conditions?.[name as keyof typeof GRPC_CONDITIONS] === true)
    .map(([, status]) => status);
  return retryOf(message, [], statuses);
}

/** The message of a second attempt. */
export function hedgeToWire(
  hedge: HedgePolicy,
): DeepPartial<HttpRoute_Hedge> {
  const { delayMs, quantile, requestBytesMax: maxRequestBytes } = hedge;
  return { delay: durationToWire(delayMs), quantile, maxRequestBytes };
}

/** The second attempt in a message; undefined when there is none. */
export function hedgeFromWire(message: HttpRoute_Hedge | undefined): HedgePolicy | undefined {
  if (message === undefined) return undefined;
  const delayMs = durationFromWire(message.delay, 0);
  const { quantile, maxRequestBytes: requestBytesMax } = message;
  const isQuantile = quantile > 0 && quantile < 1;
  if (delayMs <= 0 && !isQuantile) return undefined;
  return { delayMs, quantile: isQuantile ? quantile : 0, requestBytesMax };
}

/** The message of timeouts; 0 is left out. */
export function timeoutsToWire(
  timeouts: RouteTimeouts | undefined,
): DeepPartial<Timeouts> | undefined {
  if (timeouts === undefined) return undefined;
  const { requestMs, responseMs, idleMs } = timeouts;
  return {
    request: limitToWire(requestMs),
    response: limitToWire(responseMs),
    idle: limitToWire(idleMs),
  };
}

/** The timeouts in a message; undefined when it holds none. */
export function timeoutsFromWire(message: Timeouts | undefined): RouteTimeouts | undefined {
  const requestMs = durationFromWire(message?.request, 0);
  const responseMs = durationFromWire(message?.response, 0);
  const idleMs = durationFromWire(message?.idle, 0);
  return requestMs + responseMs + idleMs === 0 ? undefined : { requestMs, responseMs, idleMs };
}

/** The message of failure accrual. */
export function accrualToWire(
  accrual: FailureAccrual | undefined,
): DeepPartial<WireAccrual> | undefined {
  if (accrual === undefined) return undefined;
  const { failuresMax, successRate } = accrual;
  const backoff = backoffToWire(accrual.backoff);
  const ejection = { minReadyEndpoints: accrual.endpointsMin };
  if (successRate === undefined) {
    const value = { maxFailures: failuresMax, backoff };
    return { ejection, kind: { $case: "consecutiveFailures", value } };
  }
  const value = {
    successRateThreshold: successRate.threshold,
    decay: durationToWire(successRate.windowMs),
    minRequests: successRate.requestsMin,
    maxConsecutiveFailures: failuresMax,
    backoff,
  };
  return { ejection, kind: { $case: "unified", value } };
}

/** The failure accrual in a message; undefined when it holds none. */
export function accrualFromWire(message: WireAccrual | undefined): FailureAccrual | undefined {
  const kind = message?.kind;
  const endpointsMin = message?.ejection?.minReadyEndpoints ?? 0;
  switch (kind?.$case) {
    case "consecutiveFailures": {
      const backoff = backoffFromWire(kind.value.backoff, PENALTY_USUAL);
      return { failuresMax: kind.value.maxFailures, backoff, endpointsMin };
    }
    case "unified": {
      const { value } = kind;
      return {
        failuresMax: value.maxConsecutiveFailures,
        backoff: backoffFromWire(value.backoff, PENALTY_USUAL),
        endpointsMin,
        successRate: {
          threshold: value.successRateThreshold,
          windowMs: durationFromWire(value.decay, WINDOW_USUAL_MS),
          requestsMin: value.minRequests,
        },
      };
    }
    default:
      return undefined;
  }
}

/** The penalty in a message of a balancer's load. */
export function penaltyFromWire(message: Backend_BalanceP2c_PenaltyPeakEwma): LoadPenalty {
  return {
    penaltyMs: durationFromWire(message.penalty, 0),
    retryAfterMaxMs: durationFromWire(message.maxRetryAfter, 0),
  };
}

function retryInit(retry: RetryPolicy) {
  return {
    maxRetries: retry.retriesMax,
    maxRequestBytes: retry.requestBytesMax,
    timeout: limitToWire(retry.tryTimeoutMs),
    backoff: backoffToWire(retry.backoff),
  };
}

function retryOf(
  message: HttpRoute_Retry | GrpcRoute_Retry,
  statuses: readonly (readonly [number, number])[],
  grpcStatuses: readonly number[],
): RetryPolicy {
  return {
    statuses,
    grpcStatuses,
    retriesMax: message.maxRetries,
    requestBytesMax: message.maxRequestBytes,
    tryTimeoutMs: durationFromWire(message.timeout, 0),
    backoff: backoffFromWire(message.backoff, BACKOFF_USUAL),
  };
}

/** 0, which means no limit, is left out. */
function limitToWire(ms: number) {
  return ms === 0 ? undefined : durationToWire(ms);
}

function backoffToWire(backoff: BackoffBounds): DeepPartial<ExponentialBackoff> {
  return {
    minBackoff: durationToWire(backoff.minMs),
    maxBackoff: durationToWire(backoff.maxMs),
    jitterRatio: backoff.jitter,
  };
}

function backoffFromWire(
  message: ExponentialBackoff | undefined,
  usual: BackoffBounds,
): BackoffBounds {
  const minMs = durationFromWire(message?.minBackoff, usual.minMs);
  const maxMs = durationFromWire(message?.maxBackoff, usual.maxMs);
  const jitter = message?.jitterRatio ?? usual.jitter;
  // What cannot be waited by is as good as not said.
  return minMs > 0 && maxMs >= minMs && jitter >= 0 ? { minMs, maxMs, jitter } : usual;
}
