/**
 * The benchmark: Malla, Envoy and no proxy side by side in one run, over network namespaces and mutual
 * TLS, both proxies on one core, load and backend on the other.
 *
 *   bun run bench [SCENARIO…] [--rounds 7] [--seconds 4] [--connections 1,4,32,128]
 *                 [--peers none,floor,malla,envoy] [--linkerd2-proxy PATH] [--executable PATH]
 *
 * The floor is a relay in C, for the closed loop, that shows what the kernel alone takes (needs gcc).
 * A stock linkerd2-proxy joins with --linkerd2-proxy; it runs under Malla's control plane. Without a
 * scenario all are run, which takes an hour and more; `--rounds 1 --seconds 1` tries them out.
 */

import { parseArgs } from "node:util";
import { enterLab, insideLab } from "../support/lab.ts";
import { Bench } from "./bench.ts";
import { bulk } from "./scenario/bulk.ts";
import { chain } from "./scenario/chain.ts";
import { closedLoop } from "./scenario/closed-loop.ts";
import { newConnections } from "./scenario/connections.ts";
import { cores } from "./scenario/cores.ts";
import { memoryUse } from "./scenario/memory.ts";
import { reliable } from "./scenario/reliable.ts";
import { openLoop } from "./scenario/open-loop.ts";
import { buildFloor, installEnvoy, installVegeta, missingPackages } from "./tools.ts";

const SCENARIOS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  "closed-loop": closedLoop,
  memory: memoryUse,
  "open-loop": openLoop,
  chain,
  connections: newConnections,
  bulk,
  cores,
  reliable,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "7" },
    seconds: { type: "string", default: "4" },
    connections: { type: "string", default: "1,4,32,128" },
    peers: { type: "string", default: "none,malla,envoy" },
    executable: { type: "string", default: new URL("../../dist/malla", import.meta.url).pathname },
    "linkerd2-proxy": { type: "string", default: "" },
    // Found before the laboratory is entered, which has no network.
    envoy: { type: "string", default: "" },
    vegeta: { type: "string", default: "" },
    floor: { type: "string", default: "" },
  },
});
const stock = values["linkerd2-proxy"];
const peers = [...values.peers.split(","), ...(stock === "" ? [] : ["linkerd2-proxy"])];
const chosen = positionals.length > 0 ? positionals : Object.keys(SCENARIOS);
for (const name of chosen) {
  if (SCENARIOS[name] !== undefined) continue;
  console.error(`unknown scenario "${name}": expected ${Object.keys(SCENARIOS).join(", ")}`);
  process.exit(64);
}

if (!insideLab()) {
  const missing = missingPackages();
  if (missing.length > 0) {
    console.error(`programs are missing: apt-get install ${missing.join(" ")}`);
    process.exit(1);
  }
  const envoy = peers.includes("envoy") ? ["--envoy", await installEnvoy()] : [];
  const floor = peers.includes("floor") ? ["--floor", buildFloor()] : [];
  const found = [...envoy, ...floor, "--vegeta", await installVegeta()];
  process.exit(enterLab(import.meta.path, [...process.argv.slice(2), ...found]));
}

const bench = new Bench({
  rounds: Number(values.rounds),
  seconds: Number(values.seconds),
  connections: values.connections.split(",").map(Number),
  peers,
  executable: values.executable,
  envoy: values.envoy,
  vegeta: values.vegeta,
  stock,
  floor: values.floor,
});
for (const name of chosen) {
  console.log(`\n## ${name}, ${values.rounds} rounds of ${values.seconds} s`);
  await SCENARIOS[name]?.(bench);
}
// Ending the laboratory's first process ends everything in it.
process.exit(0);
