/**
 * The test cluster itself: two clusters beside each other, one of two nodes, do what clusters do, survive
 * the end of their parts, and leave nothing on the machine.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CACHE } from "../support/cache.ts";
import { Cluster } from "./cluster.ts";
import { hierarchies } from "./control-groups.ts";
import { writeProgramImage } from "./images.ts";
import { removeLeftovers } from "./launch.ts";
import { clusterFolder, clusterLog, testClusterName } from "./plan.ts";
import { clusterObstacle, nodesObstacle } from "./requirements.ts";
import { readState } from "./state.ts";
import { waitFor } from "./wait.ts";

const obstacle = nodesObstacle() ?? clusterObstacle();
if (obstacle !== null) console.warn(`skipped: the test cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 120_000;
const IMAGE = "malla.test/web:1";
const NAMES = {
  one: testClusterName("one"),
  two: testClusterName("two"),
  tied: testClusterName("tied"),
  kept: testClusterName("kept"),
};

/** A pod that serves its own name by HTTP, on one node. */
function webPod(node: string) {
  const labels = { app: "web" };
  const script = "echo $HOSTNAME > /tmp/index.html && exec busybox httpd -f -p 8080 -h /tmp";
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: `on-${node}`, namespace: "default", labels },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: "web",
          image: IMAGE,
          command: ["sh", "-c", script],
          readinessProbe: { httpGet: { path: "/", port: 8080 }, periodSeconds: 1 },
        },
      ],
    },
  };
}

const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "default" },
  spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
};

/** What the programs of a node write into, on machines where nobody hides it from them. */
const PLACES = [
  ...["/etc/cni", "/opt/containerd", "/opt/cni", "/usr/libexec/kubernetes"],
  ...["/run/cni", "/run/containerd", "/run/flannel", "/run/xtables.lock"],
  ...["/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/lib/etcd"],
  ...["/var/log/containers", "/var/log/pods"],
];
const KERNEL = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];

/** What there is on this machine of what these clusters could leave. */
function machine() {
  const names = Object.values(NAMES);
  return {
    places: PLACES.filter((place) => existsSync(place)),
    groups: hierarchies().flatMap((root) =>
      readdirSync(root).filter((group) => names.some((name) => group.includes(name)))
    ),
    kernel: KERNEL.map((name) => readFileSync(`/proc/sys/${name}`, "utf8")),
    mounts: readFileSync("/proc/self/mounts", "utf8").split("\n")
      .filter((line) => line.includes(CACHE)),
    links: readdirSync("/sys/class/net").filter((link) => /^(?:nodes|pods|node\d|up)/.test(link)),
    processes: names.flatMap(processesOf),
    files: names.filter((name) => existsSync(clusterFolder(name)) || existsSync(clusterLog(name))),
  };
}

/** The command lines of processes outside of this test that name a cluster. */
function processesOf(cluster: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return words.includes(`/clusters/${cluster}`) ? [words.replaceAll("\0", " ")] : [];
    } catch {
      // ENOENT: it has ended.
      return [];
    }
  });
}

/** Starts a cluster from another process, which then closes its output and stays. */
function startElsewhere(name: string) {
  const script = `const { Cluster } = await import("${import.meta.dir}/cluster.ts");
    await Cluster.start("${name}");
    console.log("works");
    require("node:fs").closeSync(1);
    await new Promise(() => setInterval(() => {}, 1_000));`;
  return Bun.spawn([process.execPath, "-e", script], { stdout: "pipe", stderr: "inherit" });
}

/** The command lines that hold a text. */
describe.skipIf(obstacle !== null)("test clusters", () => {
  let before: ReturnType<typeof machine>;
  let one: Cluster;
  let two: Cluster;
  const folder = mkdtempSync(join(tmpdir(), "malla-cluster-test-"));

  beforeAll(async () => {
    before = machine();
    one = await Cluster.start(NAMES.one, { nodes: 2 });
    const archive = join(folder, "web.tar");
    await writeProgramImage(archive, { name: IMAGE, programs: ["curl"], entrypoint: ["sh"] });
    await one.loadImage(archive);
    await one.apply([SERVICE, ...one.nodes.map(webPod)]);
    await one.kubectl(["wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s"]);
  }, START_MS);

  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await one.stop();
  }, TEST_MS);

  const ask = async (from: string, url: string) =>
    await one.exec({ namespace: "default", pod: from, container: "web" }, [
      ...["curl", "-s", "-m", "5", url],
    ]);

  test("a service's name leads to the pods of both nodes, from both nodes", async () => {
    for (const from of ["on-node1", "on-node2"]) {
      const found = new Set<string>();
      await waitFor(`both pods answer ${from}`, async () => {
        found.add((await ask(from, "http://web/")).stdout.trim());
        return found.has("on-node1") && found.has("on-node2");
      });
    }
  }, TEST_MS);

  test("kubectl reads logs and runs commands on each node", async () => {
    const target = { namespace: "default", pod: "on-node2", container: "web" };
    expect(await one.exec(target, ["cat"], { input: "a line\n" }))
      .toMatchObject({ code: 0, stdout: "a line\n" });
    expect((await one.exec(target, ["sh", "-c", "exit 7"])).code).toBe(7);
    expect(await one.kubectl(["logs", "on-node2"])).toBe("");
    await expect(one.kubectl(["get", "pod", "nobody"])).rejects.toThrow("not found");
  }, TEST_MS);

  test("an API server that was killed comes back with everything that it had", async () => {
    await one.stopProgram("node1", "kube-apiserver", "SIGKILL");
    expect((await one.tryKubectl(["get", "pods", "--request-timeout=2s"])).code).not.toBe(0);
    await one.startProgram("node1", "kube-apiserver");
    await waitFor("the API server", async () => {
      return (await one.tryKubectl(["get", "pod", "on-node1", "--request-timeout=2s"])).code === 0;
    });
  }, TEST_MS);

  test("a program that ends by itself is started again", async () => {
    const { code } = await one.inNode("node2", ["sh", "-c", "kill -9 $(pidof -s containerd)"]);
    expect(code).toBe(0);
    await waitFor("containerd", async () => {
      const program = (await one.status())["node2"]?.programs
        .find(({ name }) => name === "containerd");
      return program?.failures === 1 && program.pid !== null;
    });
  }, TEST_MS);

  test("a second cluster runs beside it, shares no address, and ends alone", async () => {
    two = await Cluster.start(NAMES.two);
    try {
      await expect(Cluster.start(NAMES.two)).rejects.toThrow("it runs already");
      const service = async (
        cluster: Cluster,
      ) => (await cluster.kubectl([
        "get",
        "service",
        "kubernetes",
        "-o=jsonpath={.spec.clusterIP}",
      ]));
      expect(await service(two)).not.toBe(await service(one));
      expect(await two.kubectl(["get", "pods"])).toBe("");
    } finally {
      await two.stop();
    }
    expect((await ask("on-node1", "http://web/")).stdout).toStartWith("on-node");
  }, START_MS);

  test("a cluster ends with the process that started it, however that ends", async () => {
    const starter = startElsewhere(NAMES.tied);
    try {
      expect(await new Response(starter.stdout).text()).toBe("works\n");
      expect(processesOf(NAMES.tied).length).toBeGreaterThan(0);
    } finally {
      starter.kill("SIGKILL");
    }
    await waitFor("its end", () => processesOf(NAMES.tied).length === 0);
    expect(existsSync(clusterFolder(NAMES.tied))).toBe(false);
  }, START_MS);

  test("what a killed keeper leaves is removed by the next start or end", async () => {
    const starter = startElsewhere(NAMES.kept);
    try {
      await new Response(starter.stdout).text();
      const state = readState(clusterFolder(NAMES.kept));
      process.kill(Number(state?.keeper.split(" ")[0]), "SIGKILL");
      await waitFor("the end of its processes", () => processesOf(NAMES.kept).length === 0);
      expect(existsSync(clusterFolder(NAMES.kept))).toBe(true);
      await removeLeftovers(NAMES.kept);
    } finally {
      starter.kill("SIGKILL");
    }
  }, START_MS);

  test("nothing is left of them", async () => {
    await one.stop();
    expect(machine()).toEqual(before);
  }, TEST_MS);
});
