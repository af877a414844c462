// hot
/** What hangs on an endpoint of a balancer for HTTP: its connections and its counters. */

import type { RequestHead } from "../wire/http/mod.ts";
import type { Labels } from "../telemetry/metric.ts";
import type { Balancer, EndpointResource, EndpointState } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { HttpMetrics, OutboundTarget, RouteFigures } from "./environment.ts";
import { type HopSettings, hopTo } from "./hop.ts";
import type { RequestPool } from "./http-parts.ts";
import { backendLabels, endpointLabels } from "./labels.ts";
import { errorOfLoss } from "./outcome.ts";
import { PoolHttp1 } from "./pool-http1.ts";
import { PoolHttp2 } from "./pool-http2.ts";

/** Pools and counters of one endpoint. */
export class OutboundEndpoint implements EndpointResource {
  readonly #context: PathContext;
  readonly #state: EndpointState;
  readonly #settings: HopSettings;
  #http1: PoolHttp1 | null = null;
  #http2: PoolHttp2 | null = null;
  /** By the route; nearly always one: an endpoint belongs to one destination. */
  readonly #metrics = new WeakMap<Labels, HttpMetrics>();
  #lastRoute: Labels | null = null;
  #last: HttpMetrics | null = null;

  constructor(context: PathContext, state: EndpointState, authority: string) {
    const { env } = context;
    this.#context = context;
    this.#state = state;
    this.#settings = {
      timeoutMs: env.settings.outboundConnectTimeoutMs,
      mark: env.settings.socketMark,
      metrics: env.metrics.transport({
        ...endpointLabels(state), // cold: once per endpoint
        authority,
        peer: "dst",
      }),
    };
  }

  /**
   * The connections for a request: its own protocol's, but HTTP/1 rides on HTTP/2 to a peer's proxy
   * that takes it, unless it wants a connection for itself.
   */
  poolFor(head: RequestHead): RequestPool {
    const { hint, identity } = this.#state.endpoint;
    const meshed = identity !== undefined;
    if (head.http2 || (meshed && hint === "h2" && !head.wantsConnection())) {
      return this.#http2 ??= new PoolHttp2(this.#context, this.#hop("http2"), meshed);
    }
    return this.#http1 ??= new PoolHttp1(this.#context, this.#hop("http1"), meshed);
  }

  /** The counters of requests that took the target's route to a backend. */
  metrics(target: OutboundTarget, balancer: Balancer | null): HttpMetrics {
    const { routeLabels } = target;
    if (this.#last !== null && this.#lastRoute === routeLabels) return this.#last;
    let found = this.#metrics.get(routeLabels);
    if (found === undefined) this.#metrics.set(routeLabels, found = this.#made(target, balancer));
    this.#lastRoute = routeLabels;
    this.#last = found;
    return found;
  }

  close(): void {
    this.#http1?.close();
    this.#http2?.close();
  }

  #made({ authority, policy, routeLabels, httpBackends }: OutboundTarget, of: Balancer | null) {
    const { metrics } = this.#context.env;
    const { action } = policy.http;
    const index = httpBackends.findIndex(({ balancer }) => balancer === of);
    const backend = action.kind === "backends" ? action.backends[index]?.resource : undefined;
    const labels = backend === undefined ? routeLabels : backendLabels(routeLabels, backend);
    return new AttemptMetrics(
      metrics.http({ ...endpointLabels(this.#state), authority }), // cold: once per route
      metrics.route("outbound_http_route_backend", labels),
      metrics.route("outbound_grpc_route_backend", labels),
    );
  }

  #hop(protocol: "http1" | "http2") {
    return hopTo(this.#state.endpoint, protocol, this.#settings);
  }
}

/** Counts attempts for their endpoint and for their route's backend. */
class AttemptMetrics implements HttpMetrics {
  readonly #endpoint: HttpMetrics;
  readonly #http: RouteFigures;
  readonly #grpc: RouteFigures;

  constructor(endpoint: HttpMetrics, http: RouteFigures, grpc: RouteFigures) {
    this.#endpoint = endpoint;
    this.#http = http;
    this.#grpc = grpc;
  }

  request(): void {
    this.#endpoint.request();
  }

  response(
    status: number,
    success: boolean,
    latencyMs: number,
    error: string,
    grpcStatus: number,
  ): void {
    this.#endpoint.response(status, success, latencyMs, error, grpcStatus);
    const route = grpcStatus < 0 ? this.#http : this.#grpc;
    route.ended(status, grpcStatus, errorOfLoss(error), latencyMs);
  }
}
