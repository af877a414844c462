/**
 * The CNI plugin in a real cluster: pods of a namespace that allows no capability are meshed, those that
 * came before the plugin come again, and the nodes' network is as it was when the plugin is gone.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { APPS_IMAGE, MALLA_IMAGE, meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { CNI_BIN_FOLDER, CNI_NET_FOLDER } from "./node-files.ts";
import { testClusterName } from "./plan.ts";
import { nodesObstacle } from "./requirements.ts";
import { SHOP, SHOP_URL, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";
import { deployment, namespace } from "./workloads.ts";

const obstacle = nodesObstacle() ?? meshObstacle();
if (obstacle !== null) console.warn(`skipped: the CNI plugin in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 240_000;
const CNI = "linkerd-cni";
const VALIDATOR = "linkerd-network-validator";
const CLIENT = `client.${SHOP}.serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`;
const CONFLIST = `${CNI_NET_FOLDER}/10-pods.conflist`;

interface Container {
  readonly name: string;
  readonly args?: readonly string[];
  readonly securityContext?: {
    readonly privileged?: boolean;
    readonly capabilities?: { readonly add?: readonly string[] };
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly lastState: { readonly terminated?: { readonly message?: string } };
}

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: {
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status: { readonly initContainerStatuses?: readonly ContainerStatus[] };
}

interface Conflist {
  readonly plugins: readonly { readonly type: string }[];
}

describe.skipIf(obstacle !== null)("the CNI plugin", () => {
  let cluster: Cluster;
  let original = "";
  let early: readonly string[] = [];

  beforeAll(async () => {
    const install = ["--linkerd-cni-enabled"];
    // With both IP versions, so that the redirect of each is looked at by the pods themselves.
    cluster = await startMeshWorld(testClusterName("cni"), 1, { install, dualStack: true });
    original = await onNode("cat", CONFLIST);
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  /** What a command on the node says. */
  const onNode = async (...command: readonly string[]) => {
    const { code, stdout, stderr } = await cluster.inNode("node1", command);
    if (code !== 0) throw new Error(`${command.join(" ")}: ${stderr}${stdout}`);
    return stdout;
  };

  const conflist = async () => JSON.parse(await onNode("cat", CONFLIST)) as Conflist;
  const types = async () => (await conflist()).plugins.map(({ type }) => type);

  const installCni = async () => {
    const [name = "", version = ""] = MALLA_IMAGE.split(":");
    const words = [
      ...["install-cni", "--set", `image.name=${name},image.version=${version}`],
      `--dest-cni-net-dir=${CNI_NET_FOLDER}`,
      `--dest-cni-bin-dir=${CNI_BIN_FOLDER}`,
    ];
    const { code, stdout, stderr } = await malla(cluster, words);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  };

  const pods = async (where: string) =>
    (await cluster.get("pods", "-n", where) as { items: Pod[] }).items;

  const from = async (where: string, name: string, url: string) => {
    const target = { namespace: where, pod: `deployment/${name}`, container: "client" };
    return (await cluster.exec(target, ["curl", "-s", "-m", "10", url])).stdout;
  };

  const eventsOf = async (reason: string) => {
    const words = ["events", "-n", SHOP, "--field-selector", `reason=${reason}`];
    const { items } = await cluster.get(...words) as {
      items: { readonly involvedObject: { readonly name: string } }[];
    };
    return items.map(({ involvedObject }) => involvedObject.name);
  };

  test("is asked for by the check", async () => {
    const { code, stdout } = await malla(cluster, ["check", "--wait", "1s", "-o", "short"]);
    expect(code).toBe(1);
    expect(stdout).toContain("linkerd-cni-plugin");
    expect(stdout).toContain("malla install-cni");
  }, TEST_MS);

  test("keeps pods from starting without it", async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    const { metadata, ...rest } = namespace(SHOP, { "linkerd.io/inject": "enabled" });
    await cluster.apply([
      { ...rest, metadata: { ...metadata, labels } },
      ...shopObjects().slice(1),
    ]);
    await waitFor("the validators' word", async () => {
      const ends = (await pods(SHOP)).map(({ status }) =>
        status.initContainerStatuses?.find(({ name }) => name === VALIDATOR)?.lastState.terminated
      );
      return ends.length === 3 &&
        ends.every((end) => end?.message?.includes("nothing redirects this pod's connections"));
    }, TEST_MS);
    early = (await pods(SHOP)).map(({ metadata: { name } }) => name);
  }, TEST_MS);

  test("has pods come again that came before it", async () => {
    await cluster.apply(await installCni());
    await cluster.rollout(CNI, "daemonset/malla-cni", TEST_MS);
    expect(await types()).toEqual(["bridge", "portmap", "malla-cni"]);
    for (const name of ["web", "client"]) {
      await cluster.rollout(SHOP, `deployment/${name}`, TEST_MS);
    }
    await cluster.rollout("default", "deployment/stranger");
    expect((await pods(SHOP)).filter(({ metadata: { name } }) => early.includes(name))).toEqual([]);
    expect((await eventsOf("RedirectRepaired")).sort()).toEqual([...early].sort());
  }, TEST_MS);

  test("brings pods into the mesh that may do nothing to their network", async () => {
    await waitFor("the first answer", async () => (await from(SHOP, "client", SHOP_URL)) !== "");
    expect(await from(SHOP, "client", SHOP_URL)).toBe(`hello ${CLIENT}\n`);
    expect(await from("default", "stranger", SHOP_URL)).toBe("hello \n");
    for (const { spec } of await pods(SHOP)) {
      const all = [...spec.initContainers ?? [], ...spec.containers];
      expect(spec.initContainers?.map(({ name }) => name)).toEqual([VALIDATOR, "linkerd-proxy"]);
      expect(spec.initContainers?.[0]?.args).toContain(
        "--connect-addr=1.1.1.1:20001,[fd00::1]:20001",
      );
      expect(all.flatMap(({ securityContext: one }) => one?.capabilities?.add ?? [])).toEqual([]);
      expect(all.some(({ securityContext: one }) => one?.privileged === true)).toBe(false);
    }
    const outbound = (await from(SHOP, "client", "http://127.0.0.1:4191/metrics")).split("\n")
      .filter((line) => line.startsWith("response_total{") && line.includes('direction="outbound"'))
      .filter((line) => line.includes('dst_deployment="web"'));
    expect(outbound.length).toBeGreaterThan(0);
    for (const line of outbound) expect(line).toContain('tls="true"');
  }, TEST_MS);

  test(
    "stays when others write the configuration anew, and keeps its login to itself",
    async () => {
      await onNode("sh", "-c", `printf %s '${original}' > ${CONFLIST}`);
      await waitFor("the entry", async () => (await types()).includes("malla-cni"));
      const login = `${CNI_NET_FOLDER}/ZZZ-malla-cni-kubeconfig`;
      expect(await onNode("stat", "-c", "%a", login)).toBe("600\n");
      const words = ["--kubeconfig", login, "auth", "can-i", "--list"];
      const rights = await cluster.inNode("node1", [
        ...cluster.kubectlCommand.slice(0, -2),
        ...words,
      ]);
      expect(rights.stdout).toMatch(/^pods +\[\] +\[\] +\[get list delete\]$/m);
      await waitFor("the plugin's return", async () => {
        const words = ["-n", CNI, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=5s"];
        return (await cluster.tryKubectl(words)).code === 0;
      });
      await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment/client"]);
      await cluster.rollout(SHOP, "deployment/client", TEST_MS);
      expect(await from(SHOP, "client", SHOP_URL)).toBe(`hello ${CLIENT}\n`);
    },
    TEST_MS,
  );

  test("speaks CNI, and has the runtime try again when nobody knows", async () => {
    const plugin = `${CNI_BIN_FOLDER}/malla-cni`;
    const call = async (input: object, ...env: readonly string[]) => {
      const words = ["env", ...env, plugin];
      const outcome = await cluster.inNode("node1", words, { input: JSON.stringify(input) });
      return { code: outcome.code, answer: JSON.parse(outcome.stdout || "null") };
    };
    const kubeconfig = `${CNI_NET_FOLDER}/ZZZ-malla-cni-kubeconfig`;
    const configuration = { cniVersion: "1.0.0", prevResult: { ips: [] }, kubeconfig };
    const pod = (name: string) => `CNI_ARGS=K8S_POD_NAMESPACE=${SHOP};K8S_POD_NAME=${name}`;
    const net = "CNI_NETNS=/proc/self/ns/net";
    expect(await call({}, "CNI_COMMAND=VERSION")).toMatchObject({ code: 0 });
    expect(await call(configuration, "CNI_COMMAND=ADD", net, pod("nobody"))).toEqual({
      code: 0,
      answer: { cniVersion: "1.0.0", ips: [] },
    });
    const nowhere = { ...configuration, kubeconfig: "/nowhere" };
    const lost = await call(nowhere, "CNI_COMMAND=ADD", net, pod("nobody"));
    expect(lost).toMatchObject({ code: 1, answer: { code: 11 } });
    expect(lost.answer.msg).toContain(`Cannot find out whether pod ${SHOP}/nobody is meshed`);
  }, TEST_MS);

  test("is green in the check", async () => {
    const { code, stdout } = await malla(cluster, ["check", "--proxy", "-o", "json"]);
    const { categories } = JSON.parse(stdout) as {
      categories: { categoryName: string; checks: { result: string }[] }[];
    };
    const results = categories.find(({ categoryName }) => categoryName === "linkerd-cni-plugin")
      ?.checks.map(({ result }) => result) ?? [];
    expect(results.length).toBeGreaterThan(3);
    expect(new Set(results)).toEqual(new Set(["success"]));
    expect(code).toBe(0);
  }, TEST_MS);

  test("goes without a trace, and pods without a proxy start as before", async () => {
    await cluster.kubectl(["delete", "-f", "-"], { input: await installCni() });
    expect(await conflist()).toEqual(JSON.parse(original));
    expect((await onNode("ls", CNI_NET_FOLDER)).trim()).toBe("10-pods.conflist");
    expect(await onNode("ls", CNI_BIN_FOLDER)).not.toContain("malla");
    const container = { name: "app", image: APPS_IMAGE, command: ["sleep", "1000000"] };
    await cluster.apply([
      deployment("plain", "default", { containers: [container], terminationGracePeriodSeconds: 0 }),
    ]);
    await cluster.rollout("default", "deployment/plain");
  }, TEST_MS);
});
