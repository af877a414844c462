/**
 * The soak: mixed traffic through a client's and two servers' sidecars, while one server's pod comes and
 * goes and certificates are renewed every 20 s. Nothing may fail that the application did not make fail,
 * memory may not rise for good, and at the end nothing is left open.
 *
 *   bun run soak [--seconds 300] [--requests 1000000] [--connections 10000] [--cores 1]
 *                [--renewal 20]
 *
 * Exit code 0 when all held. A short run is among the tests, without the bounds on memory: in its time a
 * heap has not yet found its size.
 */

import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { enterLab, insideLab, Lab, type Node, type Program, until } from "../support/lab.ts";
import { Mesh, type PodSpec } from "../support/mesh.ts";
import { answers, BACKEND_PORTS, startBackends } from "../bench/place.ts";
import { type Addresses, type Counted, startLoads } from "./load.ts";
import { Watch } from "./watch.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "300" },
    requests: { type: "string", default: "1000000" },
    connections: { type: "string", default: "10000" },
    cores: { type: "string", default: "1" },
    renewal: { type: "string", default: "20" },
    executable: { type: "string", default: new URL("../../dist/malla", import.meta.url).pathname },
  },
});
if (!insideLab()) process.exit(enterLab(import.meta.path, process.argv.slice(2)));

/** The issuer adds 20 s for clocks that are behind; certificates are renewed long before. */
const CERTIFICATE_SECONDS = 40;
const APP_PORT = 8083;
const SERVICE_IP = "10.43.0.1";
/** Time for a heap to find its size, and how it may rise after that. */
const SETTLED_MINUTES = 2;
const RISE_MB_PER_MINUTE = 1;
/** Until an idle heap is collected. */
const GIVEN_BACK_MS = 15_000;
/** How long the pod that comes and goes stays, and stays away. */
const STAY_MS = 3_000;
const AWAY_MS = 1_000;

/** Both sides are told which port carries no HTTP. */
const OPAQUE = { "config.linkerd.io/opaque-ports": String(BACKEND_PORTS.opaque) };

const lab = new Lab();
const mesh = await Mesh.start(lab, values.executable, { certificateSeconds: CERTIFICATE_SECONDS });
const problems: string[] = [];
await soak();
for (const problem of problems) console.log(`× ${problem}`);
if (problems.length === 0) console.log("√ all held");
// Ending the laboratory's first process ends everything in it.
process.exit(problems.length === 0 ? 0 : 1);

async function soak(): Promise<void> {
  const client = pod("client", {});
  const [stays, comesAndGoes] = [pod("stays", { app: "web" }), pod("comes", { app: "web" })];
  mesh.serviceOf({
    name: "web",
    clusterIP: SERVICE_IP,
    ports: [...Object.values(BACKEND_PORTS), APP_PORT].map((port) => ({
      name: `port-${port}`,
      port,
      targetPort: port,
    })),
    annotations: OPAQUE,
  });
  for (const { name, node } of [stays, comesAndGoes]) {
    startBackends(lab, node, name);
    node.start([process.execPath, new URL("app.ts", import.meta.url).pathname, String(APP_PORT)]);
  }
  const proxies = [];
  for (const each of [stays, comesAndGoes, client]) {
    mesh.pod(each);
    mesh.redirect(each.node);
    proxies.push(await startProxy(each));
  }
  const [staysProxy, comesProxy, clientProxy] = proxies as [Program, Program, Program];
  await answers(client.node, "http1", addresses().http1);
  const watches = [new Watch("client", clientProxy), new Watch("server", staysProxy)];
  const before = watches.map((watch) => watch.descriptors());
  const counted = await underLoad(client.node, comesAndGoes, comesProxy);
  for (const watch of watches) watch.loadEnded();
  report(counted);
  await checkClosed(watches, before);
  if (isLong()) await Bun.sleep(GIVEN_BACK_MS);
  for (const watch of watches) watch.stop();
  checkMemory(watches);
  await checkRenewals([client, stays]);
  if (problems.length > 0) { for (const each of [client, stays]) await showFailures(each); }
}

/** What the proxy itself counted as failed: where to look when something did. */
async function showFailures({ name, node }: PodSpec): Promise<void> {
  const text = await (await fetch(`http://${node.ip}:4191/metrics`)).text();
  const failures =
    /^(?:\w+_errors_total|response_total\{.*classification="failure"|tcp_close_total\{.*errno="E).*$/gm;
  for (const [line] of text.matchAll(failures)) console.log(`${name}: ${line}`);
}

/** Runs all loads while one pod comes and goes. */
async function underLoad(client: Node, guest: PodSpec, proxy: Program): Promise<Counted[]> {
  const call = `${lab.home}/call`;
  writeFileSync(call, "\0\0\0\0\x02hi");
  const loads = Promise.all(startLoads(client, addresses(), Number(values.seconds), call));
  let isOver = false;
  const visits = comeAndGo(guest, proxy, () => isOver);
  const counted = await loads;
  isOver = true;
  console.log(`the guest came and went ${await visits} times`);
  return counted;
}

/** A pod's end as a cluster makes it: not ready and told to end at the same time. */
async function comeAndGo(guest: PodSpec, first: Program, isOver: () => boolean): Promise<number> {
  let proxy = first;
  let visits = 0;
  while (!isOver()) {
    await Bun.sleep(STAY_MS);
    mesh.pod({ ...guest, isReady: false });
    const code = await proxy.stop("SIGTERM");
    if (code !== 0) problems.push(`the guest's proxy has ended with ${code}`);
    await Bun.sleep(AWAY_MS);
    proxy = await startProxy(guest);
    mesh.pod(guest);
    visits++;
  }
  return visits;
}

function report(all: readonly Counted[]): void {
  console.table(all.map(({ errors, ...counted }) => ({ ...counted, errors: errors.length })));
  for (const { name, errors } of all) problems.push(...errors.map((error) => `${name}: ${error}`));
  const total = (of: (counted: Counted) => number) => all.reduce((sum, each) => sum + of(each), 0);
  for (const key of ["requests", "connections"] as const) {
    const [reached, wanted] = [total((counted) => counted[key]), Number(values[key])];
    console.log(`${reached} ${key}`);
    if (!(reached >= wanted)) problems.push(`${reached} ${key}, wanted ${wanted}`);
  }
}

/** Idle connections end after some seconds; then as many descriptors are open as before. */
async function checkClosed(watches: readonly Watch[], before: readonly number[]): Promise<void> {
  const open = () => watches.map((watch) => watch.descriptors());
  // What a first request opens for good (a channel to the control plane, the C library).
  const spare = 4;
  try {
    await until(
      "connections are closed",
      () => open().every((count, index) => count <= (before[index] ?? 0) + spare),
      120_000,
    );
  } catch {
    problems.push(`descriptors left open: ${open().join(", ")}, before ${before.join(", ")}`);
  }
}

function checkMemory(watches: readonly Watch[]): void {
  for (const watch of watches) {
    console.log(watch.line());
    if (!isLong()) continue;
    const { perMinute, error } = watch.rise(SETTLED_MINUTES);
    const text = `${perMinute.toFixed(2)} ± ${error.toFixed(2)} MB/min`;
    console.log(`${watch.name}: ${text} after minute ${SETTLED_MINUTES}`);
    // Only a rise that the noise does not explain: a longer run has less of it.
    if (perMinute - 2 * error > RISE_MB_PER_MINUTE) {
      problems.push(`${watch.name}: rises by ${text}`);
    }
  }
}

async function checkRenewals(pods: readonly PodSpec[]): Promise<void> {
  const wanted = Math.floor(Number(values.seconds) / Number(values.renewal));
  for (const { name, node } of pods) {
    const text = await (await fetch(`http://${node.ip}:4191/metrics`)).text();
    const series = /^control_identity_cert_refreshes_total\{result="success"\} (\d+)/m;
    const renewals = Number(series.exec(text)?.[1]);
    console.log(`${name}: ${renewals} certificates`);
    if (!(renewals >= wanted)) problems.push(`${name}: ${renewals} certificates, not ${wanted}`);
  }
}

async function startProxy(each: PodSpec): Promise<Program> {
  const launch = await mesh.launcher(each);
  const proxy = launch(undefined, {
    LINKERD2_PROXY_CORES: values.cores,
    LINKERD2_PROXY_IDENTITY_MIN_REFRESH: "1s",
    LINKERD2_PROXY_IDENTITY_MAX_REFRESH: `${values.renewal}s`,
  });
  await mesh.proxyReady(each);
  return proxy;
}

function pod(name: string, labels: Readonly<Record<string, string>>): PodSpec {
  return { name, node: lab.node(name), port: BACKEND_PORTS.http1, labels, annotations: OPAQUE };
}

/** Long enough to say something of memory. */
function isLong(): boolean {
  return Number(values.seconds) >= 2 * SETTLED_MINUTES * 60;
}

function addresses(): Addresses {
  const to = (port: number) => `${SERVICE_IP}:${port}`;
  const { http1, http2, opaque } = BACKEND_PORTS;
  return { http1: to(http1), http2: to(http2), opaque: to(opaque), app: to(APP_PORT) };
}
