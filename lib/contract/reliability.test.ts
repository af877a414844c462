import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ClientPolicy, PortProtocol, Route } from "../mesh/policy.ts";
import type {
  FailureAccrual,
  HedgePolicy,
  RetryPolicy,
  RouteTimeouts,
} from "../mesh/reliability.ts";
import { clientPolicyFromWire } from "./client-policy-from.ts";
import { clientPolicyToWire } from "./client-policy.ts";
import { defaultResource } from "./resource.ts";

const ms = fc.integer({ min: 1, max: 100_000_000 });
/** Quarters survive the 32 bits of the message. */
const ratio = fc.nat(16).map((quarters) => quarters / 4);
const backoff = fc.tuple(ms, ms, ratio).map(([a, b, jitter]) => ({
  minMs: Math.min(a, b),
  maxMs: Math.max(a, b),
  jitter,
}));
const status = fc.integer({ min: 100, max: 599 });
const retry = (grpcStatus: fc.Arbitrary<number>): fc.Arbitrary<RetryPolicy> =>
  fc.record({
    statuses: fc.array(fc.tuple(status, status), { maxLength: 3 }),
    grpcStatuses: fc.uniqueArray(grpcStatus, { maxLength: 3 }),
    retriesMax: fc.integer({ min: 1, max: 10 }),
    requestBytesMax: fc.nat(65_536),
    tryTimeoutMs: fc.nat(10_000),
    backoff,
  });
const timeouts: fc.Arbitrary<RouteTimeouts> = fc.record({
  requestMs: fc.nat(10_000),
  responseMs: ms,
  idleMs: fc.nat(10_000),
});
const hedge: fc.Arbitrary<HedgePolicy> = fc.oneof(
  fc.record({ delayMs: ms, quantile: fc.constant(0), requestBytesMax: fc.nat(65_536) }),
  fc.record({
    delayMs: fc.constant(0),
    quantile: fc.double({ min: 0.5, max: 0.999, noNaN: true }),
    requestBytesMax: fc.nat(65_536),
  }),
);
const accrual: fc.Arbitrary<FailureAccrual> = fc.record({
  failuresMax: fc.nat(1_000),
  backoff,
  endpointsMin: fc.nat(5),
  successRate: fc.record({
    threshold: fc.double({ min: 0, max: 1, noNaN: true }),
    windowMs: ms,
    requestsMin: fc.nat(100),
  }),
}, { requiredKeys: ["failuresMax", "backoff", "endpointsMin"] });

function policy(protocol: PortProtocol, http: Partial<Route>, more: Partial<ClientPolicy>) {
  const resource = defaultResource("http");
  const target = { kind: "balancer", path: "a.b:80", defaultRttMs: 30, decayMs: 10_000 } as const;
  const action = { kind: "backends", backends: [{ resource, target, weight: 1 }] } as const;
  const route = { resource, action };
  return {
    protocol,
    detectTimeoutMs: 10_000,
    http: { ...route, ...http },
    opaque: route,
    parent: resource,
    ...more,
  };
}

test("retries, timeouts and accrual survive the wire, whatever the protocol", () => {
  fc.assert(
    fc.property(
      fc.constantFrom<PortProtocol>("detect", "http1", "http2"),
      retry(fc.nat(16)),
      timeouts,
      accrual,
      (protocol, retry, timeouts, accrual) => {
        const sent = policy(protocol, { retry, timeouts }, { accrual });
        const got = clientPolicyFromWire(clientPolicyToWire(sent));
        expect(got.http).toEqual(sent.http);
        expect(got.accrual).toEqual(accrual);
      },
    ),
    { seed: 1, numRuns: 300 },
  );
});

test("a gRPC route's retries know gRPC's statuses alone", () => {
  fc.assert(
    fc.property(retry(fc.constantFrom(1, 4, 8, 13, 14)), (retry) => {
      const got = clientPolicyFromWire(clientPolicyToWire(policy("grpc", { retry }, {})));
      const sorted = [...retry.grpcStatuses].sort((a, b) => a - b);
      expect(got.http.retry).toEqual({ ...retry, statuses: [], grpcStatuses: sorted });
    }),
    { seed: 1, numRuns: 100 },
  );
});

test("a balancer's penalty survives the wire", () => {
  const penalty = { penaltyMs: 5_000, retryAfterMaxMs: 0 };
  const resource = defaultResource("http");
  const target = { kind: "balancer", path: "a:1", defaultRttMs: 30, decayMs: 9, penalty } as const;
  const action = { kind: "backends", backends: [{ resource, target, weight: 1 }] } as const;
  const sent = policy("http1", { action }, {});
  expect(clientPolicyFromWire(clientPolicyToWire(sent)).http.action).toEqual(action);
});

test("a policy without any of them has none", () => {
  const got = clientPolicyFromWire(clientPolicyToWire(policy("detect", {}, {})));
  expect([got.http.retry, got.http.timeouts, got.accrual]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test("a second attempt survives the wire where routes are HTTP's", () => {
  fc.assert(fc.property(fc.constantFrom("detect", "http1", "http2"), hedge, (protocol, hedge) => {
    const sent = policy(protocol, { hedge }, {});
    expect(clientPolicyFromWire(clientPolicyToWire(sent)).http.hedge).toEqual(hedge);
  }));
});
