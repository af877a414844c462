import { beforeEach, describe, expect, test } from "bun:test";
import { FakeDiscovery, ManualClock } from "../../test/support/fake-control.ts";
import { SERVER_PORTS_WATCHED_MAX } from "../base/limits.ts";
import { Fault } from "../base/fault.ts";
import { parseNetwork } from "../mesh/address.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import { silentLogger } from "../telemetry/logger.ts";
import type { InboundPolicy } from "../mesh/policy.ts";
import { defaultPolicy } from "./default-policy.ts";
import { WatchedPolicies } from "./server-policies.ts";
import { StreamHealth } from "./stream-health.ts";

let clock: ManualClock;
let discovery: FakeDiscovery;
let policies: WatchedPolicies;

function policy(
  name: InboundPolicy,
  isOpaque = false,
  needs: "nothing" | "tls" | "identity" = "nothing",
): ServerPolicy {
  const clusterNetworks = [parseNetwork("10.0.0.0/8")];
  return defaultPolicy({ name, clusterNetworks, detectTimeoutMs: 10_000, isOpaque, needs });
}

beforeEach(() => {
  clock = new ManualClock();
  discovery = new FakeDiscovery();
  policies = new WatchedPolicies({
    host: {
      clock,
      random: () => 0,
      times: { initialMs: 3_000, idleMs: 300_000, lifetimeMs: 3_600_000 },
    },
    discovery,
    asker: { context: "", workload: "n:p" },
    health: new StreamHealth("policy", clock, silentLogger),
    defaultPolicy: (port) => policy("all-unauthenticated", port === 3306),
    ports: [80, 3306],
    idleMs: 90_000,
  });
  policies.start();
});

test("declared ports are watched from the start, others from their first use", () => {
  expect(discovery.serverPolicies.opened).toEqual(["80", "3306"]);
  policies.port(9000);
  policies.port(9000);
  expect(discovery.serverPolicies.opened).toEqual(["80", "3306", "9000"]);
});

test("the default policy holds until the answer, and after it when the service is away", () => {
  const cell = policies.port(80);
  expect(cell.current).toEqual(policy("all-unauthenticated"));
  expect(policies.port(3306).current.protocol).toBe("opaque");
  discovery.serverPolicies.next("80", policy("deny"));
  expect(cell.current.authorizations).toEqual([]);
  discovery.serverPolicies.fail("80", new Fault("unavailable", "gone"));
  expect(cell.current.authorizations).toEqual([]);
  clock.advance(100);
  discovery.serverPolicies.next("80", policy("all-authenticated"));
  expect(policies.port(80).current).toEqual(policy("all-authenticated"));
});

test("subscribers hear of changes, not of the same policy again", () => {
  let changes = 0;
  const unsubscribe = policies.port(80).subscribe(() => void changes++);
  discovery.serverPolicies.next("80", policy("deny"));
  discovery.serverPolicies.next("80", policy("deny"));
  expect(changes).toBe(1);
  unsubscribe();
  discovery.serverPolicies.next("80", policy("all-authenticated"));
  expect(changes).toBe(1);
});

test("an unused port is forgotten, a declared or subscribed one is not", () => {
  const unsubscribe = policies.port(9000).subscribe(() => {});
  policies.port(9001);
  for (const port of ["80", "3306", "9000", "9001"]) {
    discovery.serverPolicies.next(port, policy("deny"));
  }
  clock.advance(90_000);
  policies.sweep();
  expect([...discovery.serverPolicies.open.keys()]).toEqual(["80", "3306", "9000"]);
  unsubscribe();
  clock.advance(89_999);
  policies.sweep();
  expect(discovery.serverPolicies.open.has("9000")).toBe(true);
  clock.advance(1);
  policies.sweep();
  expect(discovery.serverPolicies.open.has("9000")).toBe(false);
});

test("the holder of a forgotten cell reads the port's present policy", () => {
  const kept = policies.port(9000);
  discovery.serverPolicies.next("9000", policy("all-unauthenticated"));
  clock.advance(90_000);
  policies.sweep();
  const present = policies.port(9000);
  discovery.serverPolicies.next("9000", policy("deny"));
  expect(kept.current).toBe(present.current);
  let changes = 0;
  kept.subscribe(() => void changes++);
  discovery.serverPolicies.next("9000", policy("all-authenticated"));
  expect(changes).toBe(1);
});

test("too many ports: the longest unused is forgotten, and without one nothing passes", () => {
  for (let index = 2; index < SERVER_PORTS_WATCHED_MAX; index++) {
    policies.port(10_000 + index);
    clock.advance(1);
  }
  policies.port(9000).subscribe(() => {});
  expect(discovery.serverPolicies.count).toBe(SERVER_PORTS_WATCHED_MAX);
  expect(discovery.serverPolicies.open.has("10002")).toBe(false);
  for (let index = 2; index < SERVER_PORTS_WATCHED_MAX; index++) {
    policies.port(10_000 + index).subscribe(() => {});
  }
  expect(policies.port(20_000).current.authorizations).toEqual([]);
  expect(discovery.serverPolicies.count).toBe(SERVER_PORTS_WATCHED_MAX);
});

test("stop ends all watches", () => {
  policies.stop();
  expect(discovery.serverPolicies.count).toBe(0);
  expect(clock.pending).toBe(0);
});

describe("default policies", () => {
  const cases: [InboundPolicy, string[], string][] = [
    ["all-unauthenticated", ["0.0.0.0/0", "::/0"], "unauthenticated"],
    ["all-authenticated", ["0.0.0.0/0", "::/0"], "identities"],
    ["cluster-unauthenticated", ["10.0.0.0/8"], "unauthenticated"],
    ["cluster-authenticated", ["10.0.0.0/8"], "identities"],
    ["audit", ["0.0.0.0/0", "::/0"], "unauthenticated"],
  ];
  for (const [name, networks, clients] of cases) {
    test(name, () => {
      const [authorization, ...more] = policy(name).authorizations;
      expect(more).toEqual([]);
      expect(authorization?.networks.map(({ network }) => network.text)).toEqual(networks);
      expect(authorization?.clients.kind).toBe(clients as "tls");
      expect(authorization?.resource).toMatchObject({ group: "", kind: "default", name });
    });
  }

  test("deny admits nobody", () => expect(policy("deny").authorizations).toEqual([]));

  test("a port may need more than the policy's name", () => {
    const needsIdentity = policy("all-unauthenticated", false, "identity");
    expect(needsIdentity.authorizations[0]?.clients.kind).toBe("identities");
    expect(policy("audit", false, "tls").authorizations[0]?.clients.kind).toBe("tls");
    expect(policy("all-authenticated", false, "tls").authorizations[0]?.clients.kind)
      .toBe("identities");
  });
});
