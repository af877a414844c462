/**
 * Client policies as messages of `OutboundPolicies.Watch`, in the form that every proxy of the contract
 * accepts: each protocol has a route that catches all, HTTP/1 and HTTP/2 have the same one, and each
 * backend has a queue and says how its load is measured.
 */

import type { Backend, ClientPolicy, Route, RouteAction } from "../mesh/policy.ts";
import { durationToWire } from "./duration.ts";
import { endpointToWire } from "./endpoint.ts";
import {
  type Backend as WireBackend,
  type DeepPartial,
  type GrpcRoute,
  type HttpRoute,
  type OpaqueRoute,
  OutboundPolicy,
  type ProxyProtocol,
  type TlsRoute,
} from "./gen/outbound.ts";
import { grpcCodeOfStatus } from "./grpc-status.ts";
import {
  accrualToWire,
  grpcRetryToWire,
  hedgeToWire,
  httpRetryToWire,
  timeoutsToWire,
} from "./reliability.ts";
import { resourceInit } from "./resource.ts";

/**
 * How many requests may wait at a backend, and how long while none of its endpoints is ready. Proxies
 * demand to be told; linkerd2-proxy follows its environment all the same, and so does ours.
 */
const QUEUE_CAPACITY = 100;
const QUEUE_FAILFAST_MS = 3_000;

/** The share of requests that a failing route fails. */
const ALWAYS = { numerator: 1, denominator: 1 };

type ProtocolInit = DeepPartial<ProxyProtocol>;
type BackendInit = DeepPartial<WireBackend>;
type BalancerTarget = Extract<Backend["target"], { kind: "balancer" }>;
type NoFields = Record<string, never>;

/** Where a rule sends traffic: the same shape in all four kinds of routes. */
interface DistributionInit {
  readonly kind:
    | { $case: "empty"; value: NoFields }
    | { $case: "firstAvailable"; value: { backends: { backend: BackendInit }[] } }
    | {
      $case: "randomAvailable";
      value: { backends: { weight: number; backend: { backend: BackendInit } }[] };
    };
}

/** A rule without matches, for connections whose bytes are not looked at. */
interface ConnectionRuleInit {
  readonly filters: {
    kind: { $case: "forbidden"; value: NoFields } | {
      $case: "invalid";
      value: { message: string };
    };
  }[];
  readonly backends: DistributionInit;
}

/** The message for a policy. */
export function clientPolicyToWire(policy: ClientPolicy): OutboundPolicy {
  return OutboundPolicy.fromPartial({
    metadata: resourceInit(policy.parent),
    protocol: protocolInit(policy),
  });
}

function protocolInit(policy: ClientPolicy): ProtocolInit {
  const failureAccrual = accrualToWire(policy.accrual);
  const http = { routes: [httpRoute(policy.http)], failureAccrual };
  const opaque = { routes: [opaqueRoute(policy.opaque)] };
  switch (policy.protocol) {
    case "detect": {
      const timeout = durationToWire(policy.detectTimeoutMs);
      return { kind: { $case: "detect", value: { timeout, opaque, http1: http, http2: http } } };
    }
    case "http1":
      return { kind: { $case: "http1", value: http } };
    case "http2":
      return { kind: { $case: "http2", value: http } };
    case "grpc":
      return {
        kind: { $case: "grpc", value: { routes: [grpcRoute(policy.http)], failureAccrual } },
      };
    case "opaque":
      return { kind: { $case: "opaque", value: opaque } };
    case "tls":
      return { kind: { $case: "tls", value: { routes: [tlsRoute(policy.opaque)] } } };
  }
}

function httpRoute(route: Route): DeepPartial<HttpRoute> {
  const { action } = route;
  const failure = failureOf(action);
  return {
    metadata: resourceInit(route.resource),
    rules: [{
      matches: [{ path: { kind: { $case: "prefix", value: "/" } } }],
      filters: failure === undefined ? [] : [{
        kind: { $case: "failureInjector", value: { ...failure, ratio: ALWAYS } },
      }],
      backends: distribution(action),
      timeouts: timeoutsToWire(route.timeouts),
      ...(route.retry === undefined ? {} : { retry: httpRetryToWire(route.retry) }),
      ...(route.hedge === undefined ? {} : { hedge: hedgeToWire(route.hedge) }),
    }],
  };
}

function grpcRoute(route: Route): DeepPartial<GrpcRoute> {
  const failure = failureOf(route.action);
  return {
    metadata: resourceInit(route.resource),
    rules: [{
      matches: [{ rpc: {} }],
      filters: failure === undefined ? [] : [{
        kind: {
          $case: "failureInjector",
          value: {
            code: grpcCodeOfStatus(failure.status),
            message: failure.message,
            ratio: ALWAYS,
          },
        },
      }],
      backends: distribution(route.action),
      timeouts: timeoutsToWire(route.timeouts),
      ...(route.retry === undefined ? {} : { retry: grpcRetryToWire(route.retry) }),
    }],
  };
}

function opaqueRoute(route: Route): DeepPartial<OpaqueRoute> {
  return { metadata: resourceInit(route.resource), rules: [connectionRule(route.action)] };
}

function tlsRoute(route: Route): DeepPartial<TlsRoute> {
  return { metadata: resourceInit(route.resource), rules: [connectionRule(route.action)] };
}

function connectionRule(action: RouteAction): ConnectionRuleInit {
  const failure = failureOf(action);
  const backends = distribution(action);
  if (failure === undefined) return { filters: [], backends };
  if (failure.status === 403) {
    return { filters: [{ kind: { $case: "forbidden", value: {} } }], backends };
  }
  const value = { message: failure.message };
  return { filters: [{ kind: { $case: "invalid", value } }], backends };
}

/** Why a route sends nothing on; undefined when it does. A route without a backend fails as well. */
function failureOf(action: RouteAction): { status: number; message: string } | undefined {
  if (action.kind === "fail") return { status: action.status, message: action.message };
  return action.backends.length > 0 ? undefined : { status: 500, message: "route has no backend" };
}

function distribution(action: RouteAction): DistributionInit {
  const [first, ...more] = action.kind === "fail" ? [] : action.backends;
  if (first === undefined) return { kind: { $case: "empty", value: {} } };
  if (more.length === 0) {
    return {
      kind: { $case: "firstAvailable", value: { backends: [{ backend: backendInit(first) }] } },
    };
  }
  const backends = [first, ...more].map((backend) => ({
    weight: backend.weight,
    backend: { backend: backendInit(backend) },
  }));
  return { kind: { $case: "randomAvailable", value: { backends } } };
}

function backendInit(backend: Backend): BackendInit {
  const metadata = resourceInit(backend.resource);
  const queue = { capacity: QUEUE_CAPACITY, failfastTimeout: durationToWire(QUEUE_FAILFAST_MS) };
  const { target } = backend;
  if (target.kind === "forward") {
    return { metadata, queue, kind: { $case: "forward", value: endpointToWire(target.endpoint) } };
  }
  return {
    metadata,
    queue,
    kind: {
      $case: "balancer",
      value: {
        discovery: { kind: { $case: "dst", value: { path: target.path } } },
        load: loadInit(target),
      },
    },
  };
}

function loadInit(target: BalancerTarget) {
  const defaultRtt = durationToWire(target.defaultRttMs);
  const decay = durationToWire(target.decayMs);
  const { penalty } = target;
  if (penalty === undefined) return { $case: "peakEwma" as const, value: { defaultRtt, decay } };
  const value = {
    defaultRtt,
    decay,
    penalty: durationToWire(penalty.penaltyMs),
    maxRetryAfter: durationToWire(penalty.retryAfterMaxMs),
    penaltyDecay: decay,
  };
  return { $case: "penaltyPeakEwma" as const, value };
}
