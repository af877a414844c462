/** Plans of clusters: addresses that never meet, names that can be, paths that fit. */

import { expect, test } from "bun:test";
import { CLUSTERS_MAX, planCluster } from "./plan.ts";

test("no two clusters share a network, whatever their numbers", () => {
  const plans = Array.from(
    { length: CLUSTERS_MAX },
    (_, number) => planCluster("a", number, { dualStack: true }),
  );
  const networks = plans.flatMap((plan) => [...plan.podNetworks, ...plan.serviceNetworks]);
  expect(new Set(networks).size).toBe(4 * CLUSTERS_MAX);
  // Within what proxies take for a cluster's own by default.
  expect(networks.every((network) => /^(?:10\.|fd00:)/.test(network))).toBe(true);
});

test("nodes and their pods have networks of their own within the cluster's", () => {
  const { nodes, podNetworks } = planCluster("a", 1, { nodes: 3 });
  expect(podNetworks).toEqual(["10.65.0.0/16"]);
  expect(nodes.map(({ ip }) => ip)).toEqual(["10.65.0.1", "10.65.0.2", "10.65.0.3"]);
  expect(nodes.flatMap((node) => node.podNetworks))
    .toEqual(["10.65.1.0/24", "10.65.2.0/24", "10.65.3.0/24"]);
  expect(new Set(nodes.map(({ cgroup }) => cgroup)).size).toBe(3);
  expect(nodes.map(({ isControlPlane }) => isControlPlane)).toEqual([true, false, false]);
});

test("nodes and pods of a dual stack have an address of each version", () => {
  const { nodes: [first, second], serviceNetworks } = planCluster("a", 1, {
    nodes: 2,
    dualStack: true,
  });
  expect(serviceNetworks).toEqual(["10.97.0.0/16", "fd00:64:1:ffff::/108"]);
  expect([first?.ip6, second?.ip6]).toEqual(["fd00:64:1::1", "fd00:64:1::2"]);
  expect(second?.podNetworks).toEqual(["10.65.2.0/24", "fd00:64:1:2::/64"]);
});

test.each(["", "A", "1a", "a-", "a/b", "..", "a".repeat(21)])("%p is no name", (name) => {
  expect(() => planCluster(name, 0)).toThrow("Cannot name a cluster");
});

test("numbers out of bounds are refused", () => {
  expect(() => planCluster("a", CLUSTERS_MAX)).toThrow("Cannot number a cluster");
  expect(() => planCluster("a", 0, { nodes: 0 })).toThrow("Cannot plan 0 nodes");
  expect(() => planCluster("a", 0, { nodes: 6 })).toThrow("Cannot plan 6 nodes");
});
