/**
 * A laptop mesh's network without a mesh: a laboratory with the real gateway in it and pods around it.
 * Runs inside namespaces of its own and takes one JSON request a line on standard input; each gets one
 * line in answer. The end of standard input ends the world.
 */

import { writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createBunNet } from "../../lib/host/bun-net.ts";
import { systemClock } from "../../lib/host/clock.ts";
import { Gateway } from "../../lib/local/gateway.ts";
import { MESH_ADDRESSES } from "../../lib/local/names.ts";
import type { EndpointSlice, Service } from "../../lib/source/objects.ts";
import { createLogger } from "../../lib/telemetry/logger.ts";
import { Lab, type Node } from "./lab.ts";

/** What the test asks for. */
export type WorldRequest =
  /** Runs a command in a pod, or with no pod in the gateway's namespace, to its end. */
  | { readonly kind: "run"; readonly pod?: string; readonly command: readonly string[] }
  /** Starts a program that stays. */
  | { readonly kind: "start"; readonly pod: string; readonly command: readonly string[] }
  | {
    readonly kind: "update";
    readonly services: readonly Service[];
    readonly slices: readonly EndpointSlice[];
  };

/** What came of it. */
export interface WorldAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const lab = new Lab();
const pods = new Map<string, Node>(["a", "b", "c"].map((name) => [name, lab.node(name)]));
const [, , outsidePath = "", insidePath = ""] = process.argv;

// A pod's resolv.conf, for all of this world: its mount namespace is its own.
writeFileSync(`${lab.home}/resolv.conf`, resolvConf());
writeFileSync(`${lab.home}/nsswitch.conf`, "hosts: files dns\n");
for (const file of ["resolv.conf", "nsswitch.conf"]) {
  Bun.spawnSync(["mount", "--bind", `${lab.home}/${file}`, `/etc/${file}`]);
}

const gateway = await Gateway.start({
  net: createBunNet(),
  clock: systemClock,
  log: createLogger({ level: "debug", format: "plain", name: "gateway" }),
  bridge: "mesh0",
  networks: [MESH_ADDRESSES],
  clusterDomain: "cluster.local",
  outsidePath,
  insidePath,
  lockPath: `${lab.home}/xtables.lock`,
});

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const answer = await serve(JSON.parse(line) as WorldRequest);
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);

async function serve(request: WorldRequest): Promise<WorldAnswer> {
  if (request.kind === "update") {
    gateway.update(request.services, request.slices);
    await gateway.settled();
    return { code: 0, stdout: "", stderr: "" };
  }
  const inPod = request.pod === undefined ? [] : ["ip", "netns", "exec", request.pod];
  if (request.kind === "start") {
    pods.get(request.pod)?.start(request.command);
    return { code: 0, stdout: "", stderr: "" };
  }
  const child = Bun.spawn([...inPod, ...request.command], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, stdout, stderr };
}

function resolvConf(): string {
  const search = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"].join(" ");
  return `nameserver 10.42.0.1\nsearch ${search}\noptions ndots:5\n`;
}
