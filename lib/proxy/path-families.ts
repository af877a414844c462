/**
 * The metric families of the byte path, with the names, help, labels and buckets of the contract, and the
 * label sets that a response or a close adds to its series.
 */

import type { Counter, Family, Gauge, Histogram, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { HedgeOutcome, ProfileKind, RetryOutcome } from "./environment.ts";

/** The contract's buckets of latencies, in milliseconds. */
export const LATENCY_BOUNDS_MS: readonly number[] = [1, 10, 100, 1_000, 10_000]
  .flatMap((unit) => [1, 2, 3, 4, 5].map((step) => step * unit));

/** The contract's buckets of detection, in seconds. */
const DETECT_BOUNDS = [0.001, 0.1];

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
  readonly detections: Readonly<Record<"inbound" | "outbound", Family<Histogram>>>;
  readonly counts: ReadonlyMap<CountName, Family<Counter>>;
  /** Where a concurrency limit is set. */
  readonly gates: {
    readonly limit: Family<Gauge>;
    readonly inFlight: Family<Gauge>;
    readonly waiting: Family<Gauge>;
  };
}

/** The byte path's counters that have no further labels than the caller's. */
export type CountName =
  | `inbound_${"http" | "tcp"}_authz_${"allow" | "deny"}_total`
  | "inbound_tcp_authz_terminate_total"
  | "inbound_tcp_transport_header_connections_total"
  | `${"inbound" | "outbound"}_${"http" | "tcp"}_errors_total`
  | `${"inbound" | "outbound"}_tcp_detect_http_results_total`
  | "outbound_tcp_protocol_connections_total"
  | `outbound_${"http" | "grpc"}_route_retry_${RetryOutcome}_total`
  | `malla_outbound_http_route_hedge_${HedgeOutcome}_total`
  | "route_retryable_total";

/** The far end of a connection or request, and who it is. */
const PEER = ["target_*", "tls", "no_tls_reason", "sni", "client_id", "server_id"];
/** What the policy of an inbound port says. */
const POLICY = ["srv_*", "authz_*"];
const AUTHORIZED = ["direction", ...PEER, ...POLICY];
const AUTHORIZED_REQUEST = [...AUTHORIZED, "route_*"];
const REQUEST = ["direction", "authority", ...PEER, ...POLICY, "route_*", "dst_*"];
const RESPONSE = ["classification", "status_code", "grpc_status", "error"];
const TRANSPORT = ["direction", "peer", "authority", ...PEER, ...POLICY, "dst_*"];
const PROFILE = ["direction", "dst", "rt_*"];
const ROUTE = ["parent_*", "route_*"];

type CountEntry = readonly [help: string, labels: readonly string[]];

const COUNTS: Readonly<Record<CountName, CountEntry>> = {
  inbound_http_authz_allow_total: ["HTTP requests that were authorized", AUTHORIZED_REQUEST],
  inbound_http_authz_deny_total: ["HTTP requests that were denied", AUTHORIZED_REQUEST],
  inbound_tcp_authz_allow_total: ["TCP connections that were authorized", AUTHORIZED],
  inbound_tcp_authz_deny_total: ["TCP connections that were denied", AUTHORIZED],
  inbound_tcp_authz_terminate_total: [
    "TCP connections and tunnels that were ended, as a new policy does not admit them",
    AUTHORIZED,
  ],
  inbound_tcp_transport_header_connections_total: [
    "Connections of peers' proxies, by what their transport header asks for",
    ["session_protocol", "target_port", "target_name", "client_id"],
  ],
  inbound_http_errors_total: ["Inbound HTTP requests that the proxy itself failed", ["error"]],
  inbound_tcp_errors_total: ["Inbound TCP connections that the proxy itself failed", ["error"]],
  outbound_http_errors_total: ["Outbound HTTP requests that the proxy itself failed", ["error"]],
  outbound_tcp_errors_total: ["Outbound TCP connections that the proxy itself failed", ["error"]],
  inbound_tcp_detect_http_results_total: [
    "Inbound connections whose first bytes had to tell their protocol, by what they told",
    ["result"],
  ],
  outbound_tcp_detect_http_results_total: [
    "Outbound connections whose first bytes had to tell their protocol, by what they told",
    ["result"],
  ],
  outbound_tcp_protocol_connections_total: [
    "Outbound connections, by their protocol",
    ["protocol", "parent_*"],
  ],
  outbound_http_route_retry_requests_total: ["HTTP requests that were sent again", ROUTE],
  outbound_http_route_retry_successes_total: [
    "Requests that succeeded after they were sent again",
    ROUTE,
  ],
  outbound_http_route_retry_limit_exceeded_total: [
    "Failed responses that were passed on, as the request had been sent as often as allowed",
    ROUTE,
  ],
  outbound_http_route_retry_overflow_total: [
    "Failed responses that were passed on, as the budget of retries was used up",
    ROUTE,
  ],
  outbound_grpc_route_retry_requests_total: ["gRPC calls that were sent again", ROUTE],
  outbound_grpc_route_retry_successes_total: [
    "Calls that succeeded after they were sent again",
    ROUTE,
  ],
  outbound_grpc_route_retry_limit_exceeded_total: [
    "Failed calls that were passed on, as they had been sent as often as allowed",
    ROUTE,
  ],
  outbound_grpc_route_retry_overflow_total: [
    "Failed calls that were passed on, as the budget of retries was used up",
    ROUTE,
  ],
  malla_outbound_http_route_hedge_requests_total: [
    "Requests that were sent to a second endpoint as the first took long",
    ROUTE,
  ],
  malla_outbound_http_route_hedge_wins_total: [
    "Requests that the second endpoint answered first",
    ROUTE,
  ],
  malla_outbound_http_route_hedge_overflow_total: [
    "Requests that were not sent to a second endpoint, as the budget of retries was used up",
    ROUTE,
  ],
  route_retryable_total: [
    "Failed responses of a ServiceProfile's routes that could be asked for again; those with " +
    "`skipped` are the ones among them that were not",
    [...PROFILE, "skipped"],
  ],
};

/** Registers the families, in the order in which `/metrics` shows them. */
export function pathFamilies(registry: Registry): PathFamilies {
  const counts = new Map<CountName, Family<Counter>>();
  for (const name of Object.keys(COUNTS) as CountName[]) {
    counts.set(name, registry.counter(name, ...COUNTS[name]));
  }
  const gates = {
    limit: registry.gauge(
      "malla_inbound_concurrency_limit",
      "Requests that the application gets at a time",
      ["target_port"],
    ),
    inFlight: registry.gauge(
      "malla_inbound_concurrency_in_flight",
      "Requests that the application has",
      ["target_port"],
    ),
    waiting: registry.gauge(
      "malla_inbound_concurrency_waiting",
      "Requests that wait for the application",
      ["target_port"],
    ),
  };
  return {
    http: httpFamilies(registry),
    gates,
    profiles: profileFamilies(registry),
    opens: registry.counter("tcp_open_total", "Connections that were opened", TRANSPORT),
    open: registry.gauge("tcp_open_connections", "Connections that are open", TRANSPORT),
    closes: registry.counter(
      "tcp_close_total",
      "Connections that were closed; `errno` is empty where they ended as they should",
      [...TRANSPORT, "errno"],
    ),
    read: registry.counter("tcp_read_bytes_total", "Bytes read from peers", TRANSPORT),
    wrote: registry.counter("tcp_write_bytes_total", "Bytes written to peers", TRANSPORT),
    detections: {
      inbound: detection(registry, "inbound"),
      outbound: detection(registry, "outbound"),
    },
    counts,
  };
}

function httpFamilies(registry: Registry): HttpFamilies {
  return {
    requests: registry.counter("request_total", "HTTP requests", REQUEST),
    responses: registry.counter(
      "response_total",
      "HTTP responses, and requests that got none",
      [...REQUEST, ...RESPONSE],
    ),
    latency: registry.histogram(
      "response_latency_ms",
      "Time from an HTTP request's head to its response's end",
      LATENCY_BOUNDS_MS,
      [...REQUEST, "status_code"],
    ),
  };
}

function profileFamilies(registry: Registry): PathFamilies["profiles"] {
  return {
    route: {
      requests: registry.counter(
        "route_request_total",
        "HTTP requests of a ServiceProfile's routes, each counted once with all its tries",
        PROFILE,
      ),
      responses: registry.counter(
        "route_response_total",
        "What clients of a ServiceProfile's routes got",
        [...PROFILE, ...RESPONSE],
      ),
      latency: registry.histogram(
        "route_response_latency_ms",
        "Time from a request's head to the end of what its client got, all tries together",
        LATENCY_BOUNDS_MS,
        [...PROFILE, "status_code"],
      ),
    },
    route_actual: {
      requests: registry.counter(
        "route_actual_request_total",
        "HTTP requests of a ServiceProfile's routes that were sent, each try counted",
        PROFILE,
      ),
      responses: registry.counter(
        "route_actual_response_total",
        "What backends of a ServiceProfile's routes answered, each try counted",
        [...PROFILE, ...RESPONSE],
      ),
      latency: null,
    },
  };
}

function detection(registry: Registry, direction: "inbound" | "outbound"): Family<Histogram> {
  return registry.histogram(
    `${direction}_tcp_detect_http_duration_seconds`,
    "Time until the first bytes of a connection told its protocol",
    DETECT_BOUNDS,
  );
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
