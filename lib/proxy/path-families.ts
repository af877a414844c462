/**
 * The metric families of the byte path, with the names, help and buckets of the contract, and the label
 * sets that a response or a close adds to its series.
 */

import type { Counter, Family, Gauge, Histogram, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { ProfileKind, RetryOutcome } from "./environment.ts";

/** The contract's buckets of latencies, in milliseconds. */
export const LATENCY_BOUNDS_MS: readonly number[] = [1, 10, 100, 1_000, 10_000]
  .flatMap((unit) => [1, 2, 3, 4, 5].map((step) => step * unit));

/** What is counted of requests; of single attempts of a route the contract has no latencies. */
export interface HttpFamilies {
  readonly requests: Family<Counter>;
  readonly responses: Family<Counter>;
  readonly latency: Family<Histogram> | null;
}

/** Families that have a handle of their own, and the plain counters by name. */
export interface PathFamilies {
  readonly http: HttpFamilies;
  readonly profiles: Readonly<Record<ProfileKind, HttpFamilies>>;
  readonly opens: Family<Counter>;
  readonly open: Family<Gauge>;
  readonly closes: Family<Counter>;
  readonly read: Family<Counter>;
  readonly wrote: Family<Counter>;
  readonly counts: ReadonlyMap<CountName, Family<Counter>>;
}

/** The byte path's counters that have no further labels than the caller's. */
export type CountName =
  | `inbound_${"http" | "tcp"}_authz_${"allow" | "deny"}_total`
  | `${"inbound" | "outbound"}_${"http" | "tcp"}_errors_total`
  | `outbound_http_route_retry_${RetryOutcome}_total`
  | "route_retryable_total";

const COUNTS: Readonly<Record<CountName, string>> = {
  inbound_http_authz_allow_total: "HTTP requests that were authorized",
  inbound_http_authz_deny_total: "HTTP requests that were denied",
  inbound_tcp_authz_allow_total: "TCP connections that were authorized",
  inbound_tcp_authz_deny_total: "TCP connections that were denied",
  inbound_http_errors_total: "Inbound HTTP requests that the proxy itself failed",
  inbound_tcp_errors_total: "Inbound TCP connections that the proxy itself failed",
  outbound_http_errors_total: "Outbound HTTP requests that the proxy itself failed",
  outbound_tcp_errors_total: "Outbound TCP connections that the proxy itself failed",
  outbound_http_route_retry_requests_total: "HTTP requests that were sent again",
  outbound_http_route_retry_successes_total: "Requests that succeeded after they were sent again",
  outbound_http_route_retry_limit_exceeded_total:
    "Failed responses that were passed on, as the request had been sent as often as allowed",
  outbound_http_route_retry_overflow_total:
    "Failed responses that were passed on, as the budget of retries was used up",
  route_retryable_total:
    "Failed responses of a ServiceProfile's routes that could be asked for again; skipped: were not",
};

/** Registers the families, in the order in which `/metrics` shows them. */
export function pathFamilies(registry: Registry): PathFamilies {
  const counts = new Map<CountName, Family<Counter>>();
  for (const name of Object.keys(COUNTS) as CountName[]) {
    counts.set(name, registry.counter(name, COUNTS[name]));
  }
  return {
    http: {
      requests: registry.counter("request_total", "HTTP requests"),
      responses: registry.counter("response_total", "HTTP responses, and requests that got none"),
      latency: registry.histogram(
        "response_latency_ms",
        "Time from an HTTP request's head to its response's end",
        LATENCY_BOUNDS_MS,
      ),
    },
    profiles: {
      route: {
        requests: registry.counter(
          "route_request_total",
          "HTTP requests of a ServiceProfile's routes, each counted once with all its tries",
        ),
        responses: registry.counter(
          "route_response_total",
          "What clients of a ServiceProfile's routes got",
        ),
        latency: registry.histogram(
          "route_response_latency_ms",
          "Time from a request's head to the end of what its client got, all tries together",
          LATENCY_BOUNDS_MS,
        ),
      },
      route_actual: {
        requests: registry.counter(
          "route_actual_request_total",
          "HTTP requests of a ServiceProfile's routes that were sent, each try counted",
        ),
        responses: registry.counter(
          "route_actual_response_total",
          "What backends of a ServiceProfile's routes answered, each try counted",
        ),
        latency: null,
      },
    },
    opens: registry.counter("tcp_open_total", "Connections that were opened"),
    open: registry.gauge("tcp_open_connections", "Connections that are open"),
    closes: registry.counter("tcp_close_total", "Connections that were closed"),
    read: registry.counter("tcp_read_bytes_total", "Bytes read from peers"),
    wrote: registry.counter("tcp_write_bytes_total", "Bytes written to peers"),
    counts,
  };
}

/** `response_total`'s labels. A request without a response has no `status_code`. */
export function responseLabels(
  labels: Labels,
  status: number,
  success: boolean,
  error: string,
  grpcStatus: number,
): Labels {
  return {
    ...labels,
    classification: success ? "success" : "failure",
    ...statusLabels(status),
    ...(grpcStatus < 0 ? {} : { grpc_status: String(grpcStatus) }),
    ...(error === "" ? {} : { error }),
  };
}

/** `response_latency_ms`'s labels. */
export function latencyLabels(labels: Labels, status: number): Labels {
  return { ...labels, ...statusLabels(status) };
}

/** `tcp_close_total`'s labels; a clean close has an empty `errno`. */
export function closeLabels(labels: Labels, errno: string): Labels {
  return { ...labels, errno };
}

function statusLabels(status: number): Labels {
  return status > 0 ? { status_code: String(status) } : {};
}
