import { beforeEach, describe, expect, test } from "bun:test";
import { FakeDiscovery, ManualClock } from "../../test/support/fake-control.ts";
import { OUTBOUND_TARGETS_MAX } from "../base/limits.ts";
import { Fault } from "../base/fault.ts";
import { parseAddress, parseNetwork } from "../mesh/address.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import type { ClientPolicy, Profile, Route } from "../mesh/policy.ts";
import { silentLogger } from "../telemetry/logger.ts";
import type { Destination, OutboundTarget } from "./environment.ts";
import { StreamHealth } from "./stream-health.ts";
import { BalancerGauges } from "./balancer-gauges.ts";
import { unnamedLabels } from "../../test/support/metric-labels.ts";
import { prometheusText } from "../telemetry/prometheus.ts";
import { Registry } from "../telemetry/registry.ts";
import { WatchedTargets } from "./targets.ts";

const WEB = "10.43.0.1:80";
const OUTSIDE = "93.184.216.34:443";
const PATH = "web.n.svc.cluster.local:80";

let clock: ManualClock;
let discovery: FakeDiscovery;
let targets: WatchedTargets;
/** Which targets the log names, as often as it does. */
let warned: unknown[];

beforeEach(() => {
  clock = new ManualClock();
  discovery = new FakeDiscovery();
  const health = new StreamHealth("x", clock, silentLogger);
  warned = [];
  targets = new WatchedTargets({
    host: {
      clock,
      random: () => 0,
      times: { initialMs: 3_000, idleMs: 300_000, lifetimeMs: 3_600_000 },
    },
    discovery,
    asker: { context: "", workload: "" },
    health,
    policyHealth: health,
    log: { ...silentLogger, warn: (_message, fields) => void warned.push(fields?.["target"]) },
    profileNetworks: [parseNetwork("10.0.0.0/8")],
    detectTimeoutMs: 10_000,
    idleMs: 5_000,
    lookupMs: 6_000,
  });
});

/** The result of one look-up, as it stands now. */
interface Lookup {
  target: OutboundTarget | null;
  fault: Error | null;
  calls: number;
}

function acquire(address = WEB): Lookup {
  return acquired(parseAddress(address));
}

function acquired(destination: Destination): Lookup {
  const lookup: Lookup = { target: null, fault: null, calls: 0 };
  targets.acquire(destination, (target, fault) => {
    Object.assign(lookup, { target, fault, calls: lookup.calls + 1 });
  });
  return lookup;
}

function route(...paths: string[]): Route {
  const resource = { group: "", kind: "Service", name: "web", namespace: "n", port: 80 };
  const backends = paths.map((path, index) => ({
    resource,
    target: { kind: "balancer", path, defaultRttMs: 30, decayMs: 10_000 } as const,
    weight: index + 1,
  }));
  return { resource, action: { kind: "backends", backends } };
}

function policy(http: Route = route(PATH), opaque: Route = http): ClientPolicy {
  return { protocol: "detect", detectTimeoutMs: 7_000, http, opaque, parent: http.resource };
}

function endpoint(address: string): Endpoint {
  return { address: parseAddress(address), weight: 10_000, labels: {}, hint: "unknown" };
}

const PROFILE: Profile = { fullyQualifiedName: "web.n.svc.cluster.local", opaque: false };
const EMPTY: Profile = { fullyQualifiedName: "", opaque: false };

function answer(profile = PROFILE, clientPolicy = policy()): void {
  discovery.profiles.next(WEB, profile);
  discovery.clientPolicies.next(WEB, clientPolicy);
}

function picked(lookup: Lookup): string[] {
  const balancer = lookup.target?.httpBackends[0]?.balancer;
  const found = new Set<string>();
  for (let index = 0; index < balancer!.size; index++) {
    const state = balancer!.pick(clock.monotonicMs());
    if (state !== null) found.add(state.endpoint.address.ip);
    state?.began(0);
  }
  return [...found].sort();
}

describe("a look-up", () => {
  test("waits for profile and policy, then answers every waiter once", () => {
    const [first, second] = [acquire(), acquire()];
    discovery.profiles.next(WEB, PROFILE);
    expect(first.calls).toBe(0);
    discovery.clientPolicies.next(WEB, policy());
    expect([first.calls, second.calls]).toEqual([1, 1]);
    expect(first.target).toBe(second.target);
    expect(first.target?.authority).toBe("web.n.svc.cluster.local:80");
    expect(first.target?.policy).toEqual(policy());
    expect(acquire().target).toBe(first.target);
    expect(discovery.profiles.opened).toEqual([WEB]);
  });

  test("of a name asks for its profile and policy, and refuses what nobody knows", () => {
    const known = acquired(PATH);
    discovery.profiles.next(PATH, PROFILE);
    discovery.clientPolicies.next(PATH, policy());
    expect(known.target?.policy).toEqual(policy());
    expect(known.target?.authority).toBe(PATH);
    for (const code of ["not_found", "invalid_argument"] as const) {
      const name = `${code}:80`;
      const unknown = acquired(name);
      discovery.profiles.next(name, EMPTY);
      discovery.clientPolicies.fail(name, new Fault(code, "no"));
      const { action } = unknown.target!.policy.http;
      expect(action).toMatchObject({ kind: "fail", status: 502 });
      expect(unknown.target?.httpBackends).toEqual([]);
      clock.advance(60_000);
      // A Service may come later, but no other kind of name.
      const asked = discovery.clientPolicies.opened.filter((path) => path === name).length;
      if (code === "not_found") expect(asked).toBeGreaterThan(1);
      else expect(asked).toBe(1);
      targets.release(unknown.target!);
    }
  });

  test("asks no profile outside the profile networks", () => {
    const lookup = acquire(OUTSIDE);
    expect(discovery.profiles.opened).toEqual([]);
    discovery.clientPolicies.next(OUTSIDE, policy());
    expect(lookup.target?.policy).toEqual(policy());
  });

  test("fails after its time, then at once, and recovers with the control plane", () => {
    const first = acquire();
    clock.advance(5_999);
    expect(first.calls).toBe(0);
    clock.advance(1);
    expect(first.fault).toBeInstanceOf(Fault);
    expect(first.fault?.message).toContain(WEB);
    expect(acquire().fault).not.toBeNull();
    expect(warned).toEqual([WEB]);
    for (let seconds = 0; seconds < 4 && discovery.profiles.count === 0; seconds++) {
      clock.advance(100);
    }
    answer();
    expect(acquire().target).not.toBeNull();
    expect(first.calls).toBe(1);
  });

  test("names why that answer is missing which is, not why the other one is", () => {
    const lookup = acquire();
    clock.advance(5_900);
    discovery.clientPolicies.fail(WEB, new Fault("unavailable", "policies are gone"));
    discovery.profiles.fail(WEB, new Fault("unavailable", "profiles are gone"));
    clock.advance(100);
    expect(lookup.fault?.message).toContain("no answer about its policy");
    expect(lookup.fault?.cause).toMatchObject({ message: "policies are gone" });
  });

  test("tries a stream again that gives no first answer", () => {
    const lookup = acquire();
    clock.advance(3_100);
    expect(discovery.clientPolicies.opened.length).toBe(2);
    answer();
    expect(lookup.target).not.toBeNull();
  });

  test("of one target too many is refused", () => {
    for (let index = 0; index < OUTBOUND_TARGETS_MAX; index++) {
      acquire(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}:80`);
    }
    expect(acquire("10.99.0.1:80").fault).toMatchObject({ code: "resource_exhausted" });
    expect(acquire("10.99.0.2:80").fault).toMatchObject({ code: "resource_exhausted" });
    expect(warned).toEqual(["10.99.0.1:80"]);
  });
});

describe("what the control plane does not know", () => {
  test("goes to the original destination without policy and profile", () => {
    const lookup = acquire(OUTSIDE);
    discovery.clientPolicies.fail(OUTSIDE, new Fault("not_found", "?"));
    expect(lookup.target?.policy.parent.name).toBe("fallback");
    expect(lookup.target?.authority).toBe(OUTSIDE);
    expect(picked(lookup)).toEqual(["93.184.216.34"]);
    expect(lookup.target?.policy.detectTimeoutMs).toBe(10_000);
  });

  test("goes to the profile's endpoint when the address is a pod", () => {
    const lookup = acquire();
    const pod = { ...endpoint("10.42.0.7:80"), identity: { name: "a", serverName: "a" } };
    discovery.profiles.next(WEB, { ...EMPTY, endpoint: pod });
    discovery.clientPolicies.fail(WEB, new Fault("unimplemented", "old control plane"));
    expect(lookup.target?.policy.parent.name).toBe("endpoint");
    expect(lookup.target?.httpBackends[0]?.balancer.pick(0)?.endpoint).toEqual(pod);
  });

  test("gets its policy when there is one later", () => {
    const lookup = acquire(OUTSIDE);
    discovery.clientPolicies.fail(OUTSIDE, new Fault("not_found", "?"));
    clock.advance(100);
    discovery.clientPolicies.next(OUTSIDE, policy());
    expect(lookup.target?.policy).toEqual(policy());
  });

  test("a refused profile is no profile", () => {
    const lookup = acquire();
    discovery.clientPolicies.next(WEB, policy());
    discovery.profiles.fail(WEB, new Fault("invalid_argument", "?"));
    expect(lookup.target?.authority).toBe(WEB);
    clock.advance(100_000);
    expect(discovery.profiles.opened.length).toBe(1);
  });
});

describe("rules between profile and policy", () => {
  test("an opaque profile makes the target opaque", () => {
    const lookup = acquire();
    answer({ ...PROFILE, opaque: true });
    expect(lookup.target?.policy.protocol).toBe("opaque");
    discovery.profiles.next(WEB, PROFILE);
    expect(lookup.target?.policy.protocol).toBe("detect");
  });

  test("a pod's endpoint wins over the policy, but not over an egress network's", () => {
    const lookup = acquire();
    const profile = { ...EMPTY, endpoint: endpoint("10.42.0.7:80") };
    answer(profile);
    expect(lookup.target?.policy.parent.name).toBe("endpoint");
    const forbidden: Route = {
      resource: { group: "policy", kind: "EgressNetwork", name: "e", namespace: "n", port: 0 },
      action: { kind: "fail", status: 403, message: "traffic not allowed" },
    };
    discovery.clientPolicies.next(WEB, policy(forbidden));
    expect(lookup.target?.policy.http).toEqual(forbidden);
    expect(lookup.target?.httpBackends).toEqual([]);
  });
});

describe("endpoints", () => {
  test("come from one watch for all who send there, by kind of traffic", () => {
    const [one, two] = [acquire(), acquire("10.43.0.2:80")];
    answer();
    discovery.profiles.next("10.43.0.2:80", PROFILE);
    discovery.clientPolicies.next("10.43.0.2:80", policy());
    expect(discovery.endpoints.opened).toEqual([PATH]);
    expect(one.target?.httpBackends[0]?.balancer).toBe(two.target!.httpBackends[0]!.balancer);
    expect(one.target?.httpBackends[0]?.balancer).not.toBe(one.target!.opaqueBackends[0]!.balancer);
    const endpoints = [endpoint("10.42.0.1:80"), endpoint("10.42.0.2:80")];
    discovery.endpoints.next(PATH, { kind: "add", endpoints, labels: {} });
    expect(picked(one)).toEqual(["10.42.0.1", "10.42.0.2"]);
    expect(one.target?.opaqueBackends[0]?.balancer.size).toBe(2);
  });

  test("that are known reach a balancer that comes later", () => {
    acquire();
    answer();
    const endpoints = [endpoint("10.42.0.1:80")];
    discovery.endpoints.next(PATH, { kind: "add", endpoints, labels: { service: "web" } });
    // The same destination with another measure is another balancer.
    const other = acquire("10.43.0.2:80");
    const http = route(PATH);
    const [backend] = http.action.kind === "backends" ? http.action.backends : [];
    const target = { kind: "balancer", path: PATH, defaultRttMs: 99, decayMs: 1 } as const;
    discovery.profiles.next("10.43.0.2:80", PROFILE);
    discovery.clientPolicies.next(
      "10.43.0.2:80",
      policy({ ...http, action: { kind: "backends", backends: [{ ...backend!, target }] } }),
    );
    expect(discovery.endpoints.opened).toEqual([PATH]);
    const state = other.target?.httpBackends[0]?.balancer.pick(0);
    expect(state?.endpoint).toEqual(endpoint("10.42.0.1:80"));
    expect(state?.setLabels).toEqual({ service: "web" });
  });

  test("that stay keep their state when a new stream replaces the old one", () => {
    const lookup = acquire();
    answer();
    const endpoints = [endpoint("10.42.0.1:80"), endpoint("10.42.0.2:80")];
    discovery.endpoints.next(PATH, { kind: "add", endpoints, labels: {} });
    discovery.endpoints.next(PATH, {
      kind: "remove",
      addresses: [parseAddress("10.42.0.2:80")],
    });
    const balancer = lookup.target!.httpBackends[0]!.balancer;
    const kept = balancer.pick(0);
    discovery.endpoints.fail(PATH, new Fault("unavailable", "restarting"));
    expect(balancer.size).toBe(1);
    clock.advance(100);
    const now = [endpoint("10.42.0.1:80"), endpoint("10.42.0.3:80")];
    discovery.endpoints.next(PATH, { kind: "add", endpoints: now, labels: {} });
    expect(picked(lookup)).toEqual(["10.42.0.1", "10.42.0.3"]);
    discovery.endpoints.fail(PATH, new Fault("unavailable", "restarting"));
    clock.advance(100);
    discovery.endpoints.next(PATH, { kind: "add", endpoints: now.slice(0, 1), labels: {} });
    expect(balancer.size).toBe(1);
    expect(balancer.pick(0)).toBe(kept);
  });

  test("are gone when the destination is, and come back with it", () => {
    const lookup = acquire();
    answer();
    const add = { kind: "add", endpoints: [endpoint("10.42.0.1:80")], labels: {} } as const;
    discovery.endpoints.next(PATH, add);
    discovery.endpoints.fail(PATH, new Fault("not_found", "deleted"));
    expect(lookup.target?.httpBackends[0]?.balancer.size).toBe(0);
    clock.advance(100);
    discovery.endpoints.next(PATH, add);
    expect(lookup.target?.httpBackends[0]?.balancer.size).toBe(1);
  });

  test("a new policy keeps the balancers that stay and ends the others", () => {
    const lookup = acquire();
    answer(PROFILE, policy(route(PATH, "old.n.svc.cluster.local:80")));
    const [kept, ended] = lookup.target!.httpBackends.map(({ balancer }) => balancer);
    expect(lookup.target?.httpBackends.map(({ weight }) => weight)).toEqual([1, 2]);
    expect(discovery.endpoints.count).toBe(2);
    discovery.clientPolicies.next(WEB, policy());
    expect(lookup.target?.httpBackends[0]?.balancer).toBe(kept!);
    expect([...discovery.endpoints.open.keys()]).toEqual([PATH]);
    expect(ended?.size).toBe(0);
  });

  test("the same policy again changes nothing", () => {
    const lookup = acquire();
    answer();
    const before = lookup.target?.httpBackends;
    discovery.clientPolicies.next(WEB, policy());
    discovery.profiles.next(WEB, { ...PROFILE });
    expect(lookup.target?.httpBackends).toBe(before!);
  });
});

describe("an unused target", () => {
  test("is dropped with its streams and balancers after the idle time, not sooner", () => {
    const lookup = acquire();
    answer();
    clock.advance(20_000);
    expect(targets.size).toEqual({ targets: 1, destinations: 1 });
    targets.release(lookup.target!);
    clock.advance(4_999);
    targets.release(acquire().target!);
    clock.advance(4_999);
    expect(targets.size.targets).toBe(1);
    clock.advance(1);
    expect(targets.size).toEqual({ targets: 0, destinations: 0 });
    expect([discovery.profiles.count, discovery.clientPolicies.count]).toEqual([0, 0]);
    expect(discovery.endpoints.count).toBe(0);
    expect(clock.pending).toBe(0);
    const again = acquire();
    answer();
    expect(again.target).not.toBe(lookup.target);
  });

  test("is dropped when nobody was ever answered", () => {
    acquire();
    clock.advance(6_000);
    clock.advance(5_000);
    expect(targets.size.targets).toBe(0);
    expect(clock.pending).toBe(0);
  });

  test("known targets keep their last state while the control plane is away", () => {
    const lookup = acquire();
    answer();
    for (let minute = 0; minute < 10; minute++) {
      discovery.profiles.fail(WEB, new Fault("unavailable", "gone"));
      discovery.clientPolicies.fail(WEB, new Fault("unavailable", "gone"));
      clock.advance(60_000);
    }
    expect(lookup.target?.policy).toEqual(policy());
    expect(acquire().target).toBe(lookup.target);
  });

  test("stop ends everything", () => {
    const lookup = acquire();
    const waiting = acquire("10.43.0.2:80");
    answer();
    targets.stop();
    expect(waiting.fault).not.toBeNull();
    targets.release(lookup.target!);
    expect(clock.pending).toBe(0);
    expect(targets.size).toEqual({ targets: 0, destinations: 0 });
  });
});

describe("a ServiceProfile", () => {
  const profileRoute = {
    labels: { route: "all" },
    match: { kind: "path", pattern: "/.*" },
    isRetryable: true,
    timeoutMs: 0,
    classes: [],
  } as const;
  const timeouts = { requestMs: 1, responseMs: 0, idleMs: 0 };

  test("its routes decide in place of the policy's timeouts, while it has some", () => {
    const lookup = acquire();
    answer(PROFILE, policy({ ...route(PATH), timeouts }));
    expect(lookup.target?.policy.http.timeouts).toEqual(timeouts);
    expect(lookup.target?.profileRoutes).toBeNull();
    const budget = lookup.target?.budget;
    discovery.profiles.next(WEB, { ...PROFILE, routes: [profileRoute] });
    expect(lookup.target?.policy.http.timeouts).toBeUndefined();
    const routes = lookup.target?.profileRoutes;
    expect(routes).not.toBeNull();
    expect(lookup.target?.budget).toBe(budget!);
    discovery.profiles.next(WEB, { ...PROFILE, routes: [profileRoute] });
    expect(lookup.target?.profileRoutes).toBe(routes!);
    discovery.profiles.next(WEB, PROFILE);
    expect(lookup.target?.policy.http.timeouts).toEqual(timeouts);
    expect(lookup.target?.profileRoutes).toBeNull();
  });

  test("another budget begins anew, the same one goes on", () => {
    const lookup = acquire();
    answer();
    const usual = lookup.target?.budget;
    const budget = { ratio: 0.5, minPerSecond: 1, ttlMs: 10_000 };
    discovery.profiles.next(WEB, { ...PROFILE, budget });
    const own = lookup.target?.budget;
    expect(own).not.toBe(usual!);
    discovery.profiles.next(WEB, { ...PROFILE, budget: { ...budget }, routes: [profileRoute] });
    expect(lookup.target?.budget).toBe(own!);
  });

  test("a split of the traffic takes the place of the Service's endpoints", () => {
    const lookup = acquire();
    answer();
    const overrides = ["v1", "v2"].map((name, index) => ({
      authority: `${name}.n.svc.cluster.local:80`,
      weight: 1 + index,
    }));
    discovery.profiles.next(WEB, { ...PROFILE, overrides });
    expect(lookup.target?.httpBackends.map(({ weight }) => weight)).toEqual([1, 2]);
    expect(lookup.target?.opaqueBackends).toHaveLength(2);
    expect([...discovery.endpoints.open.keys()].sort())
      .toEqual(overrides.map(({ authority }) => authority));
    expect(lookup.target?.policy.http.action).toMatchObject({
      backends: [{ resource: { kind: "Service", name: "v1", namespace: "n", port: 80 } }, {}],
    });
  });
});

test.each(
  [
    ["http", "httpBackends"],
    ["tcp", "opaqueBackends"],
  ] as const,
)(
  "the balancers in use for %s are shown with their endpoints, and gone with their target",
  (traffic, backends) => {
    const registry = new Registry();
    const gauges = new BalancerGauges(registry, () => targets.balancers(), true);
    const lookup = acquire();
    answer();
    discovery.endpoints.next(PATH, {
      kind: "add",
      endpoints: [endpoint("10.42.0.1:80"), endpoint("10.42.0.2:80")],
      labels: {},
    });
    const shown = (name: string) => {
      gauges.refresh();
      const start = `outbound_${traffic}_balancer_${name}{`;
      return prometheusText(registry).split("\n").filter((line) => line.startsWith(start));
    };
    expect(shown("endpoints")).toEqual([
      expect.stringMatching(/backend_name="web".*endpoint_state="ready"} 2$/),
      expect.stringMatching(/parent_name="web".*endpoint_state="pending"} 0$/),
    ]);
    expect(shown("p2c_endpoints")).toEqual([expect.stringMatching(/} 2$/)]);
    expect(shown("p2c_updates_total")).toEqual([
      expect.stringMatching(/op="Add"} 1$/),
      expect.stringMatching(/op="Remove"} 0$/),
      expect.stringMatching(/op="DNE"} 0$/),
    ]);
    discovery.endpoints.next(PATH, { kind: "none", exists: true });
    lookup.target![backends][0]!.balancer.wait({ picked() {} });
    expect(shown("p2c_endpoints")).toEqual([expect.stringMatching(/} 0$/)]);
    expect(shown("p2c_updates_total")).toContainEqual(expect.stringMatching(/op="DNE"} 1$/));
    expect(shown("queue_length")).toEqual([expect.stringMatching(/parent_name="web".*} 1$/)]);
    expect(shown("queue_requests_total")).toEqual([expect.stringMatching(/} 1$/)]);
    expect(shown("queue_latency_seconds_count")).toEqual([expect.stringMatching(/} 0$/)]);
    clock.advance(20);
    const again = { endpoints: [endpoint("10.42.0.1:80")], labels: {} };
    discovery.endpoints.next(PATH, { kind: "add", ...again });
    expect(shown("queue_length")).toEqual([expect.stringMatching(/} 0$/)]);
    expect(shown("queue_latency_seconds_bucket")).toEqual(
      ["0.0005", "0.005", "0.05", "0.5", "1", "3", "+Inf"].map((bound, i) =>
        expect.stringMatching(new RegExp(`le="${RegExp.escape(bound)}"} ${i < 2 ? 0 : 1}$`))
      ),
    );
    expect(unnamedLabels(registry)).toEqual([]);
    targets.release(lookup.target!);
    clock.advance(10_000);
    expect(shown("endpoints")).toEqual([]);
    expect(shown("queue_requests_total")).toEqual([]);
  },
);
