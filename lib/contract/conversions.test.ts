/** Domain values survive the wire, whatever they are; what we cannot follow fails closed. */

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatIp, type Network, parseNetwork } from "../mesh/address.ts";
import type { Endpoint, EndpointUpdate } from "../mesh/endpoint.ts";
import type {
  Backend,
  ClientMatch,
  ClientPolicy,
  Profile,
  ResourceRef,
  Route,
  RouteAction,
  ServerPolicy,
} from "../mesh/policy.ts";
import { addressFromWire, addressToWire, networkFromWire, networkToWire } from "./address.ts";
import { clientPolicyFromWire } from "./client-policy-from.ts";
import { clientPolicyToWire } from "./client-policy.ts";
import { durationFromWire, durationToWire, momentFromWire, momentToWire } from "./duration.ts";
import {
  endpointFromWire,
  endpointToWire,
  endpointUpdateFromWire,
  endpointUpdateToWire,
} from "./endpoint.ts";
import { DestinationProfile, Update } from "./gen/destination.ts";
import { Server } from "./gen/inbound.ts";
import { type DeepPartial, OutboundPolicy } from "./gen/outbound.ts";
import { decodeMessage, encodeMessage } from "./methods.ts";
import { profileFromWire, profileToWire } from "./profile.ts";
import { DEFAULT_RETRY_BUDGET } from "../mesh/reliability.ts";
import type { ProfileRoute, RequestMatch, ResponseMatch } from "../mesh/service-profile.ts";
import { defaultResource } from "./resource.ts";
import { serverPolicyFromWire } from "./server-policy-from.ts";
import { serverPolicyToWire } from "./server-policy.ts";

const RUNS = { numRuns: 150 };

const ip = fc.oneof(
  fc.bigInt(0n, (1n << 32n) - 1n).map((bits) => formatIp(4, bits)),
  fc.bigInt(0n, (1n << 128n) - 1n).map((bits) => formatIp(6, bits)),
  // Many zeros are where the short form of IPv6 can go wrong.
  fc.array(fc.constantFrom(0n, 1n, 0xffffn), { minLength: 8, maxLength: 8 })
    .map((groups) =>
      formatIp(6, groups.reduce<bigint>((bits, group) => (bits << 16n) | group, 0n))
    ),
);
const port = fc.integer({ min: 0, max: 65_535 });
const address = fc.record({ ip, port });
const network: fc.Arbitrary<Network> = fc.tuple(ip, fc.nat(128)).map(([text, length]) =>
  parseNetwork(`${text}/${text.includes(":") ? length : length % 33}`)
);
const name = fc.stringMatching(/^[a-z0-9][a-z0-9.-]{0,20}$/);
const labels = fc.dictionary(name, name, { maxKeys: 4 });
const milliseconds = fc.nat(100_000_000);

const resource: fc.Arbitrary<ResourceRef> = fc.oneof(
  name.map(defaultResource),
  fc.record({
    group: fc.constantFrom("", "policy.linkerd.io", "gateway.networking.k8s.io"),
    kind: fc.constantFrom("Service", "HTTPRoute"),
    name,
    namespace: name,
    port,
  }),
);

const endpoint: fc.Arbitrary<Endpoint> = fc.record({
  address,
  weight: fc.nat(100_000),
  labels,
  hint: fc.constantFrom("unknown", "h2", "opaque"),
  identity: fc.oneof(
    fc.record({ name, serverName: name }),
    fc.record({ name: name.map((path) => `spiffe://${path}`), serverName: name }),
  ),
  transportPort: fc.integer({ min: 1, max: 65_535 }),
  authorityOverride: name,
}, { requiredKeys: ["address", "weight", "labels", "hint"] });

const endpointUpdate: fc.Arbitrary<EndpointUpdate> = fc.oneof(
  fc.record({
    kind: fc.constant("add"),
    endpoints: fc.array(endpoint, { maxLength: 4 }),
    labels,
  }),
  fc.record({ kind: fc.constant("remove"), addresses: fc.array(address, { maxLength: 4 }) }),
  fc.record({ kind: fc.constant("none"), exists: fc.boolean() }),
);

const requestMatch = fc.letrec<{ match: RequestMatch }>((tie) => ({
  match: fc.oneof(
    { maxDepth: 3 },
    fc.record({ kind: fc.constant("path" as const), pattern: name }),
    fc.record({
      kind: fc.constant("method" as const),
      method: fc.constantFrom("GET", "POST", "TRACE", "PURGE"),
    }),
    fc.record({ kind: fc.constant("not" as const), of: tie("match") }),
    fc.record({
      kind: fc.constantFrom("all" as const, "any" as const),
      of: fc.array(tie("match"), { minLength: 1, maxLength: 3 }),
    }),
  ),
})).match;

const status = fc.integer({ min: 100, max: 599 });
const responseMatch = fc.letrec<{ match: ResponseMatch }>((tie) => ({
  match: fc.oneof(
    { maxDepth: 3 },
    fc.record({ kind: fc.constant("status" as const), from: status, to: status }),
    fc.record({ kind: fc.constant("not" as const), of: tie("match") }),
    fc.record({
      kind: fc.constantFrom("all" as const, "any" as const),
      of: fc.array(tie("match"), { minLength: 1, maxLength: 3 }),
    }),
  ),
})).match;

const profileRoute: fc.Arbitrary<ProfileRoute> = fc.record({
  labels,
  match: requestMatch,
  isRetryable: fc.boolean(),
  timeoutMs: fc.nat(100_000),
  classes: fc.array(fc.record({ match: responseMatch, isFailure: fc.boolean() }), { maxLength: 3 }),
});

const profile: fc.Arbitrary<Profile> = fc.record({
  fullyQualifiedName: name,
  opaque: fc.boolean(),
  endpoint,
  parent: resource,
  source: resource,
  routes: fc.array(profileRoute, { minLength: 1, maxLength: 3 }),
  budget: fc.record({
    ratio: fc.nat(1_000).map((thousandths) => thousandths / 1_000),
    minPerSecond: fc.nat(1_000),
    ttlMs: fc.integer({ min: 1_000, max: 60_000 }),
  }),
  overrides: fc.array(
    fc.record({ authority: name, weight: fc.integer({ min: 1, max: 10_000 }) }),
    { minLength: 1, maxLength: 3 },
  ),
}, { requiredKeys: ["fullyQualifiedName", "opaque"] });

const target: fc.Arbitrary<Backend["target"]> = fc.oneof(
  fc.record({ kind: fc.constant("forward"), endpoint }),
  fc.record({
    kind: fc.constant("balancer"),
    path: name,
    defaultRttMs: milliseconds,
    decayMs: milliseconds,
  }),
);
const backends: fc.Arbitrary<RouteAction> = fc.oneof(
  // The weight of a single backend says nothing, and the wire does not carry it.
  fc.record({ resource, target, weight: fc.constant(1) }).map((backend) => [backend]),
  fc.array(fc.record({ resource, target, weight: fc.nat(1000) }), { minLength: 2, maxLength: 4 }),
).map((all) => ({ kind: "backends", backends: all }));
const httpFailure = fc.record({
  kind: fc.constant("fail"),
  status: fc.integer({ min: 200, max: 599 }),
  message: fc.string(),
});
/** Statuses that gRPC has a code for. */
const grpcFailure = fc.record({
  kind: fc.constant("fail"),
  status: fc.constantFrom(403, 404, 429, 500, 503, 504),
  message: fc.string(),
});
/** A connection is either forbidden or invalid. */
const opaqueFailure = fc.oneof(
  fc.constant({ kind: "fail" as const, status: 403, message: "forbidden" }),
  fc.record({ kind: fc.constant("fail"), status: fc.constant(500), message: fc.string() }),
);

function routes(failure: fc.Arbitrary<RouteAction>): fc.Arbitrary<Route> {
  return fc.record({ resource, action: fc.oneof(backends, failure) });
}

/** A policy whose protocol is fixed has one route, which serves both kinds of traffic. */
function fixed(protocol: ClientPolicy["protocol"], route: fc.Arbitrary<Route>) {
  return fc.record({ route, parent: resource }).map(({ route, parent }): ClientPolicy => ({
    protocol,
    detectTimeoutMs: 10_000,
    http: route,
    opaque: route,
    parent,
  }));
}

const clientPolicy: fc.Arbitrary<ClientPolicy> = fc.oneof(
  fc.record({
    protocol: fc.constant("detect" as const),
    detectTimeoutMs: milliseconds,
    http: routes(httpFailure),
    opaque: routes(opaqueFailure),
    parent: resource,
  }),
  fixed("http1", routes(httpFailure)),
  fixed("http2", routes(httpFailure)),
  fixed("grpc", routes(grpcFailure)),
  fixed("opaque", routes(opaqueFailure)),
  fixed("tls", routes(opaqueFailure)),
);

const clients: fc.Arbitrary<ClientMatch> = fc.oneof(
  fc.constant({ kind: "unauthenticated" as const }),
  fc.constant({ kind: "tls" as const }),
  fc.record({
    kind: fc.constant("identities" as const),
    names: fc.array(name, { maxLength: 3 }),
    suffixes: fc.array(fc.array(name, { maxLength: 3 }), { maxLength: 3 }),
  }),
);
const serverPolicy: fc.Arbitrary<ServerPolicy> = fc.record({
  protocol: fc.constantFrom("detect", "http1", "http2", "grpc", "opaque", "tls"),
  detectTimeoutMs: milliseconds,
  authorizations: fc.array(
    fc.record({
      networks: fc.array(fc.record({ network, except: fc.array(network, { maxLength: 2 }) }), {
        minLength: 1,
        maxLength: 3,
      }),
      clients,
      resource,
    }),
    { maxLength: 3 },
  ),
  // The labels of a policy carry neither namespace nor port.
  resource: resource.map((known) => ({ ...known, namespace: "", port: 0 })),
  probes: fc.uniqueArray(
    fc.record({
      method: fc.constantFrom("GET", "POST"),
      path: name.map((path) => `/${path}`),
    }),
    { maxLength: 3, selector: ({ method, path }) => `${method} ${path}` },
  ),
  probeNetworks: fc.uniqueArray(network, { maxLength: 3, selector: ({ text }) => text }),
}).map(canonical);

/** What a protocol has no room for is not expected back. */
function canonical(policy: ServerPolicy): ServerPolicy {
  const { protocol, probes, probeNetworks } = policy;
  const hasProbes = ["detect", "http1", "http2"].includes(protocol) && probes.length > 0 &&
    probeNetworks.length > 0;
  return {
    ...policy,
    detectTimeoutMs: protocol === "detect" ? policy.detectTimeoutMs : 10_000,
    probes: hasProbes ? probes : [],
    probeNetworks: hasProbes ? probeNetworks : [],
  };
}

/** Networks compared by what they hold: the address may have bits below the prefix. */
function comparable(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(
      value,
      (key, part) => typeof part === "bigint" ? String(part) : key === "text" ? undefined : part,
    ),
  );
}

describe("round trips", () => {
  test("addresses and networks", () => {
    fc.assert(
      fc.property(address, (value) => {
        expect(addressFromWire(addressToWire(value))).toEqual(value);
      }),
      RUNS,
    );
    fc.assert(
      fc.property(network, (value) => {
        expect(networkFromWire(networkToWire(value))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("durations and moments, to the nanosecond", () => {
    fc.assert(
      fc.property(milliseconds, (value) => {
        expect(durationFromWire(durationToWire(value), -1)).toBe(value);
        expect(momentFromWire(momentToWire(value))).toBe(value);
      }),
      RUNS,
    );
  });

  test("endpoints and their changes", () => {
    fc.assert(
      fc.property(endpoint, (value) => {
        expect(endpointFromWire(endpointToWire(value))).toEqual(value);
      }),
      RUNS,
    );
    fc.assert(
      fc.property(endpointUpdate, (value) => {
        const bytes = encodeMessage(Update, endpointUpdateToWire(value));
        expect(endpointUpdateFromWire(decodeMessage(Update, bytes, "Test"))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("profiles", () => {
    fc.assert(
      fc.property(profile, (value) => {
        const bytes = encodeMessage(DestinationProfile, profileToWire(value));
        const retried = value.routes?.some(({ isRetryable }) => isRetryable) === true;
        const budget = retried ? { budget: value.budget ?? DEFAULT_RETRY_BUDGET } : {};
        expect(profileFromWire(decodeMessage(DestinationProfile, bytes, "Test")))
          .toEqual({ ...value, ...budget });
      }),
      RUNS,
    );
  });

  test("client policies", () => {
    fc.assert(
      fc.property(clientPolicy, (value) => {
        const bytes = encodeMessage(OutboundPolicy, clientPolicyToWire(value));
        expect(clientPolicyFromWire(decodeMessage(OutboundPolicy, bytes, "Test"))).toEqual(value);
      }),
      RUNS,
    );
  });

  test("server policies", () => {
    fc.assert(
      fc.property(serverPolicy, (value) => {
        const bytes = encodeMessage(Server, serverPolicyToWire(value));
        const back = serverPolicyFromWire(decodeMessage(Server, bytes, "Test"));
        expect(comparable(back)).toEqual(comparable(value));
      }),
      RUNS,
    );
  });
});

test("bytes that are no message are refused, and told of which call", () => {
  for (const bytes of [[0, 1], [10], [10, 5, 1], [12, 1], [15, 1], [0x80]]) {
    expect(() => decodeMessage(Update, Uint8Array.from(bytes), "/Get"))
      .toThrow("Cannot read a message of /Get");
  }
  expect(decodeMessage(Update, new Uint8Array(0), "/Get")).toEqual({ update: undefined });
});

describe("for a stock proxy", () => {
  test("a core Service has the group that proxies want", () => {
    const parent = { group: "", kind: "Service", name: "web", namespace: "shop", port: 80 };
    const route: Route = {
      resource: defaultResource("http"),
      action: { kind: "fail", status: 403, message: "no" },
    };
    const policy: ClientPolicy = {
      protocol: "detect",
      detectTimeoutMs: 10_000,
      http: route,
      opaque: route,
      parent,
    };
    const { metadata } = clientPolicyToWire(policy);
    expect(metadata?.kind).toMatchObject({
      $case: "resource",
      value: { ...parent, group: "core" },
    });
  });

  test("an authorization without networks is left out, not sent empty", () => {
    const message = serverPolicyToWire({
      protocol: "detect",
      detectTimeoutMs: 1,
      authorizations: [
        { networks: [], clients: { kind: "tls" }, resource: defaultResource("none") },
      ],
      resource: defaultResource("x"),
      probes: [],
      probeNetworks: [],
    });
    expect(message.authorizations).toEqual([]);
    expect(message.labels).toEqual({ group: "", kind: "default", name: "x" });
  });

  test("a route without backends fails instead of being empty", () => {
    const route: Route = {
      resource: defaultResource("http"),
      action: { kind: "backends", backends: [] },
    };
    const back = clientPolicyFromWire(clientPolicyToWire({
      protocol: "http1",
      detectTimeoutMs: 10_000,
      http: route,
      opaque: route,
      parent: defaultResource("p"),
    }));
    expect(back.http.action).toMatchObject({ kind: "fail", status: 500 });
  });
});

type OutboundInit = DeepPartial<OutboundPolicy>;
type ServerInit = DeepPartial<Server>;

const ALL = { path: { kind: { $case: "prefix" as const, value: "/" } } };
const DST = { discovery: { kind: { $case: "dst" as const, value: { path: "a.b:80" } } } };
const BACKEND = { backend: { kind: { $case: "balancer" as const, value: DST } } };
const FIRST = { kind: { $case: "firstAvailable" as const, value: { backends: [BACKEND] } } };
const RULE = { matches: [ALL], backends: FIRST };

describe("a foreign control plane's client policies fail closed", () => {
  function http1(rules: object[], more: object = {}, others: object[] = []): OutboundInit {
    const value = { routes: [{ rules, ...more }, ...others] };
    return { protocol: { kind: { $case: "http1", value } } } as OutboundInit;
  }
  const cases: [string, OutboundInit, RegExp][] = [
    ["no protocol", {}, /unknown protocol/],
    ["no route", { protocol: { kind: { $case: "http1", value: {} } } }, /no HTTP route/],
    ["no opaque route", { protocol: { kind: { $case: "opaque", value: {} } } }, /no route for op/],
    ["several routes", http1([RULE], {}, [{ rules: [RULE] }]), /several HTTP routes/],
    ["several rules", http1([RULE, RULE]), /2 rules/],
    ["hosts", http1([RULE], { hosts: [{ match: { $case: "exact", value: "a" } }] }), /host names/],
    [
      "a path",
      http1([{ ...RULE, matches: [{ path: { kind: { $case: "exact", value: "/" } } }] }]),
      /matches/,
    ],
    [
      "a header",
      http1([{ ...RULE, matches: [{ ...ALL, headers: [{ name: "a" }] }] }]),
      /matches/,
    ],
    [
      "a filter",
      http1([{ ...RULE, filters: [{ kind: { $case: "redirect", value: {} } }] }]),
      /filter redirect/,
    ],
    ["an unknown filter", http1([{ ...RULE, filters: [{}] }]), /of unknown kind/],
    [
      "some failures",
      http1([{
        ...RULE,
        filters: [{
          kind: {
            $case: "failureInjector",
            value: { status: 500, ratio: { numerator: 1, denominator: 2 } },
          },
        }],
      }]),
      /share of the requests/,
    ],
    [
      "an order of backends",
      http1([{
        backends: { kind: { $case: "firstAvailable", value: { backends: [BACKEND, BACKEND] } } },
      }]),
      /order of backends/,
    ],
    [
      "an unknown backend",
      http1([{
        backends: { kind: { $case: "firstAvailable", value: { backends: [{ backend: {} }] } } },
      }]),
      /kind of a backend/,
    ],
    [
      "different routes by HTTP version",
      {
        protocol: {
          kind: {
            $case: "detect",
            value: { http1: { routes: [{ rules: [RULE] }] }, http2: { routes: [] } },
          },
        },
      },
      /different routes/,
    ],
  ];
  test.each(cases)("%s", (_what, init, message) => {
    const { http } = clientPolicyFromWire(OutboundPolicy.fromPartial(init));
    expect(http.action).toMatchObject({ kind: "fail", status: 500 });
    expect(http.action.kind === "fail" && http.action.message).toMatch(message);
    expect(http.action.kind === "fail" && http.action.message).toStartWith("unsupported policy: ");
  });

  test("a backend that fails its share fails them all", () => {
    const failing = {
      ...BACKEND,
      filters: [{ kind: { $case: "failureInjector", value: { status: 500, message: "gone" } } }],
    };
    const shares = [{ weight: 1, backend: BACKEND }, { weight: 1, backend: failing }];
    const backends = { kind: { $case: "randomAvailable", value: { backends: shares } } };
    const { http } = clientPolicyFromWire(OutboundPolicy.fromPartial(http1([{ backends }])));
    expect(http.action).toMatchObject({ kind: "fail", status: 500 });
  });

  test("time-outs and an empty list of matches change nothing", () => {
    const init = http1([{ backends: FIRST, timeouts: { request: { seconds: 1n } } }]);
    const { http } = clientPolicyFromWire(OutboundPolicy.fromPartial(init));
    expect(http.action).toMatchObject({ kind: "backends" });
  });

  test("a part of a profile that is not understood is left out, and never half of it", () => {
    const path = { match: { $case: "path" as const, value: { regex: "/" } } };
    const status = { match: { $case: "status" as const, value: { min: 500, max: 599 } } };
    const odd = { match: undefined };
    const both = { match: { $case: "all" as const, value: { matches: [path, odd] } } };
    const message = DestinationProfile.fromPartial({
      routes: [
        { condition: both, isRetryable: true },
        {},
        { condition: path, responseClasses: [{ condition: odd }, { condition: status }] },
      ],
      retryBudget: { retryRatio: NaN, ttl: { seconds: 10n } },
      dstOverrides: [{ authority: "a:1", weight: 0 }],
    });
    expect(profileFromWire(message)).toEqual({
      fullyQualifiedName: "",
      opaque: false,
      routes: [{
        labels: {},
        match: { kind: "path", pattern: "/" },
        isRetryable: false,
        timeoutMs: 0,
        classes: [{ match: { kind: "status", from: 500, to: 599 }, isFailure: false }],
      }],
    });
  });

  test("an endpoint with an identity of unknown kind is never reached in plain text", () => {
    const message = endpointToWire({
      address: { ip: "10.0.0.1", port: 80 },
      weight: 1,
      labels: {},
      hint: "unknown",
      identity: { name: "a", serverName: "a" },
    });
    if (message.tlsIdentity !== undefined) message.tlsIdentity.strategy = undefined;
    expect(endpointFromWire(message)).toBeUndefined();
  });
});

describe("a foreign control plane's server policies fail closed", () => {
  const anybody = {
    networks: [{ net: networkToWire(parseNetwork("0.0.0.0/0")) }],
    authentication: { permit: { $case: "unauthenticated" as const, value: {} } },
  };
  function detect(httpRoutes: object[], more: object = {}): ServerInit {
    const kind = { $case: "detect", value: { httpRoutes, ...more } };
    return { protocol: { kind }, authorizations: [anybody] } as ServerInit;
  }
  const all = { rules: [{ matches: [ALL] }] };
  const cases: [string, ServerInit][] = [
    ["no protocol", { authorizations: [anybody] }],
    ["a route with a path", detect([{ rules: [{ matches: [{ path: { kind: {} } }] }] }])],
    ["a route with authorizations", detect([{ ...all, authorizations: [anybody] }])],
    ["a route with filters", detect([{ rules: [{ matches: [ALL], filters: [{}] }] }])],
    ["a route with hosts", detect([{ ...all, hosts: [{}] }])],
    ["a rate limit", detect([all], { httpLocalRateLimit: { total: { requestsPerSecond: 1 } } })],
    [
      "a probe that is more than a probe",
      detect([all, {
        metadata: { kind: { $case: "default", value: "probe" } },
        authorizations: [anybody],
        rules: [{ matches: [ALL] }],
      }]),
    ],
    ["only a probe", detect([{ metadata: { kind: { $case: "default", value: "probe" } } }])],
  ];
  test.each(cases)("%s", (_what, init) => {
    const policy = serverPolicyFromWire(Server.fromPartial(init));
    expect(policy.authorizations).toEqual([]);
    expect(policy.probes).toEqual([]);
    expect(policy.resource.name).toStartWith("unsupported policy: ");
  });

  test("an authorization that is not understood is left out, the others stay", () => {
    const init: ServerInit = {
      protocol: { kind: { $case: "opaque", value: {} } },
      authorizations: [anybody, { ...anybody, authentication: {} }, { ...anybody, networks: [] }],
    };
    expect(serverPolicyFromWire(Server.fromPartial(init)).authorizations).toHaveLength(1);
  });

  test("a network whose exception is not understood is left out", () => {
    const networks = [{ ...anybody.networks[0], except: [{}] }];
    const init: ServerInit = {
      protocol: { kind: { $case: "tls", value: {} } },
      authorizations: [{ ...anybody, networks }],
    };
    expect(serverPolicyFromWire(Server.fromPartial(init)).authorizations).toEqual([]);
  });
});
