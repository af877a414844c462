/**
 * `bun test/cluster/main.ts COMMAND`: test clusters by hand.
 *
 *     build                          the programs, once per machine
 *     up [--nodes N] [--dual-stack]  starts a cluster and waits until it works
 *     down                           ends it and removes everything of it
 *     status                         what its programs are doing
 *     kubectl WORD…                  kubectl as its administrator
 *     load ARCHIVE…                  puts images on its nodes
 *     in NODE WORD…                  a command in a node's namespaces
 *     measure [--samples N] [--proxies N]
 *                                    an installation's time to green, the injector's share of an
 *                                    admission, how soon proxies know of a pod; a cluster of its own
 *     env                            the variable that lets any program reach it
 *
 * The cluster is called "dev" unless `--name NAME` comes before the command.
 */

import { spawnSync } from "node:child_process";
import { parseArgs } from "node:util";
import { buildPrograms } from "./build.ts";
import { Cluster } from "./cluster.ts";
import { removeLeftovers } from "./launch.ts";
import { measure, type MeasureOptions } from "./measure/measure.ts";
import { clusterFolder } from "./plan.ts";
import { clusterNames, readSpec, readState } from "./state.ts";

const USAGE = `Usage: bun test/cluster/main.ts [--name NAME] COMMAND
Commands: build, up [--nodes N] [--dual-stack], down, status, kubectl WORD…, load ARCHIVE…, in NODE WORD…,
  measure [--samples N] [--proxies N], env
`;

if (import.meta.main) {
  // By hand, clusters are those of this machine.
  delete process.env["MALLA_TEST_KUBECONFIG"];
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (cause) {
    process.stderr.write(`${cause instanceof Error ? cause.message : cause}\n`);
    process.exitCode = 1;
  }
  // Pipes of a cluster that goes on must not hold this process.
  process.exit();
}

async function main(words: readonly string[]): Promise<number> {
  const named = words[0] === "--name";
  const name = named ? words[1] ?? "" : "dev";
  const [command, ...args] = named ? words.slice(2) : words;
  switch (command) {
    case "build":
      console.log((await buildPrograms(say)).folder);
      return 0;
    case "up":
      return await up(name, args);
    case "down":
      return await down(name);
    case "status":
      return await status();
    case "kubectl":
      return kubectl(name, args);
    case "load":
      for (const archive of args) await Cluster.running(name).loadImage(archive);
      return 0;
    case "in": {
      const [node = "", ...rest] = args;
      const { code, stdout, stderr } = await Cluster.running(name).inNode(node, rest);
      process.stdout.write(stdout);
      process.stderr.write(stderr);
      return code;
    }
    case "measure":
      await measure(measureOptions(args));
      return 0;
    case "env":
      console.log(`export KUBECONFIG=${Cluster.running(name).kubeconfig}`);
      return 0;
    default:
      process.stderr.write(USAGE);
      return 64;
  }
}

async function up(name: string, args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: "string", default: "1" },
      "dual-stack": { type: "boolean", default: false },
    },
  });
  const began = Date.now();
  const timed = (text: string) => say(`${((Date.now() - began) / 1000).toFixed(1)} s  ${text}`);
  const shape = { nodes: Number(values.nodes), dualStack: values["dual-stack"] };
  await Cluster.start(name, { ...shape, tied: false, say: timed });
  return 0;
}

function measureOptions(args: readonly string[]): MeasureOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      samples: { type: "string", default: "200" },
      proxies: { type: "string", default: "100" },
    },
  });
  const numberOf = (name: "samples" | "proxies") => {
    const value = Number(values[name]);
    if (Number.isInteger(value) && value > 0) return value;
    throw new Error(`--${name}: expected a whole number above 0, got "${values[name]}"`);
  };
  return { samples: numberOf("samples"), subscribers: numberOf("proxies"), say: console.log };
}

async function down(name: string): Promise<number> {
  if (readState(clusterFolder(name)) !== null) await Cluster.running(name).stop();
  else await removeLeftovers(name);
  return 0;
}

async function status(): Promise<number> {
  for (const name of clusterNames()) {
    const { plan } = readSpec(clusterFolder(name));
    if (readState(plan.folder) === null) {
      console.log(`${name}: not running; "--name ${name} down" removes what is left of it`);
      continue;
    }
    console.log(
      `${name}: pods ${plan.podNetworks.join(", ")}, services ${plan.serviceNetworks.join(", ")}`,
    );
    console.log(JSON.stringify(await Cluster.running(name).status(), null, 2));
  }
  return 0;
}

/** With this process's own terminal, so that `exec -it`, `logs -f` and `edit` work. */
function kubectl(name: string, args: readonly string[]): number {
  const [program = "", ...words] = Cluster.running(name).kubectlCommand;
  return spawnSync(program, [...words, ...args], { stdio: "inherit" }).status ?? 1;
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
