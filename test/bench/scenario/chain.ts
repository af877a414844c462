/**
 * A chain of five services: a request goes from each to the next one, through ten proxies in all, at a
 * low fixed rate. Latencies compound along it, and what the proxies add is the difference to a chain
 * without any.
 */

import type { Node, Program } from "../../support/lab.ts";
import type { Bench } from "../bench.ts";
import { inboundHop, outboundHop, startEnvoyProcess } from "../envoy.ts";
import { runVegeta } from "../load/vegeta.ts";
import { join } from "../meshed.ts";
import { answers, BACKEND_PORTS, type DataPlane, startNginx, waysTo } from "../place.ts";
import { type Column, interleave, median, type Sample, type Samples, table } from "../sample.ts";

const SERVICES = 5;
const RATE_PER_SECOND = 100;
const WARM_RATE_PER_SECOND = 500;
const WARM_SECONDS = 10;
/** A chain that was idle has to be found anew, and connected. */
const SETTLE_SECONDS = 1;
/** Of a p99.9 of 4 s at this rate nothing decides: samples are longer here. */
const SECONDS_FACTOR = 5;

const COLUMNS: readonly Column[] = [
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "p999Ms", title: "p99.9 ms", digits: 2 },
  { key: "addedP50Ms", title: "added p50 ms", digits: 2, ratio: true },
  { key: "addedP99Ms", title: "added p99 ms", digits: 2, ratio: true },
  { key: "addedP999Ms", title: "added p99.9 ms", digits: 2, ratio: true },
  { key: "cpuMicros", title: "CPU µs/request, all proxies", digits: 0, ratio: true },
  { key: "failures", title: "failures", digits: 0 },
];

/** Runs the scenario. */
export async function chain(bench: Bench): Promise<void> {
  const { rounds, seconds, vegeta: program, peers } = bench.options;
  const planes: DataPlane[] = [];
  const programs: Program[] = [];
  for (const peer of peers) planes.push(await startChain(bench, peer, programs));
  for (const plane of planes) {
    const ratePerSecond = WARM_RATE_PER_SECOND;
    await runVegeta(plane, { ratePerSecond, seconds: WARM_SECONDS, program });
  }
  const ratePerSecond = RATE_PER_SECOND;
  const samples = await interleave(planes, rounds, async (plane) => {
    await runVegeta(plane, { ratePerSecond, seconds: SETTLE_SECONDS, program });
    return await runVegeta(plane, { ratePerSecond, seconds: seconds * SECONDS_FACTOR, program });
  });
  const title = `${SERVICES} services, ${RATE_PER_SECOND} requests/s`;
  bench.report(table(title, withAdded(samples), COLUMNS));
  await Promise.all(programs.map((program) => program.stop("SIGKILL")));
}

/** Adds what each percentile has more than the chain without proxies. */
function withAdded(samples: Samples): Samples {
  const direct = samples.get("none") ?? [];
  const base = (key: string) => median(direct, key);
  const more = (sample: Sample): Sample => ({
    ...sample,
    addedP50Ms: (sample["p50Ms"] ?? NaN) - base("p50Ms"),
    addedP99Ms: (sample["p99Ms"] ?? NaN) - base("p99Ms"),
    addedP999Ms: (sample["p999Ms"] ?? NaN) - base("p999Ms"),
  });
  return new Map([...samples].map(([name, list]) => [name, list.map(more)]));
}

/** The client and the services of one peer, each in a namespace of its own with one proxy. */
async function startChain(bench: Bench, peer: string, programs: Program[]): Promise<DataPlane> {
  const number = bench.number();
  const nodes = Array.from(
    { length: SERVICES + 1 },
    (_, index) => bench.lab.node(`c${number}-${index}`),
  );
  const { proxies, next } = await startProxies(bench, peer, nodes, number);
  nodes.forEach((node, index) => {
    if (index > 0) {
      programs.push(startNginx(bench.lab, node, node.name, forwarder(next[index])));
    }
  });
  programs.push(...proxies);
  const [client] = nodes as [Node, ...Node[]];
  const ways = waysTo(() => next[0] ?? "");
  await answers(client, "http1", ways.http1);
  const place = { lab: bench.lab, name: `c${number}`, client };
  return { name: peer, place, ways, proxies };
}

/** Starts the proxies; `next` has the address by which each node reaches the one behind it. */
async function startProxies(
  bench: Bench,
  peer: string,
  nodes: readonly Node[],
  number: number,
): Promise<{ proxies: Program[]; next: string[] }> {
  const behind = nodes.slice(1);
  const proxies: Program[] = [];
  if (peer === "none") {
    return { proxies, next: behind.map((node) => `${node.ip}:${BACKEND_PORTS.http1}`) };
  }
  if (peer === "envoy") {
    for (const [index, node] of nodes.entries()) {
      const to = behind[index];
      const hops = [
        inboundHop("http1", node),
        ...(to === undefined ? [] : [outboundHop("http1", to)]),
      ];
      proxies.push(startEnvoyProcess(bench.lab, node, bench.options.envoy, hops, 1));
    }
    return { proxies, next: behind.map((to) => `127.0.0.1:${outboundHop("http1", to).port}`) };
  }
  const mesh = await bench.mesh();
  const port = BACKEND_PORTS.http1;
  const addressOf = (index: number) => bench.serviceIp((number << 4) + index);
  for (const [index, node] of nodes.entries()) {
    const { name } = node;
    if (index > 0) mesh.service(name, addressOf(index), port, port);
    const pod = { name, node, port, labels: { app: name } };
    proxies.push(await join(mesh, pod, bench.sidecar(peer), 1));
  }
  return { proxies, next: behind.map((_, index) => `${addressOf(index + 1)}:${port}`) };
}

/** A service that asks the next one, or answers itself at the end of the chain. */
function forwarder(next: string | undefined): string {
  const listen = `listen ${BACKEND_PORTS.http1};`;
  if (next === undefined) return `server { ${listen} location / { return 200 "ok\\n"; } }`;
  return `upstream next { server ${next}; keepalive 64; }
  server { ${listen} location / {
    proxy_pass http://next; proxy_http_version 1.1; proxy_set_header Connection "";
  } }`;
}
