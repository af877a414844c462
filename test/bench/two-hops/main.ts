/**
 * The two-hop benchmark: wrk → proxy → (mutual TLS) → proxy → nginx, over network namespaces. Every
 * round measures each data plane in turn, so that the machine's noise falls on all of them; the table
 * shows medians, the spread (lowest–highest) and the ratio to Envoy.
 *
 *   bun run bench [--rounds 7] [--seconds 4] [--connections 32,128] [--peers none,malla,envoy]
 */

import { parseArgs } from "node:util";
import { enterLab, insideLab } from "../../support/lab.ts";
import { installEnvoy, startEnvoy } from "./envoy.ts";
import { measure, type Sample } from "./load.ts";
import { startMalla } from "./malla.ts";
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
  },
});
const peers = values.peers.split(",");

if (!insideLab()) {
  const envoy = peers.includes("envoy") ? ["--envoy", installEnvoy()] : [];
  process.exit(enterLab(import.meta.path, [...process.argv.slice(2), ...envoy]));
}

const place = new Place();
await place.startBackend();
const planes: DataPlane[] = [];
for (const peer of peers) planes.push(await start(peer));
for (const connections of values.connections.split(",").map(Number)) {
  const samples = new Map<string, Sample[]>(planes.map((plane) => [plane.name, []]));
  for (const plane of planes) await measure(place, plane, connections, 1);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const plane of planes) {
      samples.get(plane.name)?.push(
        await measure(place, plane, connections, Number(values.seconds)),
      );
    }
  }
  report(connections, samples);
}
for (const plane of planes) await plane.stop();
await place.close();

async function start(peer: string): Promise<DataPlane> {
  if (peer === "none") {
    return { name: "none", url: place.directUrl, proxies: [], stop: () => Promise.resolve() };
  }
  if (peer === "envoy") return await startEnvoy(place, values.envoy ?? "");
  if (peer === "malla") return await startMalla(place, values.executable);
  throw new Error(`unknown peer "${peer}": expected none, malla or envoy`);
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
