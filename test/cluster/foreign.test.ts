/**
 * An application of programs that we did not write, with manifests that know nothing of a mesh, in a
 * namespace that asks for one: nginx before Node, Redis and gRPC's example in Go.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Cluster } from "./cluster.ts";
import { CONTROL_NAMESPACE, malla } from "./control-plane.ts";
import { foreignObstacle, ForeignPrograms } from "./foreign-programs.ts";
import { APPS_IMAGE, startMeshWorld } from "./mesh-world.ts";
import { testClusterName } from "./plan.ts";
import { waitFor } from "./wait.ts";
import { deployment, namespace, service, statefulSet } from "./workloads.ts";

const obstacle = foreignObstacle();
if (obstacle !== null) console.warn(`skipped: foreign programs in a cluster: ${obstacle}`);

/** Building Kubernetes included, on a machine that has never done it. */
const START_MS = 2_400_000;
const TEST_MS = 180_000;
const PLACE = "foreign";

/** nginx as a front, as people configure it: it keeps connections and passes paths on. */
const FRONT = `daemon off;
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
  access_log off;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 8080;
    location = /ready { return 200; }
    location /node/ { proxy_http_version 1.1; proxy_pass http://node.${PLACE}.svc.cluster.local:9002/; }
  }
}
`;

interface Edge {
  readonly src: string;
  readonly dst: string;
  readonly client_id: string;
  readonly server_id: string;
  readonly no_tls_reason: string;
}

describe.skipIf(obstacle !== null)("programs that we did not write", () => {
  let cluster: Cluster;
  let programs: ForeignPrograms;

  beforeAll(async () => {
    programs = await ForeignPrograms.build();
    cluster = await startMeshWorld(testClusterName("foreign"), 2, programs.world);
    await cluster.apply([
      namespace(PLACE, { "linkerd.io/inject": "enabled" }),
      ...["front", "node", "redis", "greeter", "client"].map((name) => ({
        apiVersion: "v1",
        kind: "ServiceAccount",
        metadata: { name, namespace: PLACE },
      })),
      {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: { name: "nginx", namespace: PLACE },
        data: { "nginx.conf": FRONT },
      },
      service("front", PLACE, [8080]),
      service("node", PLACE, [9000, 9001, 9002]),
      service("redis", PLACE, [6379]),
      service("greeter", PLACE, [50051]),
      deployment("node", PLACE, {
        serviceAccountName: "node",
        containers: [programs.node()],
      }, { replicas: 2 }),
      statefulSet("redis", PLACE, {
        serviceAccountName: "redis",
        containers: [programs.redis()],
      }),
      deployment("greeter", PLACE, {
        serviceAccountName: "greeter",
        containers: [programs.greeter()],
      }, { replicas: 2 }),
      deployment("client", PLACE, {
        serviceAccountName: "client",
        containers: [{ name: "client", image: APPS_IMAGE, command: ["sleep", "1000000"] }],
        terminationGracePeriodSeconds: 0,
      }),
    ]);
    // nginx ends when it finds no name at its start, whoever's namespace that is.
    await cluster.rollout(PLACE, "deployment/node");
    await cluster.apply([
      deployment("front", PLACE, {
        serviceAccountName: "front",
        containers: [programs.nginx()],
        volumes: programs.volumes,
      }),
    ]);
    for (const workload of ["front", "greeter", "client"]) {
      await cluster.rollout(PLACE, `deployment/${workload}`);
    }
    await cluster.rollout(PLACE, "statefulset/redis");
  }, START_MS);

  afterAll(async () => await cluster?.stop(), TEST_MS);

  const client = async (...command: readonly string[]) => {
    const target = { namespace: PLACE, pod: "deployment/client", container: "client" };
    return await cluster.exec(target, command);
  };

  /** Every program is asked once, and answers as it always does. */
  const askAll = async () => {
    const { stdout } = await client("curl", "-s", "-m", "10", `http://front.${PLACE}:8080/node/`);
    expect(stdout).toStartWith("node-");
    expect((await client("redis-cli", "-h", `redis.${PLACE}`, "incr", "visits")).stdout)
      .toMatch(/^\d+\n$/);
    const greeting = await client(...programs.greeterClient(`greeter.${PLACE}:50051`, "mesh"));
    expect(greeting.stderr + greeting.stdout).toContain("Greeting: Hello mesh");
    const line = await client("sh", "-c", `echo ping | busybox nc -w 5 node.${PLACE} 9000`);
    expect(line.stdout).toBe("ping\n");
  };

  test("answer each other as without a mesh", async () => {
    for (let round = 0; round < 3; round++) await askAll();
  }, TEST_MS);

  test("are seen by stat, each with its figures", async () => {
    const rate = (workload: string, kind = "deploy") =>
      waitFor(`figures of ${workload}`, async () => {
        await askAll();
        const { code, stdout } = await malla(cluster, [
          ...["stat", kind, workload, "-n", PLACE, "-o", "json"],
        ]);
        if (code !== 0) return false;
        const [row] = JSON.parse(stdout) as { success: number | null; meshed: string }[];
        return row?.success === 1 && /^(\d+)\/\1$/.test(row.meshed);
      });
    for (const workload of ["front", "node", "greeter"]) await rate(workload);
    await waitFor("bytes of redis", async () => {
      await askAll();
      const { stdout } = await malla(cluster, ["stat", "sts", "-n", PLACE, "-o", "json"]);
      const [row] = JSON.parse(stdout) as { name: string; tcp_read_bytes_rate: number | null }[];
      return row?.name === "redis" && (row.tcp_read_bytes_rate ?? 0) > 0;
    });
  }, TEST_MS);

  test("are joined by edges of mutual TLS alone", async () => {
    const name = (account: string) =>
      `${account}.${PLACE}.serviceaccount.identity.${CONTROL_NAMESPACE}.cluster.local`;
    const wanted = [["client", "front"], ["front", "node"], ["client", "greeter"], [
      "client",
      "node",
    ]];
    await waitFor("the edges", async () => {
      await askAll();
      const { code, stdout } = await malla(cluster, [
        ...["edges", "deploy", "-n", PLACE, "-o", "json"],
      ]);
      if (code !== 0) return false;
      const edges = (JSON.parse(stdout) as Edge[]).filter(({ dst }) => dst !== "prometheus");
      const found = wanted.map(([src, dst]) =>
        edges.find((edge) => edge.src === src && edge.dst === dst)
      );
      if (found.includes(undefined)) return false;
      for (const edge of found) {
        expect(edge).toMatchObject({
          client_id: name(edge?.src ?? ""),
          server_id: name(edge?.dst ?? ""),
          no_tls_reason: "",
        });
      }
      return true;
    });
  }, TEST_MS);

  test("send nothing in plain text to each other", async () => {
    const url = "http://127.0.0.1:4191/metrics";
    const { stdout } = await client("curl", "-s", "-m", "10", url);
    const opened = stdout.split("\n").filter((line) =>
      line.startsWith("tcp_open_total{") && line.includes('direction="outbound"') &&
      line.includes('peer="dst"')
    );
    expect(opened.length).toBeGreaterThan(2);
    expect(opened.filter((line) => !line.includes('tls="true"'))).toEqual([]);
  }, TEST_MS);
});
