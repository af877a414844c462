/** Plans of clusters: addresses that never meet, names that can be, paths that fit. */

import { expect, test } from "bun:test";
import { CLUSTERS_MAX, planCluster } from "./plan.ts";

test("no two clusters share a network, whatever their numbers", () => {
  const plans = Array.from({ length: CLUSTERS_MAX }, (_, number) => planCluster("a", number));
  const networks = plans.flatMap(({ podNetwork, serviceNetwork }) => [podNetwork, serviceNetwork]);
  expect(new Set(networks).size).toBe(2 * CLUSTERS_MAX);
  // Within what proxies take for a cluster's own by default.
  expect(networks.every((network) => network.startsWith("10."))).toBe(true);
});

test("nodes and their pods have networks of their own within the cluster's", () => {
  const { nodes, podNetwork } = planCluster("a", 1, 3);
  expect(podNetwork).toBe("10.65.0.0/16");
  expect(nodes.map(({ ip }) => ip)).toEqual(["10.65.0.1", "10.65.0.2", "10.65.0.3"]);
  expect(nodes.map((node) => node.podNetwork))
    .toEqual(["10.65.1.0/24", "10.65.2.0/24", "10.65.3.0/24"]);
  expect(new Set(nodes.map(({ cgroup }) => cgroup)).size).toBe(3);
  expect(nodes.map(({ isControlPlane }) => isControlPlane)).toEqual([true, false, false]);
});

test.each(["", "A", "1a", "a-", "a/b", "..", "a".repeat(21)])("%p is no name", (name) => {
  expect(() => planCluster(name, 0)).toThrow("Cannot name a cluster");
});

test("numbers out of bounds are refused", () => {
  expect(() => planCluster("a", CLUSTERS_MAX)).toThrow("Cannot number a cluster");
  expect(() => planCluster("a", 0, 0)).toThrow("Cannot plan 0 nodes");
  expect(() => planCluster("a", 0, 6)).toThrow("Cannot plan 6 nodes");
});
