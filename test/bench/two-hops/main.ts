/**
 * The two-hop benchmark: wrk → proxy → (mutual TLS) → proxy → nginx, over network namespaces. Every
 * round measures each data plane in turn, so that the machine's noise falls on all of them; the table
 * shows medians, the spread (lowest–highest) and the ratio to Envoy.
 *
 *   bun run bench [--rounds 7] [--seconds 4] [--connections 32,128] [--peers none,malla,envoy]
 *
 * A stock linkerd2-proxy joins with --linkerd2-proxy PATH; it runs under Malla's control plane.
 */

import { parseArgs } from "node:util";
import { enterLab, insideLab, Lab } from "../../support/lab.ts";
import { Mesh } from "../../support/mesh.ts";
import { installEnvoy, startEnvoy } from "./envoy.ts";
import { measure, type Sample } from "./load.ts";
import { startMeshed } from "./meshed.ts";
import { type DataPlane, Place } from "./place.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "4" },
    connections: { type: "string", default: "32,128" },
    peers: { type: "string", default: "none,malla,envoy" },
    executable: {
      type: "string",
      default: new URL("../../../dist/malla", import.meta.url).pathname,
    },
    envoy: { type: "string" },
    "linkerd2-proxy": { type: "string" },
  },
});
const stock = values["linkerd2-proxy"];
const peers = [...values.peers.split(","), ...stock === undefined ? [] : ["linkerd2-proxy"]];

if (!insideLab()) {
  const envoy = peers.includes("envoy") ? ["--envoy", installEnvoy()] : [];
  process.exit(enterLab(import.meta.path, [...process.argv.slice(2), ...envoy]));
}

const lab = new Lab();
const planes: DataPlane[] = [];
let mesh: Mesh | undefined;
for (const peer of peers) planes.push(await start(peer));
for (const connections of values.connections.split(",").map(Number)) {
  const samples = new Map<string, Sample[]>(planes.map((plane) => [plane.name, []]));
  for (const plane of planes) await measure(plane, connections, 1);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const plane of planes) {
      samples.get(plane.name)?.push(
        await measure(plane, connections, Number(values.seconds)),
      );
    }
  }
  report(connections, samples);
}
// Ending the laboratory's first process ends everything in it.
process.exit(0);

async function start(peer: string): Promise<DataPlane> {
  const place = new Place(lab, peer);
  await place.startBackend();
  switch (peer) {
    case "none":
      return { place, name: peer, url: place.directUrl, proxies: [] };
    case "envoy":
      return await startEnvoy(place, values.envoy ?? "");
    case "malla":
      return await startMeshed(place, await control(), "malla");
    case "linkerd2-proxy":
      return await startMeshed(place, await control(), { stock: stock ?? "" });
    default:
      throw new Error(`unknown peer "${peer}": expected none, malla or envoy`);
  }
}

async function control(): Promise<Mesh> {
  return mesh ??= await Mesh.start(lab, values.executable);
}

function report(connections: number, samples: ReadonlyMap<string, readonly Sample[]>): void {
  console.log(`\n${connections} connections, ${values.rounds} rounds of ${values.seconds} s`);
  const envoy = samples.get("envoy");
  const rows = [...samples].map(([name, list]) => ({
    "data plane": name,
    "requests/s": spread(list, "requestsPerSecond", 0),
    "CPU µs/request": spread(list, "cpuMicros", 1),
    "of Envoy's": envoy === undefined || name === "none"
      ? ""
      : (median(list, "cpuMicros") / median(envoy, "cpuMicros")).toFixed(2),
    "p50 ms": spread(list, "p50Ms", 2),
    "p99 ms": spread(list, "p99Ms", 2),
    "resident MB": median(list, "residentMb").toFixed(0),
    "private MB": median(list, "privateMb").toFixed(0),
    errors: list.reduce((sum, sample) => sum + sample.errors, 0),
  }));
  console.table(rows);
}

function sorted(list: readonly Sample[], key: keyof Sample): number[] {
  return list.map((sample) => sample[key]).sort((a, b) => a - b);
}

function median(list: readonly Sample[], key: keyof Sample): number {
  return sorted(list, key)[Math.floor(list.length / 2)] ?? NaN;
}

function spread(list: readonly Sample[], key: keyof Sample, digits: number): string {
  const all = sorted(list, key);
  const [low, high] = [all[0] ?? NaN, all.at(-1) ?? NaN];
  return `${median(list, key).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}
