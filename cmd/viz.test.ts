/** `malla viz` as a process, on a cluster: what it shows follows the API server and the proxies. */

import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeApi } from "../test/support/fake-api.ts";
import { freePorts, Mode, SOURCE, until } from "../test/support/malla.ts";
import { httpLines, identityOf, podObject, serviceObject } from "../test/support/viz-world.ts";

const PODS = "/api/v1/pods";
const SERVICES = "/api/v1/services";
const LONG_MS = 20_000;

let folder = "";
const ends: (() => unknown)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "malla-viz-"));
});

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
  await rm(folder, { recursive: true, force: true });
});

/** A proxy's metrics, on this machine: each look finds ten requests more. */
function serveMetrics(): number {
  let requests = 0;
  const labels = `direction="inbound",peer="src",tls="true",client_id="${identityOf("shop")}"`;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: () => new Response(httpLines(labels, requests += 10, 0, 5)),
  });
  ends.push(() => server.stop(true));
  return server.port ?? 0;
}

function start(args: readonly string[]): Mode {
  const mode = new Mode(["viz", ...args], {}, SOURCE);
  ends.push(() => mode.stop("SIGKILL"));
  return mode;
}

test("shows the pods of a cluster and follows them", async () => {
  const api = new FakeApi();
  ends.push(() => api.stop());
  api.put(PODS, podObject({ name: "web-1", ip: "127.0.0.1", deployment: "web" }));
  api.put(SERVICES, serviceObject("web", "web", "10.43.0.1"));
  await writeFile(join(folder, "config"), api.kubeconfig({}));
  const [pagePort = 0, apiPort = 0] = await freePorts(2);
  const viz = start([
    "--source=kube",
    `--kubeconfig=${folder}/config`,
    `--page-listen=127.0.0.1:${pagePort}`,
    `--api-listen=127.0.0.1:${apiPort}`,
    `--admin-port=${serveMetrics()}`,
    "--scrape-period=50ms",
  ]);
  await viz.says("source is read");
  const rows = async (resource: string) => {
    const answer = await fetch(`http://127.0.0.1:${pagePort}/api/stat?resource=${resource}`);
    const { rows } = await answer.json() as { rows: { name: string; rps: number | null }[] };
    return rows;
  };
  await until(async () => ((await rows("deploy"))[0]?.rps ?? 0) > 0);
  expect((await rows("deploy")).map(({ name }) => name)).toEqual(["web"]);
  expect((await rows("svc")).map(({ name }) => name)).toEqual(["web"]);
  api.put(PODS, podObject({ name: "late-1", ip: "127.0.0.2", deployment: "late" }));
  await until(async () => (await rows("deploy")).length === 2);
  api.remove(PODS, "web-1");
  await until(async () => !(await rows("pod")).some(({ name }) => name === "web-1"));
  api.put(PODS, { metadata: { name: "odd", namespace: "shop" }, spec: { containers: 7 } });
  await viz.says(/source has a problem .*odd/);
  expect(await viz.stop()).toBe(0);
}, LONG_MS);

test.each([
  [[], "KUBERNETES_SERVICE_HOST is not set", 1],
  [["--kubeconfig=/nowhere/config"], 'Cannot read the kubeconfig "/nowhere/config"', 1],
  [["--source=files:/nowhere/at/all"], "no such file or folder", 1],
  [["--source=cluster"], "expected files:FOLDER or kube", 64],
])("ends by itself where it cannot work: %p", async (args, message, code) => {
  const viz = start(args);
  expect(await viz.exited()).toBe(code);
  expect(viz.output).toContain(message);
}, LONG_MS);
