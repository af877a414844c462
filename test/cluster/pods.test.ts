/**
 * The life of pods in a real cluster: what starts before what, what ends with what, what reaches an
 * application that admits nobody, and pods that are not the usual ones.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE } from "./control-plane.ts";
import { foreignObstacle, ForeignPrograms } from "./foreign-programs.ts";
import { Load } from "./load.ts";
import { APPS_IMAGE, loadProgramImage, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { nginxConfiguration, SHOP, SHOP_URL, shopObjects } from "./shop.ts";
import { waitFor } from "./wait.ts";
import { deployment, job, namespace, service, statefulSet } from "./workloads.ts";

const obstacle = foreignObstacle();
if (obstacle !== null) console.warn(`skipped: the life of a pod: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;
const CLIENT = `client.${SHOP}.serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`;

/** What the container with tools is made of. */
const TOOLS_IMAGE = "malla.test/tools:1";

/** The two kinds of sidecars, by the annotations that ask for them. */
const CLASSIC = {
  "config.linkerd.io/proxy-enable-native-sidecar": "false",
  "config.linkerd.io/proxy-admin-shutdown": "enabled",
};
/** An ordinary container does not end by itself: whoever is done ends it. */
const END_PROXY = "curl -s -X POST http://127.0.0.1:4191/shutdown;";

interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly state: { readonly terminated?: { readonly exitCode: number } };
}

interface Pod {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: {
    readonly containers: readonly { readonly name: string }[];
    readonly initContainers?: readonly { readonly name: string }[];
  };
  readonly status: {
    readonly phase: string;
    readonly podIP: string;
    readonly podIPs: readonly { readonly ip: string }[];
    readonly hostIP: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

describe.skipIf(obstacle !== null)("in the life of a pod", () => {
  let cluster: Cluster;
  let programs: ForeignPrograms;

  beforeAll(async () => {
    programs = await ForeignPrograms.build();
    cluster = await startMeshWorld(testClusterName("pods"), 1, {
      ...programs.world,
      dualStack: true,
    });
    await cluster.apply(shopObjects());
    for (const workload of ["web", "client"]) await cluster.rollout(SHOP, `deployment/${workload}`);
    await cluster.rollout("default", "deployment/stranger");
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  const from = async (name: "client" | "stranger", ...command: readonly string[]) => {
    const where = name === "client" ? SHOP : "default";
    const target = { namespace: where, pod: `deployment/${name}`, container: "client" };
    return await cluster.exec(target, command, { timeoutMs: TEST_MS });
  };

  const curl = (url: string) => ["curl", "-s", "-m", "10", url];
  const statusFrom = async (name: "client" | "stranger", url: string) =>
    (await from(name, ...curl(url), "-o", "/dev/null", "-w", "%{http_code}")).stdout;

  const podsOf = async (where: string, label: string) =>
    (await cluster.get("pods", "-n", where, "-l", label) as { items: Pod[] }).items;

  /** The metrics of a pod's proxy with all these parts, as lines. */
  const metrics = async (where: string, pod: string, container: string, ...parts: string[]) => {
    const target = { namespace: where, pod, container };
    const { stdout } = await cluster.exec(target, curl("http://127.0.0.1:4191/metrics"));
    return stdout.split("\n").filter((line) => parts.every((part) => line.includes(part)));
  };

  const sum = (lines: readonly string[]) =>
    lines.reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);

  test.each([["native", {}, ""], ["ordinary", CLASSIC, END_PROXY]])(
    "a Job has the mesh from its first moment, and ends with its %s sidecar",
    async (kind, annotations, end) => {
      const name = `job-${kind}`;
      const command = ["sh", "-c", `${curl(SHOP_URL).join(" ")}; code=$?; ${end} exit $code`];
      const spec = {
        serviceAccountName: "client",
        containers: [{ name: "once", image: APPS_IMAGE, command }],
      };
      await cluster.apply([job(name, SHOP, spec, annotations)]);
      await cluster.kubectl([
        ...["-n", SHOP, "wait", "--for=condition=Complete", `job/${name}`, "--timeout=60s"],
      ]);
      expect(await cluster.kubectl(["-n", SHOP, "logs", `job/${name}`, "-c", "once"]))
        .toContain(`hello ${CLIENT}\n`);
      const [pod] = await podsOf(SHOP, `job-name=${name}`);
      const { containerStatuses = [], initContainerStatuses = [] } = pod?.status ?? {};
      const ended = [...containerStatuses, ...initContainerStatuses].map((
        { name: container, state },
      ) => [container, state.terminated?.exitCode]);
      expect(new Map(ended as [string, number][])).toEqual(
        new Map([["once", 0], ["linkerd-proxy", 0], ["linkerd-init", 0]]),
      );
      const native = pod?.spec.initContainers?.some(({ name: init }) => init === "linkerd-proxy");
      expect(native).toBe(kind === "native");
    },
    TEST_MS,
  );

  test(
    "init containers have the mesh by a native sidecar, and the plain network by an ordinary one",
    async () => {
      const container = (name: string, command: readonly string[]) => {
        return { name, image: APPS_IMAGE, command };
      };
      const spec = {
        serviceAccountName: "client",
        initContainers: [container("first", curl(SHOP_URL))],
        containers: [container("app", ["sleep", "1000000"])],
        terminationGracePeriodSeconds: 0,
      };
      await cluster.apply([
        deployment("init-native", SHOP, spec),
        deployment("init-ordinary", SHOP, spec, { annotations: CLASSIC }),
      ]);
      for (const [name, client] of [["init-native", CLIENT], ["init-ordinary", ""]]) {
        await cluster.rollout(SHOP, `deployment/${name}`);
        const words = ["-n", SHOP, "logs", `deployment/${name}`, "-c", "first"];
        expect(await cluster.kubectl(words)).toBe(`hello ${client}\n`);
      }
      await cluster.kubectl(["-n", SHOP, "delete", "deployment", "init-native", "init-ordinary"]);
    },
    TEST_MS,
  );

  test("pods of both kinds are deleted under constant load, and no request fails", async () => {
    const spec = { containers: [programs.nginx()], volumes: programs.volumes };
    const kinds = { "drained-native": {}, "drained-ordinary": CLASSIC };
    for (const [name, annotations] of Object.entries(kinds)) {
      await cluster.apply([
        service(name, SHOP, [8080]),
        deployment(name, SHOP, spec, { replicas: 2, annotations }),
      ]);
    }
    for (const name of Object.keys(kinds)) await cluster.rollout(SHOP, `deployment/${name}`);
    const load = new Load(cluster, SHOP, "load");
    await load.start(
      Object.keys(kinds).flatMap((name) => [
        `${name}=get,http://${name}.${SHOP}:8080/page,40`,
        `${name}-new=new,http://${name}.${SHOP}:8080/page,10`,
      ]),
    );
    for (const name of [...Object.keys(kinds), ...Object.keys(kinds)]) {
      const [pod] = await podsOf(SHOP, `app=${name}`);
      await cluster.kubectl(["-n", SHOP, "delete", "pod", pod?.metadata.name ?? ""]);
      await cluster.rollout(SHOP, `deployment/${name}`);
      await load.goesOn();
    }
    await cluster.kubectl(["-n", SHOP, "delete", "deployment", "load", ...Object.keys(kinds)]);
  }, TEST_MS);

  describe("with several containers and ports", () => {
    const containers = () => [
      programs.nginx({
        livenessProbe: { httpGet: { path: "/alive", port: 8080 }, periodSeconds: 1 },
      }),
      programs.redis({
        livenessProbe: { exec: { command: ["redis-cli", "ping"] }, periodSeconds: 2 },
      }),
      programs.rpc({ livenessProbe: { grpc: { port: 9000 }, periodSeconds: 1 } }),
    ];
    const objects = (where: string) => [
      nginxConfiguration(where),
      service("many", where, [8080, 6379, 9000]),
      deployment("many", where, { containers: containers(), volumes: programs.volumes }),
    ];

    /** How a call of gRPC and a question to Redis went. */
    const ask = async (where: string) => {
      const { stdout } = await from("client", ...programs.rpcClient(`many.${where}:9000`));
      const calls = JSON.parse(stdout) as Record<string, Record<string, string>>;
      const redis = await from("client", "redis-cli", "-h", `many.${where}`, "ping");
      return { unary: calls[`many.${where}:9000`]?.["unary"], redis: redis.stdout.trim() };
    };

    test("each of them is reached, and by mutual TLS", async () => {
      await cluster.apply(objects(SHOP).slice(1));
      await cluster.rollout(SHOP, "deployment/many");
      expect((await from("client", ...curl(`http://many.${SHOP}:8080/page`))).stdout)
        .toBe(`hello ${CLIENT}\n`);
      expect(await ask(SHOP)).toEqual({ unary: "ok", redis: "PONG" });
      const pod = "deployment/many";
      for (const port of [8080, 6379, 9000]) {
        const lines = await metrics(SHOP, pod, "nginx", "tcp_open_total{", 'direction="inbound"')
          .then((all) => all.filter((line) => line.includes(`target_port="${port}"`)));
        expect(lines.filter((line) => line.includes(`client_id="${CLIENT}"`))).not.toEqual([]);
      }
      await cluster.kubectl(["-n", SHOP, "delete", "deployment", "many"]);
    }, TEST_MS);

    test("that admit nobody the kubelet's probes pass: HTTP, TCP, gRPC and commands", async () => {
      const where = "closed";
      await cluster.apply([
        namespace(where, {
          "linkerd.io/inject": "enabled",
          "config.linkerd.io/default-inbound-policy": "deny",
        }),
        ...objects(where),
      ]);
      // All three containers become ready by their probes only.
      await cluster.rollout(where, "deployment/many");
      const probed = async (port: number) =>
        sum(
          await metrics(
            ...[where, "deployment/many", "nginx", "inbound_http_authz_allow_total{"] as const,
            ...['authz_name="probe"', `target_port="${port}"`],
          ),
        );
      const before = [await probed(8080), await probed(9000)];
      await waitFor(
        "more probes",
        async () =>
          await probed(8080) > (before[0] ?? 0) + 8 && await probed(9000) > (before[1] ?? 0) + 8,
      );
      const [pod] = await podsOf(where, "app=many");
      expect(
        (pod?.status.containerStatuses ?? []).map((
          { name, ready, restartCount },
        ) => [name, ready, restartCount]),
      ).toEqual([["nginx", true, 0], ["redis", true, 0], ["rpc", true, 0]]);

      for (const client of ["client", "stranger"] as const) {
        expect(await statusFrom(client, `http://many.${where}:8080/page`)).toBe("403");
        // A probe's path is open to all; another one below it is not.
        expect(await statusFrom(client, `http://many.${where}:8080/ready`)).toBe("200");
        expect(await statusFrom(client, `http://many.${where}:8080/ready/`)).toBe("403");
      }
      const { unary, redis } = await ask(where);
      expect(unary).toContain("PermissionDenied");
      expect(redis).not.toContain("PONG");
    }, TEST_MS);

    test("a probe tells what the application says, not what its proxy does", async () => {
      const target = { namespace: "closed", pod: "deployment/many", container: "nginx" };
      const ready = async () => {
        const [pod] = await podsOf("closed", "app=many");
        return pod?.status.containerStatuses?.find(({ name }) => name === "nginx")?.ready;
      };
      expect((await cluster.exec(target, ["sh", "-c", ": > /tmp/broken"])).code).toBe(0);
      await waitFor("it to be unready", async () => await ready() === false);
      expect((await cluster.exec(target, ["sh", "-c", "busybox rm /tmp/broken"])).code).toBe(0);
      await waitFor("it to be ready", async () => await ready() === true);
      await cluster.kubectl(["delete", "namespace", "closed"]);
    }, TEST_MS);
  });

  test(
    "each pod of a StatefulSet is reached by its own name, before and after its replacement",
    async () => {
      await cluster.apply([
        service("db", SHOP, [6379], { clusterIP: "None" }),
        statefulSet("db", SHOP, { containers: [programs.redis()] }, { replicas: 2 }),
      ]);
      await cluster.rollout(SHOP, "statefulset/db");
      const redis = async (pod: string, ...words: string[]) =>
        (await from("client", "redis-cli", "-h", `${pod}.db.${SHOP}`, ...words)).stdout.trim();
      const names = ["db-0", "db-1"];
      for (const name of names) expect(await redis(name, "set", "who", name)).toBe("OK");
      for (const name of names) expect(await redis(name, "get", "who")).toBe(name);
      for (const name of names) {
        const lines = await metrics(SHOP, "deployment/client", "client", "tcp_open_total{")
          .then((all) => all.filter((line) => line.includes(`dst_pod="${name}"`)));
        expect(lines.length).toBeGreaterThan(0);
        expect(lines.filter((line) => !line.includes('tls="true"'))).toEqual([]);
        expect(lines.every((line) => line.includes('dst_statefulset="db"'))).toBe(true);
      }
      const address = async () =>
        (await cluster.get("pod", "-n", SHOP, "db-0") as Pod).status.podIP;
      const former = await address();
      await cluster.kubectl(["-n", SHOP, "delete", "pod", "db-0"]);
      await cluster.rollout(SHOP, "statefulset/db");
      expect(await address()).not.toBe(former);
      // Names are cached for some seconds; the new pod knows nothing of what the former one was told.
      await waitFor("the new pod", async () => await redis("db-0", "ping") === "PONG");
      expect(await redis("db-0", "get", "who")).toBe("");
      expect(await redis("db-1", "get", "who")).toBe("db-1");
      await cluster.kubectl(["-n", SHOP, "delete", "statefulset", "db"]);
    },
    TEST_MS,
  );

  test("with IPv4 and IPv6 both are carried, and no way leads around a policy", async () => {
    const where = "both";
    await cluster.apply([
      namespace(where, {
        "linkerd.io/inject": "enabled",
        "config.linkerd.io/default-inbound-policy": "all-authenticated",
      }),
      nginxConfiguration(where, true),
      service("web", where, [8080], { ipFamilyPolicy: "RequireDualStack" }),
      deployment("web", where, { containers: [programs.nginx()], volumes: programs.volumes }),
    ]);
    await cluster.rollout(where, "deployment/web");
    const [pod] = await podsOf(where, "app=web");
    const addresses = (pod?.status.podIPs ?? []).map(({ ip }) => ip.includes(":") ? `[${ip}]` : ip);
    expect(addresses.map((address) => address.startsWith("["))).toEqual([false, true]);
    const ways = [
      ["-4", `http://web.${where}:8080/page`],
      ["-6", `http://web.${where}:8080/page`],
      ...addresses.map((address) => ["-g", `http://${address}:8080/page`]),
    ];
    for (const [option = "", url = ""] of ways) {
      expect((await from("client", ...curl(url), option)).stdout).toBe(`hello ${CLIENT}\n`);
      const words = [...curl(url), option, "-o", "/dev/null", "-w", "%{http_code}"];
      expect((await from("stranger", ...words)).stdout).toBe("403");
    }
    const plain = (await metrics(SHOP, "deployment/client", "client", "request_total{"))
      .filter((line) => line.includes(`dst_namespace="${where}"`) && !line.includes('tls="true"'));
    expect(plain).toEqual([]);
    await cluster.kubectl(["delete", "namespace", where]);
  }, TEST_MS);

  test("a host port leads to a pod of the mesh, and its policy holds there", async () => {
    const port = 18_080;
    const nginx = programs.nginx({
      ports: [{ containerPort: 8080, hostPort: port }],
      readinessProbe: { httpGet: { path: "/ready", port: 8080 }, periodSeconds: 1 },
    });
    const spec = { containers: [nginx], volumes: programs.volumes };
    await cluster.apply([deployment("hosted", SHOP, spec)]);
    await cluster.rollout(SHOP, "deployment/hosted");
    const [pod] = await podsOf(SHOP, "app=hosted");
    const url = `http://${pod?.status.hostIP}:${port}/page`;
    for (const client of ["client", "stranger"] as const) {
      expect(await statusFrom(client, url)).toBe("200");
    }
    const requests = await metrics(
      ...[SHOP, "deployment/hosted", "nginx", "request_total{"] as const,
      ...['direction="inbound"', 'target_port="8080"'],
    );
    expect(sum(requests)).toBeGreaterThanOrEqual(2);
    const annotations = { "config.linkerd.io/default-inbound-policy": "deny" };
    const patch = { spec: { strategy: { type: "Recreate", rollingUpdate: null } } };
    const words = ["-n", SHOP, "patch", "deployment", "hosted", "--type=merge", "-p"];
    // Two pods cannot have the same port.
    await cluster.kubectl([...words, JSON.stringify(patch)]);
    const closed = { spec: { template: { metadata: { annotations } } } };
    await cluster.kubectl([...words, JSON.stringify(closed)]);
    await cluster.rollout(SHOP, "deployment/hosted");
    for (const client of ["client", "stranger"] as const) {
      expect(await statusFrom(client, url)).toBe("403");
    }
    await cluster.kubectl(["-n", SHOP, "delete", "deployment", "hosted"]);
  }, TEST_MS);

  test.skipIf(Bun.which("tcpdump") === null)(
    "a container with tools beside the proxy sees what the pod's network carries",
    async () => {
      await loadProgramImage(cluster, {
        name: TOOLS_IMAGE,
        programs: ["tcpdump"],
        entrypoint: ["tcpdump", "-Z", "root", "-l", "-n", "-A", "-i", "any", "tcp"],
      });
      const annotations = {
        "config.linkerd.io/enable-debug-sidecar": "true",
        "config.linkerd.io/debug-image": TOOLS_IMAGE,
        "config.linkerd.io/debug-image-pull-policy": "Never",
      };
      const containers = [programs.nginx()];
      await cluster.apply([
        service("watched", SHOP, [8080]),
        deployment("watched", SHOP, { containers, volumes: programs.volumes }, { annotations }),
      ]);
      await cluster.rollout(SHOP, "deployment/watched");
      const [pod] = await podsOf(SHOP, "app=watched");
      expect(pod?.spec.containers.map(({ name }) => name)).toEqual(["nginx", "linkerd-debug"]);
      const url = `http://watched.${SHOP}:8080/page`;
      // A peer's request comes as TLS, and goes on to the application in plain text.
      await waitFor("the packets", async () => {
        expect((await from("client", ...curl(url))).stdout).toBe(`hello ${CLIENT}\n`);
        const words = ["-n", SHOP, "logs", "deployment/watched", "-c", "linkerd-debug"];
        const log = await cluster.kubectl(words);
        return log.includes(` > ${pod?.status.podIP}.4143: Flags [S]`) &&
          /GET \/page HTTP\/1\.1/.test(log);
      });
      await cluster.kubectl(["-n", SHOP, "delete", "deployment", "watched"]);
    },
    TEST_MS,
  );

  test("a pod in its node's network is left alone, and talks with the mesh", async () => {
    const containers = [
      programs.nginx({ ports: [], readinessProbe: { httpGet: { path: "/ready", port: 8080 } } }),
    ];
    const network = { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" };
    await cluster.apply([
      service("outside", SHOP, [8080]),
      deployment("outside", SHOP, { ...network, containers, volumes: programs.volumes }),
    ]);
    await cluster.rollout(SHOP, "deployment/outside");
    const [pod] = await podsOf(SHOP, "app=outside");
    expect(pod?.spec.initContainers ?? []).toEqual([]);
    expect(pod?.spec.containers.map(({ name }) => name)).toEqual(["nginx"]);
    expect(pod?.status.podIP).toBe(pod?.status.hostIP ?? "");
    expect((await from("client", ...curl(`http://outside.${SHOP}:8080/page`))).stdout)
      .toBe("hello \n");
    const target = { namespace: SHOP, pod: "deployment/outside", container: "nginx" };
    expect((await cluster.exec(target, curl(SHOP_URL))).stdout).toBe("hello \n");
    await cluster.kubectl(["-n", SHOP, "delete", "deployment", "outside"]);
  }, TEST_MS);
});
