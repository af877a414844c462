/**
 * The first process of a node: it lives in namespaces of its own (processes, mounts, network), makes the
 * node's private places and network, starts its programs, and when it ends the kernel ends everything.
 * Started by the keeper with the cluster's folder and the node's name; takes commands on a unix socket.
 */

import { spawn, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { OrphanReaper } from "../../lib/host/namespace.ts";
import { kubeconfigText, pkiFolder } from "./certificates.ts";
import { makeControlGroups } from "./control-groups.ts";
import { API_PORT, componentsOf, kubeconfigOf, loginsOf } from "./components.ts";
import {
  CNI_BIN_FOLDER,
  CNI_FOLDER,
  CNI_NET_FOLDER,
  CONTAINERD_SOCKET,
  containerdConfig,
  kubeletConfig,
  nodeFiles,
  podNetworkConfig,
} from "./node-files.ts";
import { agentSocket, apiSocket, BRIDGE, type ClusterPlan, type NodePlan, UPLINK } from "./plan.ts";
import { readSpec } from "./state.ts";
import { type ProgramState, Supervisor } from "./supervisor.ts";

/** What an agent answers about its node. */
export interface NodeStatus {
  /** `joinable`: its network is there; `running`: all its programs were started. */
  readonly phase: "joinable" | "running";
  readonly programs: readonly ProgramState[];
}

const REAP_MS = 1_000;
const POLL_MS = 50;

/** Where Debian has the plugins that make networks. */
const MACHINE_PLUGINS = "/usr/lib/cni";

/** What the kubelet would set for the whole machine; it finds it set already. */
const KERNEL_SETTINGS: Readonly<Record<string, string>> = {
  "vm/overcommit_memory": "1",
  "kernel/panic": "10",
  "kernel/panic_on_oops": "1",
};

if (import.meta.main) {
  const [folder = "", name = ""] = process.argv.slice(2);
  await runNode(folder, name);
}

async function runNode(folder: string, name: string): Promise<void> {
  const { plan, programs } = readSpec(folder);
  const node = plan.nodes.find((candidate) => candidate.name === name);
  if (node === undefined) throw new Error(`cluster "${plan.name}" has no node "${name}"`);
  const reaper = new OrphanReaper();
  setInterval(() => reaper.sweep(), REAP_MS);
  makePrivate(plan, node);
  makeControlGroups(node.cgroup);
  makeNetwork(plan, node);
  writeFiles(plan, node);
  let phase: NodeStatus["phase"] = "joinable";
  const supervisor = new Supervisor(nodeFiles(node).logs, (program) => {
    console.error(`${name}: ${program} ended`);
    // Before all has started, an end is a wrong flag or a port in use: nothing to try again.
    if (phase === "joinable") process.exit(1);
  });
  serveAgent(node, supervisor, () => ({ phase, programs: supervisor.states }));
  if (!node.isControlPlane) await joinNetwork(plan, node);
  await startAll(plan, node, programs, supervisor);
  phase = "running";
}

/** Replaces what the node writes into outside of its folder; nothing of that is seen elsewhere. */
function makePrivate(plan: ClusterPlan, node: NodePlan): void {
  run("mount", "--make-rshared", "/");
  const hidden = ["/run", "/var/log", "/var/lib"];
  const wrong = hidden.find((path) => plan.folder.startsWith(`${path}/`));
  if (wrong !== undefined) throw new Error(`a cluster's folder cannot be below ${wrong}`);
  for (const path of hidden) run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", path);
  for (const path of ["/run/lock", "/run/cni"]) mkdirSync(path, { recursive: true });
  // Volumes of pods and plugins are kept on the disk, not in memory.
  const kept = { kubelet: "/var/lib/kubelet", cni: CNI_FOLDER };
  for (const [name, path] of Object.entries(kept)) {
    for (const folder of [path, `${node.folder}/${name}`]) mkdirSync(folder, { recursive: true });
    run("mount", "--bind", `${node.folder}/${name}`, path);
  }
  for (const [name, value] of Object.entries(KERNEL_SETTINGS)) {
    const stand = `/run/kernel-${name.replace("/", "-")}`;
    writeFileSync(stand, `${value}\n`);
    run("mount", "--bind", stand, `/proc/sys/${name}`);
  }
}

function makeNetwork(plan: ClusterPlan, node: NodePlan): void {
  run("ip", "link", "set", "lo", "up");
  run("sysctl", "-qw", "net.ipv4.ip_forward=1");
  // Connections between pods of one node pass the services' rules too.
  run("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1");
  if (node.ip6 !== undefined) {
    run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1");
    run("sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=1");
  }
  if (!node.isControlPlane) return;
  run("ip", "link", "add", BRIDGE, "type", "bridge");
  makeAddress(plan, node, BRIDGE);
}

async function joinNetwork(plan: ClusterPlan, node: NodePlan): Promise<void> {
  while (!existsSync(`/proc/sys/net/ipv4/conf/${UPLINK}`)) await Bun.sleep(POLL_MS);
  makeAddress(plan, node, UPLINK);
}

function makeAddress(plan: ClusterPlan, node: NodePlan, device: string): void {
  run("ip", "address", "add", `${node.ip}/24`, "dev", device);
  run("ip", "link", "set", device, "up");
  // Nothing leaves by it. Without it the node itself finds no way to a service's address, and gives
  // up before that address is replaced by a pod's.
  run("ip", "route", "add", "default", "dev", device);
  if (node.ip6 !== undefined) {
    // Nobody else is there who could have the address: it holds at once.
    run("ip", "address", "add", `${node.ip6}/64`, "dev", device, "nodad");
    run("ip", "-6", "route", "add", "default", "dev", device);
  }
  for (const other of plan.nodes) {
    if (other === node) continue;
    for (const network of other.podNetworks) {
      const via = network.includes(":") ? other.ip6 ?? "" : other.ip;
      run("ip", "route", "add", network, "via", via);
    }
  }
}

function writeFiles(plan: ClusterPlan, node: NodePlan): void {
  const files = nodeFiles(node);
  for (const folder of [files.kubeconfigs, files.logs, CNI_NET_FOLDER, CNI_BIN_FOLDER]) {
    mkdirSync(folder, { recursive: true });
  }
  for (const plugin of readdirSync(MACHINE_PLUGINS)) {
    symlinkSync(`${MACHINE_PLUGINS}/${plugin}`, `${CNI_BIN_FOLDER}/${plugin}`);
  }
  writeFileSync(files.containerd, containerdConfig(node));
  writeFileSync(files.pods, podNetworkConfig(node));
  writeFileSync(files.kubelet, kubeletConfig(plan, node));
  const pki = (file: string) => readFileSync(`${pkiFolder(plan)}/${file}`, "utf8");
  for (const [login, file] of Object.entries(loginsOf(node))) {
    const text = kubeconfigText(
      apiUrl(plan),
      pki("ca.crt"),
      pki(`${file}.crt`),
      pki(`${file}.key`),
    );
    writeFileSync(kubeconfigOf(node, login), text, { mode: 0o600 });
  }
}

async function startAll(
  plan: ClusterPlan,
  node: NodePlan,
  programs: { readonly kubernetes: string; readonly images: readonly string[] },
  supervisor: Supervisor,
): Promise<void> {
  const components = componentsOf(plan, node, programs.kubernetes);
  const [first, later] = [false, true]
    .map((needsApi) => components.filter((component) => component.needsApi === needsApi));
  for (const { name, command } of first ?? []) supervisor.run(name, command);
  if (node.isControlPlane) relayApi(node);
  await Promise.all([importImages(programs.images), apiReady(plan)]);
  for (const { name, command } of later ?? []) supervisor.run(name, command);
}

/** Resolves when the API server says so, which includes that its built-in roles exist. */
async function apiReady(plan: ClusterPlan): Promise<void> {
  const ca = readFileSync(`${pkiFolder(plan)}/ca.crt`, "utf8");
  for (;;) {
    try {
      const answer = await fetch(`${apiUrl(plan)}/readyz`, { tls: { ca } });
      if (answer.ok) return;
    } catch {
      // It does not listen yet.
    }
    await Bun.sleep(POLL_MS);
  }
}

function apiUrl(plan: ClusterPlan): string {
  return `https://${plan.nodes[0]?.ip}:${API_PORT}`;
}

async function importImages(archives: readonly string[]): Promise<void> {
  while (!existsSync(CONTAINERD_SOCKET)) await Bun.sleep(POLL_MS);
  for (const archive of archives) {
    const words = ["--namespace", "k8s.io", "images", "import", archive];
    const child = spawn("ctr", words, { stdio: ["ignore", "ignore", "inherit"] });
    const code = await new Promise((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error(`ctr could not import ${archive}`);
  }
}

/** Takes connections to the API server from outside of the node's network. */
function relayApi(node: NodePlan): void {
  createServer((outer) => {
    const inner = connect(API_PORT, "127.0.0.1");
    outer.pipe(inner).pipe(outer);
    // Either side's failure is the other's end.
    outer.on("error", () => inner.destroy());
    inner.on("error", () => outer.destroy());
  }).listen(apiSocket(node.folder));
}

function serveAgent(node: NodePlan, supervisor: Supervisor, status: () => NodeStatus): void {
  Bun.serve({
    unix: agentSocket(node.folder),
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url);
      const [, kind, name = "", action] = pathname.split("/");
      if (kind === "status") return Response.json(status());
      if (kind !== "programs" || request.method !== "POST") {
        return new Response("", { status: 404 });
      }
      const signal = (searchParams.get("signal") ?? "SIGTERM") as NodeJS.Signals;
      try {
        if (action === "stop") await supervisor.stop(name, signal);
        else supervisor.start(name);
        return new Response("");
      } catch (cause) {
        return new Response(String(cause), { status: 400 });
      }
    },
  });
}

function run(program: string, ...args: string[]): void {
  const done = spawnSync(program, args, { encoding: "utf8" });
  if (done.status === 0) return;
  throw new Error(`${program} ${args.join(" ")}: ${done.error?.message ?? done.stderr.trim()}`);
}
