/**
 * Keeps one cluster: starts its nodes, joins their networks, lets this machine reach the API server, and
 * leaves no trace of any of it, whatever ends: a node, the keeper's owner or the keeper itself.
 *
 *     owner ──stdin (`--tied`)──▶ keeper ──▶ unshare ──▶ node1 (first process of its namespaces)
 *                                    └─────▶ unshare ──▶ node2 …
 */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { childrenOf, processStamp } from "../../lib/host/namespace.ts";
import { kubeconfigText, pkiFolder, writeCertificates } from "./certificates.ts";
import { askAgent } from "./agent.ts";
import { nodeFiles } from "./node-files.ts";
import { apiSocket, BRIDGE, clusterLog, type ClusterPlan, type NodePlan, UPLINK } from "./plan.ts";
import { removeRemains } from "./remains.ts";
import { readSpec, writeState } from "./state.ts";

const POLL_MS = 50;
const LOG_TAIL_LINES = 15;

/** A node that runs. */
interface RunningNode {
  readonly plan: NodePlan;
  /** The first process, as this machine sees it. */
  readonly pid: number;
  readonly ended: Promise<void>;
  hasEnded(): boolean;
}

if (import.meta.main) {
  const [folder = "", ...flags] = process.argv.slice(2);
  process.exit(await keep(folder, flags.includes("--tied")));
}

async function keep(folder: string, tied: boolean): Promise<number> {
  const { plan } = readSpec(folder);
  const told = Promise.withResolvers<"told">();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => told.resolve("told"));
  if (tied) process.stdin.on("end", () => told.resolve("told")).resume();
  const nodes: RunningNode[] = [];
  let code = 0;
  try {
    await writeCertificates(plan);
    for (const node of plan.nodes) nodes.push(await startNode(plan, node));
    const ends = nodes.map(async ({ plan: { name }, ended }) => {
      await ended;
      throw new Error(`${name} ended`);
    });
    await Promise.race([told.promise, ...ends, serve(plan, nodes).then(() => told.promise)]);
  } catch (cause) {
    code = 1;
    console.error(`${cause instanceof Error ? cause.message : cause}`);
    console.error(logTails(plan));
  }
  // A number whose process has ended may be another's by now.
  for (const { pid, hasEnded } of nodes) if (!hasEnded()) process.kill(pid, "SIGKILL");
  await Promise.all(nodes.map(({ ended }) => ended));
  await removeRemains(plan);
  if (code === 0) rmSync(clusterLog(plan.name), { force: true });
  return code;
}

/** Starts a node's first process in new namespaces; it dies with this process. */
async function startNode(plan: ClusterPlan, node: NodePlan): Promise<RunningNode> {
  mkdirSync(nodeFiles(node).logs, { recursive: true });
  const log = openSync(`${nodeFiles(node).logs}/agent.log`, "a");
  const flags = "--fork --pid --kill-child --mount --mount-proc --net";
  const agent = new URL("node.ts", import.meta.url).pathname;
  const child = spawn("setpriv", [
    ...["--pdeathsig", "KILL", "unshare", ...flags.split(" ")],
    ...[process.execPath, agent, plan.folder, node.name],
  ], { stdio: ["ignore", log, log] });
  const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const pid = await firstProcess(child, node);
  return { plan: node, pid, ended, hasEnded: () => child.exitCode !== null };
}

/** Resolves to the process that `unshare` starts. */
async function firstProcess(unshare: ChildProcess, node: NodePlan): Promise<number> {
  while (unshare.exitCode === null && unshare.pid !== undefined) {
    const [pid] = childrenOf(unshare.pid);
    if (pid !== undefined) return pid;
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`Cannot start ${node.name} in namespaces of its own`);
}

/** Joins the nodes and opens the way to the API server. */
async function serve(plan: ClusterPlan, nodes: readonly RunningNode[]): Promise<void> {
  const [first, ...others] = nodes;
  if (first === undefined) return;
  for (const node of nodes) await joinable(node.plan);
  for (const other of others) joinNode(first, other);
  const server = createServer((outer) => {
    const inner = connect(apiSocket(first.plan.folder));
    outer.pipe(inner).pipe(outer);
    // Either side's failure is the other's end.
    outer.on("error", () => inner.destroy());
    inner.on("error", () => outer.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const apiPort = typeof address === "object" ? address?.port ?? 0 : 0;
  const pki = (file: string) => readFileSync(`${pkiFolder(plan)}/${file}`, "utf8");
  writeFileSync(
    `${plan.folder}/kubeconfig`,
    kubeconfigText(
      `https://127.0.0.1:${apiPort}`,
      pki("ca.crt"),
      pki("admin.crt"),
      pki("admin.key"),
    ),
    { mode: 0o600 },
  );
  writeState(plan.folder, {
    keeper: processStamp(process.pid) ?? "",
    apiPort,
    nodes: Object.fromEntries(nodes.map(({ plan: { name }, pid }) => [name, pid])),
  });
}

async function joinable(node: NodePlan): Promise<void> {
  while (await askAgent(node.folder, "status") === null) await Bun.sleep(POLL_MS);
}

/** Lays a cable from the first node's bridge to another node. */
function joinNode(first: RunningNode, { plan: { name }, pid }: RunningNode): void {
  const inFirst = (...words: string[]) => {
    const done = spawnSync("nsenter", ["-t", `${first.pid}`, "-n", "ip", ...words]);
    if (done.status !== 0) throw new Error(`Cannot join ${name}: ${done.stderr}`);
  };
  inFirst(
    ..."link add".split(" "),
    name,
    "type",
    "veth",
    "peer",
    "name",
    UPLINK,
    "netns",
    `${pid}`,
  );
  inFirst("link", "set", name, "master", BRIDGE, "up");
}

/** The ends of all logs, for whoever must find out why a node ended. */
function logTails(plan: ClusterPlan): string {
  return plan.nodes.flatMap((node) => {
    const { logs } = nodeFiles(node);
    return readdirSync(logs).map((file) => {
      const lines = readFileSync(`${logs}/${file}`, "utf8").trimEnd().split("\n");
      return `── ${node.name} ${file}\n${lines.slice(-LOG_TAIL_LINES).join("\n")}`;
    });
  }).join("\n");
}
