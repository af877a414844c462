/**
 * Malla in a cluster whose network enforces policies, as a plain one does not: what the installation opens
 * is enough for the mesh to work and no more, and so is the policy that the documentation tells for
 * namespaces that deny what they do not name. The control plane is on another node than the API server,
 * whose calls to the webhook are thus judged like a stranger's.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { enforceNetworkPolicies, enforcerObstacle } from "./enforcer.ts";
import { meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { nodesObstacle } from "./requirements.ts";
import { SHOP, SHOP_URL, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";

const obstacle = nodesObstacle() ?? meshObstacle() ?? enforcerObstacle();
if (obstacle !== null) console.warn(`skipped: network policies in a cluster: ${obstacle}`);

/** Building Kubernetes and the enforcer included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;
const IDENTITIES = `${SHOP}.serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`;
const PAGE = new URL("../../docs/install.md", import.meta.url).pathname;
const VIZ_URL = `http://malla-viz.${CONTROL_NAMESPACE}:8085/live`;
/** What curl says when nothing answers: the enforcer drops what it does not let pass. */
const SILENCE = 28;

interface Pod {
  readonly metadata: { readonly name: string; readonly deletionTimestamp?: string };
  readonly spec: {
    readonly nodeName: string;
    readonly containers: readonly {
      readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
    }[];
  };
  readonly status: { readonly podIP: string };
}

describe.skipIf(obstacle !== null)("where network policies are enforced", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startMeshWorld(testClusterName("netpol"), 2, {
      async prepare(fresh) {
        await enforceNetworkPolicies(fresh);
        await fresh.kubectl(["cordon", "node1"]);
      },
    });
    await cluster.kubectl(["uncordon", "node1"]);
    await cluster.apply(shopObjects());
    await shopReady();
    await cluster.rollout("default", "deployment/stranger");
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  /** Pods become ready by what their kubelets' probes are answered. */
  const shopReady = async () => {
    for (const name of ["web", "client"]) await cluster.rollout(SHOP, `deployment/${name}`);
  };

  const curl = async (name: "client" | "stranger", ...words: readonly string[]) => {
    const where = name === "client" ? SHOP : "default";
    const target = { namespace: where, pod: `deployment/${name}`, container: "client" };
    return await cluster.exec(target, ["curl", "-s", "-m", "10", ...words]);
  };
  const status = async (name: "client" | "stranger", url: string) =>
    (await curl(name, "-o", "/dev/null", "-w", "%{http_code}", url)).stdout;
  const isShutOut = async () =>
    (await curl("stranger", "--connect-timeout", "2", SHOP_URL)).code === SILENCE;

  const podsOf = async (where: string, ...words: readonly string[]) =>
    (await cluster.get("pods", "-n", where, ...words) as { items: Pod[] }).items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined);

  /** Who is who by mutual TLS, and that the figures of these very pods have come to the dashboard. */
  const expectMesh = async () => {
    const pods = (await podsOf(SHOP, "-l", "app=web")).map(({ metadata }) => metadata.name).sort();
    expect(pods).toHaveLength(2);
    await waitFor("the figures of both pods", async () => {
      expect((await curl("client", SHOP_URL)).stdout).toBe(`hello client.${IDENTITIES}\n`);
      const { stdout } = await malla(cluster, ["stat", "pods", "-n", SHOP]);
      return pods.every((name) => new RegExp(`^${name} +1/1 +100\\.00%`, "m").test(stdout));
    });
    const secured = (await curl("client", "http://127.0.0.1:4191/metrics")).stdout.split("\n")
      .filter((line) => line.startsWith("request_total{") && line.includes('dst_deployment="web"'));
    expect(secured.length).toBeGreaterThan(0);
    for (const line of secured) expect(line).toContain(`server_id="web.${IDENTITIES}"`);
    await waitFor("the edge", async () => {
      const { code, stdout } = await malla(cluster, ["edges", "deploy", "-n", SHOP, "-o", "json"]);
      if (code !== 0) return false;
      const edges = JSON.parse(stdout) as { src: string; dst: string; no_tls_reason: string }[];
      return edges.some((edge) =>
        edge.src === "client" && edge.dst === "web" && edge.no_tls_reason === ""
      );
    });
    expect(await malla(cluster, ["check", "--proxy", "-o", "short"])).toMatchObject({ code: 0 });
  };

  test("a policy refuses as long as it is there", async () => {
    expect(await status("stranger", SHOP_URL)).toBe("200");
    const podSelector = { matchLabels: { app: "web" } };
    await cluster.apply([
      {
        apiVersion: "networking.k8s.io/v1",
        kind: "NetworkPolicy",
        metadata: { name: "deny", namespace: SHOP },
        spec: { podSelector, policyTypes: ["Ingress"] },
      },
    ]);
    await waitFor("the refusal", isShutOut);
    await cluster.kubectl(["-n", SHOP, "delete", "networkpolicy", "deny"]);
    await waitFor("the answer", async () => await status("stranger", SHOP_URL) === "200");
  }, TEST_MS);

  test("the mesh works as it is installed", async () => {
    const nodes = (await podsOf(CONTROL_NAMESPACE)).map(({ spec }) => spec.nodeName);
    expect(new Set(nodes)).toEqual(new Set(["node2"]));
    await expectMesh();
  }, TEST_MS);

  test("pods reach the ports of the control plane that it opens, and no others", async () => {
    const open: string[] = [];
    const closed: string[] = [];
    for (const { spec, status: { podIP } } of await podsOf(CONTROL_NAMESPACE)) {
      for (const { name, containerPort } of spec.containers.flatMap(({ ports }) => ports)) {
        const words = "-s -m 10 --connect-timeout 5 -o /dev/null -w %{num_connects}".split(" ")
          .concat(`http://${podIP}:${containerPort}`);
        const isOpen = (await curl("stranger", ...words)).stdout === "1";
        (isOpen ? open : closed).push(`${name} ${containerPort}`);
        // Something listens there: the node's own programs are let through.
        expect((await cluster.inNode("node2", ["curl", ...words])).stdout).toBe("1");
      }
    }
    expect(closed).toEqual(["page 8084"]);
    expect(open.toSorted()).toEqual([
      "admin 9990",
      "admin 9995",
      "admin 9996",
      "api 8085",
      "destination 8086",
      "grpc 8080",
      "policy 8090",
      "webhook 8443",
    ]);
  }, TEST_MS);

  test("the documented policy lets the mesh work where all else is denied", async () => {
    expect(await status("client", VIZ_URL)).toBe("200");
    const [, policy = ""] = /```yaml\n(apiVersion: networking[^`]*)```/
      .exec(readFileSync(PAGE, "utf8")) ?? [];
    await cluster.apply(policy);
    await waitFor("the refusal", isShutOut);
    // Pods that have no connection from before.
    await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment"]);
    await shopReady();
    await expectMesh();
    expect(await isShutOut()).toBe(true);
    expect(await status("client", VIZ_URL)).not.toBe("200");
  }, TEST_MS);
});
