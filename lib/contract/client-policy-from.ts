/**
 * Client policies out of messages of `OutboundPolicies.Watch`.
 *
 * A foreign control plane may send more than `ClientPolicy` can say: several routes, route matches,
 * filters that change messages, failures for a part of the requests, different routes for HTTP/1 and
 * HTTP/2. Such a route becomes one that answers every request with 500 and `unsupported policy: …`,
 * since following only a part of it would send traffic where it must not go.
 */

import type { Backend, ClientPolicy, Route, RouteAction } from "../mesh/policy.ts";
import type { RetryPolicy } from "../mesh/reliability.ts";
import { durationFromWire } from "./duration.ts";
import { endpointFromWire } from "./endpoint.ts";
import type {
  Backend as WireBackend,
  FailureAccrual,
  GrpcRoute,
  HttpRoute,
  OpaqueRoute,
  OutboundPolicy,
  TlsRoute,
} from "./gen/outbound.ts";
import type { HttpRouteMatch, Ratio, Timeouts } from "./gen/http_route.ts";
import { statusOfGrpcCode } from "./grpc-status.ts";
import {
  accrualFromWire,
  grpcRetryFromWire,
  hedgeFromWire,
  httpRetryFromWire,
  penaltyFromWire,
  timeoutsFromWire,
} from "./reliability.ts";
import { defaultResource, resourceFromWire } from "./resource.ts";

const DETECT_TIMEOUT_MS = 10_000;
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

/** What the four kinds of filters have in common here: a failure, or something else. */
interface WireFilter {
  readonly kind?: { readonly $case: string; readonly value?: unknown } | undefined;
}

interface WireRouteBackend {
  readonly backend?: WireBackend;
  readonly filters: readonly WireFilter[];
}

/** The distributions of all four kinds of routes; their message types differ in name only. */
interface WireDistribution {
  readonly kind?:
    | { readonly $case: "empty" }
    | {
      readonly $case: "firstAvailable";
      readonly value: { readonly backends: readonly WireRouteBackend[] };
    }
    | {
      readonly $case: "randomAvailable";
      readonly value: {
        readonly backends: readonly {
          readonly weight: number;
          readonly backend?: WireRouteBackend;
        }[];
      };
    }
    | undefined;
}

/** The policy in a message. Never throws: what is not understood fails at each request. */
export function clientPolicyFromWire(message: OutboundPolicy): ClientPolicy {
  const parent = resourceFromWire(message.metadata);
  const kind = message.protocol?.kind;
  const policy = { detectTimeoutMs: DETECT_TIMEOUT_MS, parent };
  switch (kind?.$case) {
    case "detect": {
      const { timeout, http1, http2, opaque } = kind.value;
      const http = httpRoute(http1?.routes ?? []);
      // Compared as text: both come out of the same function, so equal routes have equal text.
      const same = JSON.stringify(http) === JSON.stringify(httpRoute(http2?.routes ?? []));
      return {
        protocol: "detect",
        detectTimeoutMs: durationFromWire(timeout, DETECT_TIMEOUT_MS),
        http: same ? http : unsupported(http, "different routes for HTTP/1 and HTTP/2"),
        opaque: connectionRoute(opaque?.routes ?? []),
        parent,
        ...accrued(http1?.failureAccrual ?? http2?.failureAccrual),
      };
    }
    case "http1":
    case "http2":
      return {
        ...policy,
        protocol: kind.$case,
        ...both(httpRoute(kind.value.routes)),
        ...accrued(kind.value.failureAccrual),
      };
    case "grpc":
      return {
        ...policy,
        protocol: "grpc",
        ...both(grpcRoute(kind.value.routes)),
        ...accrued(kind.value.failureAccrual),
      };
    case "opaque":
      return { ...policy, protocol: "opaque", ...both(connectionRoute(kind.value.routes)) };
    case "tls":
      return { ...policy, protocol: "tls", ...both(tlsRoute(kind.value.routes)) };
    default:
      return { ...policy, protocol: "detect", ...both(unsupportedRoute("unknown protocol")) };
  }
}

function accrued(message: FailureAccrual | undefined): Pick<ClientPolicy, "accrual"> {
  const accrual = accrualFromWire(message);
  return accrual === undefined ? {} : { accrual };
}

/** Where the protocol is fixed, the one route serves whatever comes. */
function both(route: Route): { http: Route; opaque: Route } {
  return { http: route, opaque: route };
}

function httpRoute(routes: readonly HttpRoute[]): Route {
  const [route, ...more] = routes;
  if (route === undefined) return unsupportedRoute("no HTTP route");
  const resource = resourceFromWire(route.metadata);
  if (more.length > 0) return unsupported({ resource }, "several HTTP routes");
  if (route.hosts.length > 0) return unsupported({ resource }, "host names of an HTTP route");
  const [rule, ...rules] = route.rules;
  if (rule === undefined || rules.length > 0) {
    return unsupported({ resource }, `an HTTP route with ${route.rules.length} rules`);
  }
  if (!catchesAll(rule.matches)) return unsupported({ resource }, "matches of an HTTP route");
  const action = ruleAction(rule.filters, rule.backends);
  const hedge = hedgeFromWire(rule.hedge);
  return {
    resource,
    action,
    ...(hedge === undefined ? {} : { hedge }),
    ...limits(rule.timeouts, httpRetryFromWire(rule.retry)),
  };
}

function grpcRoute(routes: readonly GrpcRoute[]): Route {
  const [route, ...more] = routes;
  if (route === undefined) return unsupportedRoute("no gRPC route");
  const resource = resourceFromWire(route.metadata);
  if (more.length > 0) return unsupported({ resource }, "several gRPC routes");
  if (route.hosts.length > 0) return unsupported({ resource }, "host names of a gRPC route");
  const [rule, ...rules] = route.rules;
  if (rule === undefined || rules.length > 0) {
    return unsupported({ resource }, `a gRPC route with ${route.rules.length} rules`);
  }
  const narrow = rule.matches.some(({ rpc, headers }) =>
    headers.length > 0 || (rpc?.service ?? "") !== "" || (rpc?.method ?? "") !== ""
  );
  if (narrow) return unsupported({ resource }, "matches of a gRPC route");
  const action = ruleAction(rule.filters, rule.backends);
  return { resource, action, ...limits(rule.timeouts, grpcRetryFromWire(rule.retry)) };
}

function limits(
  message: Timeouts | undefined,
  retry: RetryPolicy | undefined,
): Pick<Route, "retry" | "timeouts"> {
  const timeouts = timeoutsFromWire(message);
  return {
    ...(retry === undefined ? {} : { retry }),
    ...(timeouts === undefined ? {} : { timeouts }),
  };
}

function tlsRoute(routes: readonly TlsRoute[]): Route {
  const [route] = routes;
  if (route !== undefined && route.snis.length > 0) {
    return unsupported({ resource: resourceFromWire(route.metadata) }, "SNIs of a TLS route");
  }
  return connectionRoute(routes);
}

function connectionRoute(routes: readonly (OpaqueRoute | TlsRoute)[]): Route {
  const [route, ...more] = routes;
  if (route === undefined) return unsupportedRoute("no route for opaque connections");
  const resource = resourceFromWire(route.metadata);
  if (more.length > 0) return unsupported({ resource }, "several routes for opaque connections");
  const [rule, ...rules] = route.rules;
  if (rule === undefined || rules.length > 0) {
    return unsupported({ resource }, `an opaque route with ${route.rules.length} rules`);
  }
  return { resource, action: ruleAction(rule.filters, rule.backends) };
}

/** An empty list of matches catches everything, and so does one match without a condition. */
function catchesAll(matches: readonly HttpRouteMatch[]): boolean {
  if (matches.length === 0) return true;
  return matches.some(({ path, headers, queryParams, method }) =>
    headers.length === 0 && queryParams.length === 0 && method === undefined &&
    (path === undefined || (path.kind?.$case === "prefix" && path.kind.value === "/"))
  );
}

function ruleAction(
  filters: readonly WireFilter[],
  distribution: WireDistribution | undefined,
): RouteAction {
  const filtered = filterAction(filters);
  if (filtered !== undefined) return filtered;
  switch (distribution?.kind?.$case) {
    case "firstAvailable": {
      const [first, ...more] = distribution.kind.value.backends;
      if (more.length > 0) return unsupportedAction("an order of backends");
      return first === undefined ? noBackend() : backendAction(first, 1);
    }
    case "randomAvailable":
      return weightedAction(distribution.kind.value.backends);
    default:
      return noBackend();
  }
}

function weightedAction(
  weighted: readonly { readonly weight: number; readonly backend?: WireRouteBackend }[],
): RouteAction {
  const backends: Backend[] = [];
  for (const { weight, backend } of weighted) {
    const action = backend === undefined ? noBackend() : backendAction(backend, weight);
    if (action.kind === "backends") backends.push(...action.backends);
    // A backend that fails its share of the requests cannot be told apart from the others here.
    else if (weighted.length === 1) return action;
    else return unsupportedAction(`a failing share of traffic (${action.message})`);
  }
  return backends.length === 0 ? noBackend() : { kind: "backends", backends };
}

function backendAction(wire: WireRouteBackend, weight: number): RouteAction {
  const filtered = filterAction(wire.filters);
  if (filtered !== undefined) return filtered;
  const { backend } = wire;
  const resource = resourceFromWire(backend?.metadata);
  switch (backend?.kind?.$case) {
    case "forward": {
      const endpoint = endpointFromWire(backend.kind.value);
      if (endpoint === undefined) return unsupportedAction("the address of a backend");
      const target = { kind: "forward", endpoint } as const;
      return { kind: "backends", backends: [{ resource, target, weight }] };
    }
    case "balancer": {
      const { discovery, load } = backend.kind.value;
      if (discovery?.kind?.$case !== "dst") return unsupportedAction("the discovery of a backend");
      const target = {
        kind: "balancer",
        path: discovery.kind.value.path,
        defaultRttMs: durationFromWire(load?.value.defaultRtt, DEFAULT_RTT_MS),
        decayMs: durationFromWire(load?.value.decay, DECAY_MS),
        ...(load?.$case === "penaltyPeakEwma" ? { penalty: penaltyFromWire(load.value) } : {}),
      } as const;
      return { kind: "backends", backends: [{ resource, target, weight }] };
    }
    default:
      return unsupportedAction("the kind of a backend");
  }
}

/** The failure that the filters ask for; undefined when there is no filter. */
function filterAction(filters: readonly WireFilter[]): RouteAction | undefined {
  const [filter, ...more] = filters;
  if (filter === undefined) return undefined;
  if (more.length > 0) return unsupportedAction(`${filters.length} filters of a route`);
  const { kind } = filter;
  switch (kind?.$case) {
    case "forbidden":
      return { kind: "fail", status: 403, message: "forbidden" };
    case "invalid":
      return { kind: "fail", status: 500, message: (kind.value as { message: string }).message };
    case "failureInjector":
      return injected(kind.value as InjectedFailure);
    default:
      return unsupportedAction(`filter ${kind?.$case ?? "of unknown kind"}`);
  }
}

/** What HTTP and gRPC failure injectors hold: one has a status, the other a code. */
interface InjectedFailure {
  readonly status?: number;
  readonly code?: number;
  readonly message: string;
  readonly ratio?: Ratio;
}

function injected(failure: InjectedFailure): RouteAction {
  const { ratio, message } = failure;
  if (ratio !== undefined && ratio.numerator !== ratio.denominator) {
    return unsupportedAction("failures for a share of the requests");
  }
  return { kind: "fail", status: failure.status ?? statusOfGrpcCode(failure.code ?? 2), message };
}

function noBackend(): RouteAction {
  return { kind: "fail", status: 500, message: "route has no backend" };
}

function unsupportedAction(what: string): RouteAction {
  return { kind: "fail", status: 500, message: `unsupported policy: ${what}` };
}

function unsupported(route: Pick<Route, "resource">, what: string): Route {
  return { resource: route.resource, action: unsupportedAction(what) };
}

function unsupportedRoute(what: string): Route {
  return unsupported({ resource: defaultResource("unsupported") }, what);
}
