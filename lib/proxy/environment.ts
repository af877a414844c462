/**
 * What the byte path needs from the rest of the proxy, as interfaces: its settings, its certificate,
 * the policies of its ports, the targets of its connections, and where to count. The byte path knows
 * no gRPC, no environment variable and no file; a test or the simulator gives it other sources.
 */

import type { Clock } from "../host/clock.ts";
import type { Net, TlsMaterial } from "../host/net.ts";
import type { Network, SocketAddress } from "../mesh/address.ts";
import type { ClientPolicy, ServerPolicy } from "../mesh/policy.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { FieldLines } from "../wire/http/mod.ts";
import type { Balancer } from "./balance.ts";
import type { ProfileRoutes } from "./profile-routes.ts";
import type { GateFigures } from "./gate.ts";
import type { PathLimits } from "./path-limits.ts";
import type { RetryBudget } from "./retry-budget.ts";
import type { RouteKind } from "./route-series.ts";
import type { Recorder } from "./outcome.ts";

/** The settings that the byte path reads; durations in milliseconds. */
export interface PathSettings {
  readonly inboundListen: readonly SocketAddress[];
  readonly outboundListen: readonly SocketAddress[];
  /** Own ports: never a target, neither inbound nor outbound. */
  readonly ownPorts: ReadonlySet<number>;
  /** Addresses of this pod. Empty: any original destination counts as the pod's own. */
  readonly inboundIps: ReadonlySet<string>;
  readonly inboundConnectTimeoutMs: number;
  readonly outboundConnectTimeoutMs: number;
  readonly inboundDetectTimeoutMs: number;
  readonly outboundDetectTimeoutMs: number;
  readonly poolIdleTimeoutMs: number;
  readonly poolIdlePerEndpointMax: number;
  readonly limits: PathLimits;
  /** How long open connections may go on after SIGTERM. */
  readonly drainMs: number;
  /** SO_MARK of all connections that the proxy makes; 0 where the uid exempts it. */
  readonly socketMark: number;
  readonly clusterNetworks: readonly Network[];
  /** Whether peers, or this pod's applications, hear in headers why the proxy answers in their place. */
  readonly explains: { readonly inbound: boolean; readonly outbound: boolean };
  /** Requests of this pod may name their targets. */
  readonly ingress: boolean;
}

/** The proxy's own certificate. */
export interface Credentials extends TlsMaterial {
  /** The identity's DNS-like name. */
  readonly name: string;
  /** The SNI that addresses this proxy. */
  readonly serverName: string;
  readonly expiresAtMs: number;
}

/** Gives the certificate of this moment; each new handshake asks again. */
export interface IdentitySource {
  /** null until the first certificate. */
  current(): Credentials | null;
}

/** The policy of one inbound port, kept up to date in place. */
export interface ServerPolicyCell {
  readonly current: ServerPolicy;
  /** Registers for changes; used to end connections that are not admitted any more. */
  subscribe(changed: () => void): () => void;
}

/** Inbound policies by port. Answers at once: the default policy until the control plane has spoken. */
export interface ServerPolicies {
  port(port: number): ServerPolicyCell;
}

/** What is known of a destination, kept up to date in place while it is held. */
export interface OutboundTarget {
  readonly policy: ClientPolicy;
  /**
   * The balancers of the policy's backends, by the backends' index; a `forward` backend has a
   * balancer of one endpoint. Index −1 where the action is `fail`.
   */
  readonly httpBackends: readonly WeightedBalancer[];
  readonly opaqueBackends: readonly WeightedBalancer[];
  /** For the label `authority`: `name.ns.svc.domain:port`, or the destination in text. */
  readonly authority: string;
  /** Fields that requests to it get; null: none. */
  readonly added: FieldLines | null;
  /** What retries may add to its load; another one when that is configured anew. */
  readonly budget: RetryBudget;
  /** The routes of its ServiceProfile, which decide in place of the policy's; null: it has none. */
  readonly profileRoutes: ProfileRoutes | null;
  /** `parent_*` and `route_*` of its HTTP route. */
  readonly routeLabels: Labels;
}

/** A backend's balancer and its share of the traffic. */
export interface WeightedBalancer {
  readonly balancer: Balancer;
  readonly weight: number;
}

/** Takes the result of a look-up: exactly one call. */
export type TargetFound = (target: OutboundTarget | null, fault: Error | null) => void;

/** Where a request or connection is to go: an original destination, or a name with a port. */
export type Destination = SocketAddress | string;

/** Outbound targets by destination. */
export interface OutboundTargets {
  /**
   * Calls back at once when the target is known, else when the control plane has answered, at the
   * latest when the wait is over (then with a fault). Each found target must be released once.
   */
  acquire(destination: Destination, found: TargetFound): void;
  release(target: OutboundTarget): void;
}

/** Counts of one connection side (`tcp_*`): resolved once, then only added to. */
export interface TransportMetrics {
  /** A connection opened. */
  opened(): void;
  read(bytes: number): void;
  wrote(bytes: number): void;
  /** `errno` is empty for a clean close, else a name such as `ECONNRESET`. */
  closed(errno: string): void;
}

/** Counts of one kind of HTTP traffic (`request_total`, `response_total`, `response_latency_ms`). */
export interface HttpMetrics {
  request(): void;
  /**
   * `status` 0: no response came; `error` then says why, else it is empty. `grpcStatus` −1: none came.
   */
  response(
    status: number,
    success: boolean,
    latencyMs: number,
    error: string,
    grpcStatus: number,
  ): void;
}

/** Counts of how requests of a route ended. */
export interface RouteFigures {
  /** `grpcStatus` −1: no call; `error` empty: it ended as the application wanted. */
  ended(status: number, grpcStatus: number, error: string, durationMs: number): void;
}

/** The proxy's own refusals and failures (`inbound_http_errors_total` and the like). */
export type ErrorKind =
  | "loadshed"
  | "failfast"
  | "unauthorized"
  | "identity required"
  | "tls detection timeout"
  | "invalid policy"
  | "bad request"
  | "response timeout"
  | "i/o"
  | "unexpected";

/** What became of a request that a route's policy would send again. */
export type RetryOutcome = "requests" | "successes" | "limit_exceeded" | "overflow";

/** What is counted once per connection. */
export type ConnectionCount =
  | "inbound_tcp_authz_terminate_total"
  | "inbound_tcp_transport_header_connections_total"
  | "outbound_tcp_protocol_connections_total";

/** What the first bytes of a connection told. */
export type DetectResult = "http/1" | "http/2" | "not_http" | "read_timeout";

/** The families of ServiceProfiles' routes: requests with all their tries, and each try. */
export type ProfileKind = "route" | "route_actual";

/** What became of a request that is sent to a second endpoint beside the first. */
export type HedgeOutcome = "requests" | "wins" | "overflow";

/** Where the byte path counts. The label sets are those of Linkerd's metrics. */
export interface PathMetrics {
  transport(labels: Labels): TransportMetrics;
  http(labels: Labels): HttpMetrics;
  /** `inbound_http_authz_allow_total` and its relatives. */
  authorized(protocol: "http" | "tcp", allowed: boolean, labels: Labels): void;
  failed(direction: "inbound" | "outbound", protocol: "http" | "tcp", error: ErrorKind): void;
  /** Of a route, whose labels are the same object each time. */
  retried(protocol: "http" | "grpc", outcome: RetryOutcome, labels: Labels): void;
  /** One more connection; its labels cost a string. */
  counted(name: ConnectionCount, labels: Labels): void;
  /** The first bytes of a connection had to tell its protocol, and did so after a while. */
  detected(direction: "inbound" | "outbound", result: DetectResult, durationMs: number): void;
  /** Requests of a ServiceProfile's route as clients see them, and its attempts. */
  profileRoute(kind: ProfileKind, labels: Labels): HttpMetrics;
  /** `route_retryable_total`. */
  retryable(labels: Labels): void;
  hedged(outcome: HedgeOutcome, labels: Labels): void;
  /** Of the gate before the application on a port; once per port. */
  gate(port: string): GateFigures;
  /** Figures of a route; costs a string: once per connection or endpoint. */
  route(kind: RouteKind, labels: Labels): RouteFigures;
}

/** Everything that the byte path is given at start. */
export interface ProxyEnvironment {
  readonly settings: PathSettings;
  readonly net: Net;
  readonly clock: Clock;
  /** A number in [0, 1); seeded in simulations. */
  readonly random: () => number;
  readonly identity: IdentitySource;
  readonly serverPolicies: ServerPolicies;
  readonly targets: OutboundTargets;
  readonly metrics: PathMetrics;
  /** Who writes down single exchanges; usually nobody. */
  readonly recorders: readonly Recorder[];
  readonly log: Logger;
}
