/**
 * The test cluster itself: two clusters beside each other, one of two nodes, do what clusters do, survive
 * the end of their parts, and leave nothing on the machine.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cluster } from "./cluster.ts";
import { hierarchies } from "./control-groups.ts";
import { writeProgramImage } from "./images.ts";
import { removeLeftovers } from "./launch.ts";
import { clusterFolder, clusterLog } from "./plan.ts";
import { clusterObstacle, externalKubeconfig } from "./requirements.ts";
import { readState } from "./state.ts";
import { waitFor } from "./wait.ts";

const obstacle = externalKubeconfig() === undefined
  ? clusterObstacle()
  : "a cluster that was there before us is not ours to test";
if (obstacle !== null) console.warn(`skipped: the test cluster: ${obstacle}`);

const START_MS = 1_200_000;
const TEST_MS = 120_000;
const IMAGE = "malla.test/web:1";

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

/** What this machine has outside of the clusters' namespaces. */
function machine() {
  const folders = ["/run", "/var/lib", "/var/log", "/opt", "/etc", "/usr/libexec"];
  const kernel = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];
  return {
    folders: folders.map((folder) => existsSync(folder) ? readdirSync(folder).toSorted() : []),
    groups: hierarchies().flatMap((root) =>
      readdirSync(root).filter((name) => name.startsWith("malla-test-test"))
    ),
    kernel: kernel.map((name) => readFileSync(`/proc/sys/${name}`, "utf8")),
    mounts: readFileSync("/proc/self/mounts", "utf8"),
    links: readdirSync("/sys/class/net").toSorted(),
    processes: processesOf("/clusters/test-"),
    clusters: ["one", "two", "tied", "kept"].filter((name) =>
      existsSync(clusterFolder(`test-${name}`)) || existsSync(clusterLog(`test-${name}`))
    ),
  };
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
function processesOf(text: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return words.includes(text) ? [words.replaceAll("\0", " ")] : [];
    } catch {
      // ENOENT: it has ended.
      return [];
    }
  });
}

describe.skipIf(obstacle !== null)("test clusters", () => {
  let before: ReturnType<typeof machine>;
  let one: Cluster;
  let two: Cluster;
  const folder = mkdtempSync(join(tmpdir(), "malla-cluster-test-"));

  beforeAll(async () => {
    before = machine();
    one = await Cluster.start("test-one", { nodes: 2 });
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
    two = await Cluster.start("test-two");
    try {
      await expect(Cluster.start("test-two")).rejects.toThrow("it runs already");
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
    const starter = startElsewhere("test-tied");
    await new Response(starter.stdout).text().then((text) => expect(text).toBe("works\n"));
    expect(processesOf("/clusters/test-tied").length).toBeGreaterThan(0);
    starter.kill("SIGKILL");
    await waitFor("its end", () => !existsSync(clusterFolder("test-tied")));
    expect(processesOf("/clusters/test-tied")).toEqual([]);
  }, START_MS);

  test("what a killed keeper leaves is removed by the next start or end", async () => {
    const starter = startElsewhere("test-kept");
    await new Response(starter.stdout).text();
    const state = readState(clusterFolder("test-kept"));
    process.kill(Number(state?.keeper.split(" ")[0]), "SIGKILL");
    await waitFor(
      "the end of its processes",
      () => processesOf("/clusters/test-kept").length === 0,
    );
    expect(existsSync(clusterFolder("test-kept"))).toBe(true);
    await removeLeftovers("test-kept");
    starter.kill("SIGKILL");
    await starter.exited;
  }, START_MS);

  test("nothing is left of them", async () => {
    await one.stop();
    expect(machine()).toEqual(before);
  }, TEST_MS);
});
