/** Brings a local cluster up: its programs, its keeper, and everything until it works. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { askAgent } from "./agent.ts";
import { buildPrograms } from "./build.ts";
import { cacheFolder } from "../support/cache.ts";
import { corednsObjects } from "./coredns.ts";
import { writeClusterImages } from "./images.ts";
import { Kubectl } from "./kubectl.ts";
import { withLock } from "../support/lock.ts";
import {
  clusterFolder,
  clusterLog,
  type ClusterPlan,
  type ClusterShape,
  planCluster,
} from "./plan.ts";
import { removeRemains } from "./remains.ts";
import { clusterObstacle } from "./requirements.ts";
import { type ClusterState, freeNumber, readSpec, readState, writeSpec } from "./state.ts";
import { waitFor } from "./wait.ts";

/** How a cluster is started. */
export interface LaunchOptions extends ClusterShape {
  /** Whether it ends with this process, whatever ends that. Default: true. */
  readonly tied?: boolean;
  /** Told what is going on. */
  readonly say?: (text: string) => void;
}

/** A cluster that works. */
export interface LaunchedCluster {
  readonly plan: ClusterPlan;
  readonly state: ClusterState;
}

const START_LIMIT_MS = 180_000;

/** Starts a cluster and resolves when it works. Rejects with the ends of its logs when it does not. */
export async function launchCluster(
  name: string,
  options: LaunchOptions,
): Promise<LaunchedCluster> {
  const { nodes = 1, dualStack = false, tied = true, say = () => {} } = options;
  const obstacle = clusterObstacle();
  if (obstacle !== null) throw new Error(obstacle);
  const programs = await buildPrograms(say);
  const keeper = await withLock(lockFile(), async () => {
    if (readState(clusterFolder(name)) !== null) {
      throw new Error(`Cannot start cluster "${name}": it runs already`);
    }
    await removeFormer(name);
    const { folder, number } = planCluster(name, freeNumber(), { nodes });
    mkdirSync(`${folder}/images`, { recursive: true, mode: 0o700 });
    const images = await writeClusterImages(`${folder}/images`, programs);
    const { kubernetes } = programs;
    writeSpec(folder, { name, number, nodes, dualStack, programs: { kubernetes, images } });
    return startKeeper(name, folder, tied);
  });
  try {
    return await working(name, keeper, say);
  } catch (cause) {
    keeper.kill("SIGTERM");
    throw cause;
  }
}

/** Removes what a cluster left whose keeper was killed; nothing happens to one that runs. */
export async function removeLeftovers(name: string): Promise<void> {
  await withLock(lockFile(), () => removeFormer(name));
  rmSync(clusterLog(name), { force: true });
}

function lockFile(): string {
  return `${cacheFolder("clusters")}/lock`;
}

async function removeFormer(name: string): Promise<void> {
  const folder = clusterFolder(name);
  if (existsSync(`${folder}/spec.json`) && readState(folder) === null) {
    await removeRemains(readSpec(folder).plan);
  }
}

/** A session of its own keeps the terminal's signals away; the pipe tells it when this process ends. */
function startKeeper(name: string, folder: string, tied: boolean): ChildProcess {
  rmSync(clusterLog(name), { force: true });
  const output = openSync(clusterLog(name), "a", 0o600);
  const script = new URL("keeper.ts", import.meta.url).pathname;
  const keeper = spawn(process.execPath, [script, folder, ...(tied ? ["--tied"] : [])], {
    stdio: [tied ? "pipe" : "ignore", output, output],
    detached: true,
  });
  keeper.unref();
  return keeper;
}

async function working(
  name: string,
  keeper: ChildProcess,
  say: (text: string) => void,
): Promise<LaunchedCluster> {
  const { plan } = readSpec(clusterFolder(name));
  const until = async (what: string, condition: () => boolean | Promise<boolean>) => {
    await waitFor(what, async () => {
      if (keeper.exitCode === null) return await condition();
      throw new Error(`Cluster "${name}" ended:\n${readFileSync(clusterLog(name), "utf8")}`);
    }, START_LIMIT_MS);
    say(what);
  };
  let state: ClusterState | null = null;
  await until("nodes are joined", () => (state = readState(plan.folder)) !== null);
  await until("programs are started", async () => {
    const nodes = await Promise.all(plan.nodes.map(({ folder }) => askAgent(folder, "status")));
    return nodes.every((node) => node?.phase === "running");
  });
  const kubectl = new Kubectl(`${plan.folder}/kubeconfig`);
  await kubectl.apply(corednsObjects(plan));
  const succeeds = async (...words: string[]) => (await kubectl.tryKubectl(words)).code === 0;
  await until("nodes are ready", async () => {
    for (const node of plan.nodes) {
      if (!await succeeds("wait", "--for=condition=Ready", `node/${node.name}`, "--timeout=1s")) {
        return false;
      }
    }
    return true;
  });
  await until(
    "names are answered",
    () => succeeds("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=1s"),
  );
  return { plan, state: state ?? fail(name) };
}

function fail(name: string): never {
  throw new Error(`Cluster "${name}" has no state`);
}
