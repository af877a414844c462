/**
 * Whom pods admit where nothing but the default policies says it: each of them, set on pods, on
 * namespaces and for the whole cluster, asked by a pod of the mesh, by one without a proxy, and from
 * outside of the cluster's networks.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { INBOUND_POLICIES, type InboundPolicy } from "../../lib/mesh/policy.ts";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { APPS_IMAGE, meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { nginxConfiguration, SHOP, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";
import { deployment, namespace, service } from "./workloads.ts";

const obstacle = meshObstacle();
if (obstacle !== null) console.warn(`skipped: default policies in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;
const ANNOTATION = "config.linkerd.io/default-inbound-policy";
/** An address of documentation: in no network of any cluster. */
const OUTSIDER = "203.0.113.1";

/** Who is admitted: a pod of the mesh, a pod without a proxy, somebody from outside. */
const ADMITS: Readonly<Record<InboundPolicy, readonly [boolean, boolean, boolean]>> = {
  "all-unauthenticated": [true, true, true],
  "all-authenticated": [true, false, false],
  "cluster-unauthenticated": [true, true, false],
  "cluster-authenticated": [true, false, false],
  "deny": [false, false, false],
  "audit": [true, true, true],
};

/** Pods and services of such a namespace have proxies, and do not look at 8081. */
const MESHED = { "linkerd.io/inject": "enabled", "config.linkerd.io/opaque-ports": "8081" };

/** nginx, on a port whose protocol is found out and on one that is opaque. */
function webObjects(name: string, where: string, annotations: Record<string, string> = {}) {
  const container = {
    name: "nginx",
    image: APPS_IMAGE,
    command: ["nginx", "-c", "/etc/nginx/nginx.conf"],
    ports: [{ containerPort: 8080 }, { containerPort: 8081 }],
    readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 },
    // As root it would look for a user that this image does not have.
    securityContext: { runAsUser: 1_000 },
    volumeMounts: [{ name: "configuration", mountPath: "/etc/nginx" }],
  };
  return [
    service(name, where, [8080, 8081]),
    deployment(name, where, {
      containers: [container],
      volumes: [{ name: "configuration", configMap: { name: "nginx" } }],
    }, { annotations }),
  ];
}

describe.skipIf(obstacle !== null)("default policies", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startMeshWorld(testClusterName("policies"));
    await cluster.apply(shopObjects());
    await cluster.rollout(SHOP, "deployment/client");
    await cluster.rollout("default", "deployment/stranger");
    if (!cluster.isLocal) return;
    const words = ["ip", "address", "add", `${OUTSIDER}/32`, "dev", "lo"];
    expect(await cluster.inNode("node1", words)).toMatchObject({ code: 0 });
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  const STATUS = "curl -s -o /dev/null -m 10 -w %{http_code}".split(" ");

  const fromPod = async (name: "client" | "stranger", url: string) => {
    const where = name === "client" ? SHOP : "default";
    const target = { namespace: where, pod: `deployment/${name}`, container: "client" };
    return (await cluster.exec(target, [...STATUS, url])).stdout;
  };

  /** From a node, as somebody who came from far away. */
  const fromOutside = async (where: string, name: string, port: number) => {
    const { items } = await cluster.get("pods", "-n", where, "-l", `app=${name}`) as {
      items: { status: { podIP: string } }[];
    };
    const url = `http://${items[0]?.status.podIP}:${port}/page`;
    return (await cluster.inNode("node1", [...STATUS, "--interface", OUTSIDER, url])).stdout;
  };

  /** What each client gets: a status, or 000 where there is no answer at all. */
  const answers = async (where: string, name: string, port: number) => {
    const url = `http://${name}.${where}:${port}/page`;
    return [
      await fromPod("client", url),
      await fromPod("stranger", url),
      ...cluster.isLocal ? [await fromOutside(where, name, port)] : [],
    ];
  };

  /** Expects on both ports what the policy says. */
  const expectPolicy = async (policy: InboundPolicy, where: string, name: string) => {
    const admitted = ADMITS[policy].slice(0, cluster.isLocal ? 3 : 2);
    // Pods without a proxy reach a new service when their node knows it.
    await waitFor(
      `${where}/${name}`,
      async () => (await answers(where, name, 8080)).every((answer) => answer !== "000"),
    );
    const expected = (refusal: string) => admitted.map((admits) => admits ? "200" : refusal);
    expect([policy, await answers(where, name, 8080)]).toEqual([policy, expected("403")]);
    // A connection that cannot be told why it is refused is reset.
    expect([policy, await answers(where, name, 8081)]).toEqual([policy, expected("000")]);
  };

  test("of pods hold, each for its own", async () => {
    await cluster.apply([
      namespace("by-pod", { ...MESHED, [ANNOTATION]: "deny" }),
      nginxConfiguration("by-pod"),
      ...INBOUND_POLICIES.flatMap((policy) =>
        webObjects(policy, "by-pod", { [ANNOTATION]: policy })
      ),
    ]);
    for (const policy of INBOUND_POLICIES) await cluster.rollout("by-pod", `deployment/${policy}`);
    for (const policy of INBOUND_POLICIES) await expectPolicy(policy, "by-pod", policy);
  }, TEST_MS);

  test("of namespaces hold for pods that say nothing", async () => {
    for (const policy of INBOUND_POLICIES) {
      const where = `by-${policy}`;
      await cluster.apply([
        namespace(where, { ...MESHED, [ANNOTATION]: policy }),
        nginxConfiguration(where),
        ...webObjects("web", where),
      ]);
    }
    for (const policy of INBOUND_POLICIES) {
      await cluster.rollout(`by-${policy}`, "deployment/web");
      await expectPolicy(policy, `by-${policy}`, "web");
      await cluster.kubectl(["delete", "namespace", `by-${policy}`, "--wait=false"]);
    }
  }, TEST_MS);

  test("of the cluster hold for the rest, from the moment when they are changed", async () => {
    await cluster.apply([
      namespace("plain", MESHED),
      nginxConfiguration("plain"),
      ...webObjects("web", "plain"),
    ]);
    await cluster.rollout("plain", "deployment/web");
    await expectPolicy("all-unauthenticated", "plain", "web");
    for (const policy of INBOUND_POLICIES.filter((name) => name !== "all-unauthenticated")) {
      const set = `proxy.defaultInboundPolicy=${policy}`;
      const { code, stdout, stderr } = await malla(cluster, ["upgrade", "--set", set]);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      await cluster.apply(stdout);
      await cluster.rollout(CONTROL_NAMESPACE, "deployment/malla-controller");
      const [meshed, stranger] = ADMITS[policy].map((admits) => admits ? "200" : "403");
      // The pod was there before, and its proxy is told by the new controller.
      await waitFor(`the policy ${policy}`, async () => {
        const [first, second] = await answers("plain", "web", 8080);
        return first === meshed && second === stranger;
      });
      await expectPolicy(policy, "plain", "web");
    }
    // Whoever says something of their own keeps it.
    await expectPolicy("all-unauthenticated", "by-pod", "all-unauthenticated");
  }, TEST_MS * 2);
});
