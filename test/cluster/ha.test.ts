/**
 * Several replicas on two nodes: under constant load the leaders and another controller are killed, and
 * a node is drained. Not one request may fail.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { COMPONENTS, CONTROLLER_LEASE } from "../../lib/install/names.ts";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { ECHO_LOAD, echoObjects } from "./echo.ts";
import { Load, scriptEntries, scriptRuntime } from "./load.ts";
import { meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { SHOP, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";

const obstacle = meshObstacle();
if (obstacle !== null) console.warn(`skipped: several replicas in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 240_000;
const DRAIN = ["--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=180s"];
/** What several replicas serve; the dashboard has one. */
const REPLICATED = ["malla-controller", "malla-identity", "malla-injector"];
const LEASES = [CONTROLLER_LEASE, "malla-injector"];

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName: string };
}

/** As an application's owner says that it must not be drained away as a whole. */
function budget(app: string) {
  return {
    apiVersion: "policy/v1",
    kind: "PodDisruptionBudget",
    metadata: { name: app, namespace: SHOP },
    spec: { minAvailable: 1, selector: { matchLabels: { app } } },
  };
}

describe.skipIf(obstacle !== null)("several replicas, under load", () => {
  let cluster: Cluster;
  let load: Load;

  beforeAll(async () => {
    const options = { programs: [scriptRuntime()], entries: scriptEntries(), install: ["--ha"] };
    cluster = await startMeshWorld(testClusterName("ha"), 2, options);
    await cluster.apply([
      ...shopObjects(),
      ...echoObjects({ "echo": {}, "echo-other": {} }),
      ...["web", "echo"].map(budget),
    ]);
    for (const name of ["web", "echo", "echo-other"]) {
      await cluster.rollout(SHOP, `deployment/${name}`);
    }
    load = new Load(cluster, SHOP, "load");
    await load.start([...ECHO_LOAD]);
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  // Whatever a test did: the load goes on behind it, and nothing has failed.
  afterEach(async () => void await load.goesOn(), TEST_MS);

  const pods = async (namespace: string, label: string) =>
    (await cluster.get("pods", "-n", namespace, "-l", label) as { items: Pod[] }).items;

  const replicas = async (part: string) =>
    await pods(CONTROL_NAMESPACE, `app.kubernetes.io/name=${part}`);

  const leader = async (lease: string) => {
    const words = ["-n", CONTROL_NAMESPACE, "get", "lease", lease];
    return await cluster.kubectl([...words, "-o=jsonpath={.spec.holderIdentity}"]);
  };

  const kill = async (pod: string) => {
    const words = ["-n", CONTROL_NAMESPACE, "delete", "pod", pod];
    await cluster.kubectl([...words, "--grace-period=0", "--force"]);
  };

  /** New pods need all three parts, and the proxies must hear of them. */
  const replaceWeb = async () => {
    await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment/web"]);
    await cluster.rollout(SHOP, "deployment/web", TEST_MS);
  };

  const ready = async () => {
    for (const part of COMPONENTS) {
      await cluster.rollout(CONTROL_NAMESPACE, `deployment/${part}`, TEST_MS);
    }
  };

  test("replicas of each part are on both nodes", async () => {
    for (const part of REPLICATED) {
      const nodes = (await replicas(part)).map(({ spec }) => spec.nodeName);
      expect([part, nodes.length]).toEqual([part, 3]);
      expect([part, new Set(nodes).size]).toEqual([part, 2]);
    }
  }, TEST_MS);

  test.each(LEASES)("the leader by %s is killed, and another one takes over", async (lease) => {
    const former = await leader(lease);
    expect((await replicas(lease)).map(({ metadata }) => metadata.name)).toContain(former);
    await kill(former);
    await replaceWeb();
    await waitFor("another leader", async () => {
      const next = await leader(lease);
      const names = (await replicas(lease)).map(({ metadata }) => metadata.name);
      return next !== former && names.includes(next);
    });
    await ready();
  }, TEST_MS);

  test("a controller that leads nothing is killed", async () => {
    const leading = await leader(CONTROLLER_LEASE);
    const other = (await replicas("malla-controller"))
      .find(({ metadata }) => metadata.name !== leading);
    await kill(other?.metadata.name ?? "");
    await replaceWeb();
    await ready();
  }, TEST_MS);

  test("a node is drained and comes back", async () => {
    const [own] = await pods(SHOP, "app=load");
    const nodes = await cluster.get("nodes") as {
      items: readonly { metadata: { name: string } }[];
    };
    const node = nodes.items.map(({ metadata }) => metadata.name)
      .find((name) => name !== own?.spec.nodeName) ?? "";
    // The cluster's only name server is none of the mesh's.
    await cluster.kubectl(["drain", node, ...DRAIN, "--pod-selector=k8s-app!=kube-dns"]);
    for (const part of REPLICATED) {
      const left = await replicas(part);
      expect([part, left.filter(({ spec }) => spec.nodeName === node)]).toEqual([part, []]);
    }
    await load.goesOn(200);
    await replaceWeb();
    await cluster.kubectl(["uncordon", node]);
    await ready();
    const { code, stdout } = await malla(cluster, ["check", "-o", "short"]);
    expect(code, stdout).toBe(0);
  }, TEST_MS);
});
