/**
 * Malla in a real cluster of two nodes: the image, the control plane by its own service accounts, and an
 * application of foreign programs with mutual TLS, under load while everything around it is replaced.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { MALLA_IMAGE, meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { SHOP, SHOP_URL, shopJob, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";

const obstacle = meshObstacle();
if (obstacle !== null) console.warn(`skipped: Malla in a cluster: ${obstacle}`);

/** The label with a component's name. */
const NAME = "app.kubernetes.io/name";
/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 120_000;
const NAMES = `serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`;

interface Pod {
  readonly metadata: { readonly labels: Readonly<Record<string, string>> };
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses: readonly {
      readonly state: { readonly terminated?: { readonly exitCode: number } };
    }[];
  };
}

describe.skipIf(obstacle !== null)("in a cluster", () => {
  let cluster: Cluster;

  beforeAll(async () => {
    cluster = await startMeshWorld(testClusterName("mesh"), 2);
    await cluster.apply(shopObjects());
    for (const workload of ["web", "client"]) await cluster.rollout(SHOP, `deployment/${workload}`);
    await cluster.rollout("default", "deployment/stranger");
  }, START_MS);

  afterAll(async () => await cluster.stop(), TEST_MS);

  /** What a client's command leaves behind. */
  const from = async (name: "client" | "stranger", ...command: string[]) => {
    const namespace = name === "client" ? SHOP : "default";
    const target = { namespace, pod: `deployment/${name}`, container: "client" };
    return await cluster.exec(target, command);
  };
  const status = async (name: "client" | "stranger") =>
    (await from(name, ..."curl -s -o /dev/null -m 10 -w %{http_code}".split(" "), SHOP_URL)).stdout;

  /** Runs the image once and resolves to its exit code and output. */
  const runOnce = async (name: string, args: readonly string[], security: unknown) => {
    const volume = { name: "run", emptyDir: {} };
    await cluster.apply([
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace: "default" },
        spec: {
          restartPolicy: "Never",
          containers: [
            {
              name,
              image: MALLA_IMAGE,
              args,
              securityContext: { readOnlyRootFilesystem: true, ...security as object },
              volumeMounts: [{ name: "run", mountPath: "/run" }],
            },
          ],
          volumes: [volume],
        },
      },
    ]);
    let pod: Pod | undefined;
    await waitFor(`the end of ${name}`, async () => {
      pod = await cluster.get("pod", name) as Pod;
      return ["Succeeded", "Failed"].includes(pod.status.phase);
    });
    const code = pod?.status.containerStatuses[0]?.state.terminated?.exitCode;
    return { code, output: await cluster.kubectl(["logs", name]) };
  };

  describe("the image", () => {
    const strict = {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      runAsNonRoot: true,
      seccompProfile: { type: "RuntimeDefault" },
    };
    const init = ["init", "--incoming-proxy-port=4143", "--outgoing-proxy-port=4140"]
      .concat("--proxy-uid=2102");
    const capable = {
      ...strict,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
      runAsNonRoot: false,
      runAsUser: 0,
    };

    test(
      "runs as an ordinary user, without rights, on a file system that it cannot write",
      async () => {
        const { code, output } = await runOnce("version", ["version"], strict);
        expect(output).toStartWith("malla ");
        expect(code).toBe(0);
      },
      TEST_MS,
    );

    test.each(["iptables-nft", "iptables-legacy"])("redirects by %s", async (program) => {
      const args = [...init, `--firewall-bin-path=${program}`];
      const { code, output } = await runOnce(program, args, capable);
      expect(output).toContain(`IPv4 redirect applied with ${program}`);
      expect(code).toBe(0);
    }, TEST_MS);

    test("says which rights the redirect needs", async () => {
      const { code, output } = await runOnce("init-refused", init, strict);
      expect(output).toContain("it needs NET_ADMIN and NET_RAW");
      expect(code).toBe(1);
    }, TEST_MS);
  });

  test(
    "pods of a namespace that asks are injected, on both nodes, and reached by mutual TLS",
    async () => {
      const { items } = await cluster.get("pods", "-n", SHOP, "-l", "app=web") as { items: Pod[] };
      expect(items.map(({ metadata }) => metadata.labels["linkerd.io/proxy-deployment"]))
        .toEqual(["web", "web"]);
      if (cluster.isLocal) expect(new Set(items.map(({ spec }) => spec.nodeName)).size).toBe(2);

      expect((await from("client", "curl", "-s", "-m", "10", SHOP_URL)).stdout)
        .toBe(`hello client.${SHOP}.${NAMES}\n`);
      // Both replicas, so that one of them is on the other node.
      await waitFor("both replicas", async () => {
        await status("client");
        const { stdout } = await from("client", "curl", "-s", "http://127.0.0.1:4191/metrics");
        const lines = stdout.split("\n").filter((line) =>
          line.startsWith("request_total{") && line.includes('direction="outbound"')
        );
        expect(
          lines.every((line) =>
            line.includes('tls="true"') && line.includes(`server_id="web.${SHOP}.${NAMES}"`) &&
            line.includes('dst_deployment="web"')
          ),
        ).toBe(true);
        return lines.length === 2;
      });
    },
    TEST_MS,
  );

  test("pods without a proxy reach the mesh in plain text, with no identity", async () => {
    expect((await from("stranger", "curl", "-s", "-m", "10", SHOP_URL)).stdout).toBe("hello \n");
  }, TEST_MS);

  test("a Job ends although its proxy goes on", async () => {
    await cluster.apply([shopJob("once")]);
    const words = ["-n", SHOP, "wait", "--for=condition=Complete", "job/once", "--timeout=60s"];
    await cluster.kubectl(words);
    expect(await cluster.kubectl(["-n", SHOP, "logs", "job/once", "-c", "client"]))
      .toContain(`hello client.${SHOP}.${NAMES}`);
  }, TEST_MS);

  test("a ServiceProfile says how a Service is called, and what is wrong is told", async () => {
    const definitions = await malla(cluster, ["upgrade", "--crds"]);
    expect(definitions).toMatchObject({ code: 0 });
    await cluster.apply(definitions.stdout);
    const kind = "crd/serviceprofiles.linkerd.io";
    await cluster.kubectl(["wait", "--for=condition=Established", kind, "--timeout=60s"]);
    const profile = (route: object) => ({
      apiVersion: "linkerd.io/v1alpha2",
      kind: "ServiceProfile",
      metadata: { name: `web.${SHOP}.svc.cluster.local`, namespace: SHOP },
      spec: { routes: [{ name: "page", condition: { pathRegex: "/page" }, ...route }] },
    });
    await expect(cluster.apply([profile({ isRetryable: "often" })])).rejects.toThrow("isRetryable");
    await cluster.apply([profile({ isRetryable: true, timeout: "soon" })]);
    const annotate = (word: string) =>
      cluster.kubectl(["-n", SHOP, "annotate", "service", "web", `retry.linkerd.io/limit${word}`]);
    await annotate("=often");
    await waitFor("both events", async () => {
      const words = ["-n", SHOP, "--field-selector", "reason=InvalidConfiguration"];
      const { items } = await cluster.get("events", ...words) as {
        items: { involvedObject: { kind: string }; message: string }[];
      };
      const told = (of: string, ...parts: string[]) =>
        items.some(({ involvedObject, message }) =>
          involvedObject.kind === of && parts.every((part) => message.includes(part))
        );
      return told("ServiceProfile", "page", '"soon"') &&
        told("Service", "retry.linkerd.io/limit", '"often"');
    });
    await waitFor("requests of the route", async () => {
      expect(await status("client")).toBe("200");
      const { stdout } = await from("client", "curl", "-s", "http://127.0.0.1:4191/metrics");
      return /^route_request_total\{.*rt_route="page".*\} [1-9]/m.test(stdout);
    });
    await annotate("-");
    await cluster.kubectl(["-n", SHOP, "delete", "serviceprofile", "--all"]);
  }, TEST_MS);

  test("no request fails while the application and the control plane are replaced", async () => {
    // On its own: a command that kubectl waits for ends with the API server.
    const load = `wrk -t1 -c4 -d40s --timeout 10s ${SHOP_URL} > /tmp/load 2>&1 &`;
    await from("client", "sh", "-c", load);
    await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment/web"]);
    await cluster.rollout(SHOP, "deployment/web");
    for (const part of ["malla-controller", "malla-identity"]) {
      await cluster.kubectl(["-n", CONTROL_NAMESPACE, "delete", "pod", "-l", `${NAME}=${part}`]);
      await cluster.rollout(CONTROL_NAMESPACE, `deployment/${part}`);
    }
    if (cluster.isLocal) {
      await cluster.stopProgram("node1", "kube-apiserver", "SIGKILL");
      await cluster.startProgram("node1", "kube-apiserver");
    }
    let report = "";
    await waitFor("the load's report", async () => {
      report = (await from("client", "cat", "/tmp/load")).stdout;
      return report.includes("Requests/sec");
    });
    // Shown beside the report when a request failed.
    const failures = (await from("client", "curl", "-s", "http://127.0.0.1:4191/metrics")).stdout
      .split("\n").filter((line) => /^response_total\{.*(?:error=|status_code="[45])/.test(line));
    expect(report, failures.join("\n")).not.toMatch(/Non-2xx|Socket errors/);
    expect(Number(/(\d+) requests in/.exec(report)?.[1])).toBeGreaterThan(100);
  }, TEST_MS);

  test.each([
    ["all-authenticated", "200", "403"],
    ["deny", "403", "403"],
    ["cluster-unauthenticated", "200", "200"],
  ])("the policy %s is enforced, and probes pass under it", async (policy, meshed, stranger) => {
    const annotations = { "config.linkerd.io/default-inbound-policy": policy };
    const patch = { spec: { template: { metadata: { annotations } } } };
    const words = ["-n", SHOP, "patch", "deployment", "web", "--type=merge"];
    await cluster.kubectl([...words, "-p", JSON.stringify(patch)]);
    // Its pods become ready by the kubelet's probes only.
    await cluster.rollout(SHOP, "deployment/web");
    await waitFor("the former pods' end", async () => {
      const { items } = await cluster.get("pods", "-n", SHOP, "-l", "app=web") as { items: Pod[] };
      return items.length === 2;
    });
    expect(await status("client")).toBe(meshed);
    expect(await status("stranger")).toBe(stranger);
  }, TEST_MS);
});
