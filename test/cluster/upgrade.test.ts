/**
 * Nobody notices what happens to the mesh: under constant load of all kinds the mesh is upgraded from an
 * earlier build, its parts are restarted and killed, the API server goes away and comes back, and
 * applications are replaced. Not one request may fail.
 */

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { COMPONENTS } from "../../lib/install/names.ts";
import { authorityOf, authorityPem, makeIssuer } from "../../lib/pki/issuer.ts";
import { importKeyPem } from "../../lib/pki/key.ts";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { buildFormer } from "./former.ts";
import { API_PORT } from "./components.ts";
import { ECHO_LOAD, echoObjects } from "./echo.ts";
import { Load, scriptEntries, scriptRuntime } from "./load.ts";
import { loadMalla, MALLA_IMAGE, meshObstacle, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { SHOP, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";

const obstacle = meshObstacle();
if (obstacle !== null) console.warn(`skipped: an upgrade in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;

const HOUR_MS = 3_600_000;

const NEW_VERSION = "2";
const NEW_IMAGE = MALLA_IMAGE.replace(/:.*/, `:${NEW_VERSION}`);
const NAME = "app.kubernetes.io/name";
/** Half a minute until the loss is noticed, and some questions on other connections that are dead as well. */
const LOSS_MS = 90_000;

interface PodList {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly uid: string };
    readonly spec: {
      readonly containers: readonly { readonly image: string }[];
      readonly initContainers?: readonly { readonly image: string }[];
    };
    readonly status: {
      readonly podIP: string;
      readonly containerStatuses?: readonly { readonly restartCount: number }[];
    };
  }[];
}

/** Puts an issuer that ended an hour ago, below the mesh's own anchor, in the place of the present one. */
async function endIssuer(cluster: Cluster): Promise<void> {
  const words = ["-n", CONTROL_NAMESPACE];
  const { data } = await cluster.get("secret", "malla-identity-anchor", ...words) as {
    data: Readonly<Record<"tls.crt" | "tls.key", string>>;
  };
  const text = (key: keyof typeof data) => Buffer.from(data[key], "base64").toString();
  const root = authorityOf(text("tls.crt"), await importKeyPem(text("tls.key")));
  const ended = await makeIssuer(root, {
    name: "identity.malla.cluster.local",
    nowMs: Date.now() - 2 * HOUR_MS,
    lifetimeMs: HOUR_MS,
  });
  const { certificate, key } = authorityPem(ended);
  const present = await cluster.get("secret", "malla-identity-issuer", ...words) as {
    metadata: { labels: object };
    type: string;
  };
  await cluster.apply([{
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: "malla-identity-issuer",
      namespace: CONTROL_NAMESPACE,
      labels: present.metadata.labels,
    },
    type: present.type,
    data: { "crt.pem": btoa(certificate), "key.pem": btoa(key) },
  }]);
}

describe.skipIf(obstacle !== null)("under load", () => {
  let cluster: Cluster;
  let load: Load;
  const folder = mkdtempSync(join(tmpdir(), "malla-former-"));

  beforeAll(async () => {
    const former = await buildFormer(folder);
    if (former === undefined) console.warn("no history here: the upgrade is one to the same build");
    const programs = [scriptRuntime()];
    const entries = scriptEntries();
    const executable = former === undefined ? {} : { executable: former };
    const options = { programs, entries, ...executable };
    cluster = await startMeshWorld(testClusterName("upgrade"), 1, options);
    await loadMalla(cluster, NEW_IMAGE);
    const newer = { "config.linkerd.io/proxy-version": NEW_VERSION };
    await cluster.apply([...shopObjects(), ...echoObjects({ "echo": {}, "echo-new": newer })]);
    for (const name of ["web", "echo", "echo-new"]) {
      await cluster.rollout(SHOP, `deployment/${name}`);
    }
    load = new Load(cluster, SHOP, "load");
    await load.start([...ECHO_LOAD]);
  }, START_MS);

  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await cluster?.stop();
  }, TEST_MS);

  // Whatever a test did: the load goes on behind it, and nothing has failed.
  afterEach(async () => await load.goesOn(), TEST_MS);

  const pods = async (namespace: string, label: string) =>
    (await cluster.get("pods", "-n", namespace, "-l", label) as PodList).items;

  const restart = async (namespace: string, ...names: readonly string[]) => {
    const workloads = names.map((name) => `deployment/${name}`);
    await cluster.kubectl(["-n", namespace, "rollout", "restart", ...workloads]);
    for (const workload of workloads) await cluster.rollout(namespace, workload);
  };

  /** Whether the log of the control plane's pods with a label has a text. */
  const tells = async (label: string, text: string) => {
    const words = ["-n", CONTROL_NAMESPACE, "logs", "-l", label, "--tail=-1"];
    return (await cluster.tryKubectl(words)).stdout.includes(text);
  };

  /** The load's metrics of what it sends, as its proxy tells them. */
  const outbound = async () => {
    const target = { namespace: SHOP, pod: "deployment/load", container: "load" };
    const url = "http://127.0.0.1:4191/metrics";
    const { stdout } = await cluster.exec(target, ["curl", "-s", "-m", "10", url]);
    return stdout.split("\n").filter((line) =>
      line.startsWith("request_total{") && line.includes('direction="outbound"')
    );
  };

  test("proxies of two builds carry it, on the earlier control plane", async () => {
    await waitFor("requests to all workloads", async () => {
      const lines = await outbound();
      expect(lines.filter((line) => !line.includes('tls="true"'))).toEqual([]);
      return ["web", "echo", "echo-new"].every((name) =>
        lines.some((line) => line.includes(`dst_deployment="${name}"`))
      );
    });
    const images = (await pods(SHOP, "app=echo")).flatMap(({ spec }) =>
      (spec.initContainers ?? []).map(({ image }) => image)
    );
    expect(new Set(images)).toEqual(new Set([MALLA_IMAGE, NEW_IMAGE]));
  }, TEST_MS);

  test("the control plane is upgraded, and the earlier proxies go on", async () => {
    const set = `image.version=${NEW_VERSION}`;
    const { code, stdout, stderr } = await malla(cluster, ["upgrade", "--set", set]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await cluster.apply(stdout);
    for (const part of COMPONENTS) await cluster.rollout(CONTROL_NAMESPACE, `deployment/${part}`);
    const images = (await pods(CONTROL_NAMESPACE, NAME))
      .flatMap(({ spec }) => spec.containers.map(({ image }) => image));
    expect(new Set(images)).toContain(NEW_IMAGE);
  }, TEST_MS);

  test("applications are replaced, with the new proxy", async () => {
    await restart(SHOP, "web", "echo", "echo-new");
    const former = await pods(SHOP, "app=web");
    expect(former.flatMap(({ spec }) => (spec.initContainers ?? []).map(({ image }) => image)))
      .toContain(NEW_IMAGE);
  }, TEST_MS);

  test.each([...COMPONENTS])("%s is restarted", async (part) => {
    await restart(CONTROL_NAMESPACE, part);
  }, TEST_MS);

  test(
    "the controller and the identity service are killed, and a pod is replaced meanwhile",
    async () => {
      for (const part of ["malla-controller", "malla-identity"]) {
        await cluster.kubectl([
          ...["-n", CONTROL_NAMESPACE, "delete", "pod", "-l", `${NAME}=${part}`],
          ...["--grace-period=0", "--force"],
        ]);
      }
      await restart(SHOP, "web");
      for (const part of ["malla-controller", "malla-identity"]) {
        await cluster.rollout(CONTROL_NAMESPACE, `deployment/${part}`);
      }
    },
    TEST_MS,
  );

  test("an issuer that has ended holds up new pods alone, and is mended", async () => {
    await endIssuer(cluster);
    // The one that runs keeps the issuer that it has; its successor has none.
    const identity = `${NAME}=malla-identity`;
    const refusal = "its certificate chain ended at";
    await waitFor("the identity service to refuse it", async () => await tells(identity, refusal));
    await cluster.kubectl([
      ...["-n", CONTROL_NAMESPACE, "delete", "pod", "-l", identity],
      ...["--grace-period=0", "--force"],
    ]);
    await waitFor("its successor to refuse it", async () => await tells(identity, refusal));
    const words = ["check", "identity", "-o", "short", "--wait", "0s"];
    const checked = await malla(cluster, words);
    expect(checked.code).toBe(1);
    expect(checked.stdout).toContain("Cannot use the issuer: its certificate ended at");
    expect(checked.stdout).toContain("malla upgrade --rotate-issuer");

    const before = new Set((await pods(SHOP, "app=web")).map(({ metadata }) => metadata.uid));
    await cluster.kubectl(["-n", SHOP, "rollout", "restart", "deployment/web"]);
    await waitFor("a new pod to wait for its certificate", async () => {
      const added = (await pods(SHOP, "app=web")).find(({ metadata }) => !before.has(metadata.uid));
      if (added === undefined) return false;
      const words = ["-n", SHOP, "logs", added.metadata.name, "-c", "linkerd-proxy"];
      return (await cluster.tryKubectl(words)).stdout.includes("cannot get a certificate");
    });
    await load.goesOn();

    const { code, stdout, stderr } = await malla(cluster, ["upgrade", "--rotate-issuer"]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await cluster.apply(stdout);
    await cluster.rollout(CONTROL_NAMESPACE, "deployment/malla-identity");
    await cluster.rollout(SHOP, "deployment/web");
    expect((await malla(cluster, ["check", "identity", "-o", "short"])).code).toBe(0);
  }, TEST_MS);

  test("the API server is killed and comes back, and changes are followed again", async () => {
    if (!cluster.isLocal) return;
    await cluster.stopProgram("node1", "kube-apiserver", "SIGKILL");
    await cluster.startProgram("node1", "kube-apiserver");
    await waitFor("the API server", async () => {
      const words = ["get", "pods", "--request-timeout=2s"];
      return (await cluster.tryKubectl(words)).code === 0;
    });
    await restart(SHOP, "web", "echo");
  }, TEST_MS);

  test(
    "packets to the API server are lost, and changes are followed by new connections",
    async () => {
      if (!cluster.isLocal) return;
      const [controller] = await pods(CONTROL_NAMESPACE, `${NAME}=malla-controller`);
      const ip = controller?.status.podIP ?? "";
      /** Begins or ends to drop what the two send each other; `port`: on one connection alone. */
      const drop = async (action: "-I" | "-D", port?: string) => {
        const [from, to] = port === undefined ? [[], []] : [["--sport", port], ["--dport", port]];
        const rules = [
          ["INPUT", "-s", ip, "-p", "tcp", "--dport", `${API_PORT}`, ...from],
          ["OUTPUT", "-d", ip, "-p", "tcp", "--sport", `${API_PORT}`, ...to],
        ];
        for (const rule of rules) {
          const words = ["iptables", "-w", action, ...rule, "-j", "DROP"];
          expect(await cluster.inNode("node1", words)).toMatchObject({ code: 0 });
        }
      };
      const names = async () => (await pods(SHOP, "app=web")).map(({ metadata }) => metadata.name);
      const known = await names();
      await drop("-I");
      await cluster.kubectl(["-n", SHOP, "scale", "deployment/web", "--replicas=3"]);
      await cluster.rollout(SHOP, "deployment/web");
      const added = (await names()).find((name) => !known.includes(name)) ?? "";
      const isFollowed = async () =>
        (await outbound()).some((line) => line.includes(`dst_pod="${added}"`));
      await load.goesOn();
      expect(await isFollowed()).toBe(false);
      // Whatever was open stays cut, as behind a gateway that has forgotten it; new ones get through.
      const words = ["ss", "-Htn", `( sport = :${API_PORT} )`];
      const { stdout } = await cluster.inNode("node1", words);
      const ports = [...stdout.matchAll(/(\S+?)\]?:(\d+)\s*$/gm)]
        .flatMap(([, from = "", port = ""]) => from.endsWith(ip) ? [port] : []);
      expect(ports.length).toBeGreaterThan(5);
      for (const port of ports) await drop("-I", port);
      await drop("-D");
      await waitFor("requests to the pod that was added", isFollowed, LOSS_MS);
      for (const port of ports) await drop("-D", port);
    },
    TEST_MS,
  );
});
