/**
 * The executable's entry. The first word of argv picks the mode; each mode is a file beside this one
 * and is loaded only when it is asked for, so that a sidecar carries nothing of the command line.
 */

import { nearest } from "../lib/base/nearest.ts";
import { EXIT_USAGE } from "../lib/config/fault.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs a mode with the words after its name; resolves to the exit code. */
type Mode = (args: readonly string[]) => Promise<number>;

/** A mode's place and its line in the help. */
interface ModeEntry {
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: Mode }>;
  /** Not for people: left out of the help. */
  readonly hidden?: true;
  /** Runs until it is told to end; nothing that it left open may keep the process then. */
  readonly serves?: true;
}

const MODES: Readonly<Record<string, ModeEntry>> = {
  await: {
    summary: "wait until this pod's proxy is ready",
    load: () => import("./await.ts"),
    hidden: true,
  },
  cni: {
    summary: "the CNI plugin, told by variables",
    load: () => import("./cni.ts"),
    hidden: true,
  },
  "cni-node": {
    summary: "keep the CNI plugin on a node",
    load: () => import("./cni-node.ts"),
    serves: true,
  },
  controller: {
    summary: "serve destinations and policies to proxies",
    load: () => import("./controller.ts"),
    serves: true,
  },
  identity: {
    summary: "issue certificates to workloads",
    load: () => import("./identity.ts"),
    serves: true,
  },
  inject: {
    summary: "ask for proxies in manifests, or add them",
    load: () => import("./inject.ts"),
  },
  uninject: {
    summary: "take proxies out of manifests",
    load: async () => ({ run: (await import("./inject.ts")).runUninject }),
  },
  injector: {
    summary: "add proxies to pods as a cluster's webhook",
    load: () => import("./injector.ts"),
    serves: true,
  },
  init: {
    summary: "redirect a pod's traffic to its proxy, then exit",
    load: () => import("./init.ts"),
  },
  "network-validator": {
    summary: "whether a pod's traffic is redirected, then exit",
    load: () => import("./network-validator.ts"),
  },
  node: {
    summary: "the inner half of up",
    load: () => import("./node.ts"),
    hidden: true,
  },
  install: {
    summary: "the objects of a control plane, for kubectl apply",
    load: () => import("./install.ts"),
  },
  "install-cni": {
    summary: "the objects of the CNI plugin, for kubectl apply",
    load: () => import("./install-cni.ts"),
  },
  upgrade: {
    summary: "the objects of a control plane that is there, changed",
    load: () => import("./upgrade.ts"),
  },
  uninstall: {
    summary: "the objects of a control plane, for kubectl delete",
    load: () => import("./uninstall.ts"),
  },
  proxy: {
    summary: "the sidecar: takes a pod's connections and secures them",
    load: () => import("./proxy.ts"),
    serves: true,
  },
  "proxy-core": {
    summary: "one of several cores of a proxy, as a thread of it",
    load: () => import("./proxy-core.ts"),
    hidden: true,
  },
  run: {
    summary: "add one process to the running mesh",
    load: () => import("./run.ts"),
  },
  up: {
    summary: "run manifests as a mesh on this machine",
    load: () => import("./up.ts"),
  },
  viz: {
    summary: "metrics API, history and the live page",
    load: () => import("./viz.ts"),
    serves: true,
  },
  stat: {
    summary: "success rate, requests and latencies of the mesh",
    load: () => import("./stat.ts"),
  },
  edges: {
    summary: "who talks to whom, as whom, and whether it is secured",
    load: () => import("./edges.ts"),
  },
  version: {
    summary: "the version of this program",
    load: () => import("./version.ts"),
  },
  check: {
    summary: "whether this machine can run a mesh, and whether its mesh is well",
    load: () => import("./check.ts"),
  },
  demo: {
    summary: "a small application in a mesh on this machine, with live figures",
    load: () => import("./demo.ts"),
  },
  "demo-app": {
    summary: "one program of the demo's application",
    load: () => import("./demo-app.ts"),
    hidden: true,
  },
};

/** Words that people try for what has another name here. */
const ALIASES: ReadonlyMap<string, string> = new Map([["--version", "version"], ["-v", "version"]]);

/** Picks the mode by the first word of the arguments, runs it and sets the exit code. */
export async function main(words: readonly string[]): Promise<void> {
  const [first = wordless(), ...rest] = words;
  const asksHelp = ["help", "--help", "-h"].includes(first);
  const [name, args] = asksHelp
    ? [rest.find(isWord), ["--help"]]
    : [ALIASES.get(first) ?? first, rest];
  if (name === undefined) {
    processTerminal().write(usage());
    return;
  }
  const entry = Object.hasOwn(MODES, name) ? MODES[name] : undefined;
  if (entry === undefined) {
    const meant = nearest(name, shownModes().map(([mode]) => mode));
    const hint = meant === undefined ? "" : `; did you mean "${meant}"?`;
    process.stderr.write(`malla: unknown mode "${name}"${hint}\n\n${usage()}`);
    process.exitCode = EXIT_USAGE;
    return;
  }
  const code = await (await entry.load()).run(args);
  process.exitCode = code;
  // A connection that is still being made cannot be given up, and would hold the process for minutes.
  if (entry.serves) process.stdout.write("", () => process.exit(code));
}

/** A container runtime gives its plugins no words, and says by a variable what it wants. */
function wordless(): string {
  return process.env["CNI_COMMAND"] === undefined ? "help" : "cni";
}

function isWord(word: string): boolean {
  return !word.startsWith("-");
}

function shownModes(): [string, ModeEntry][] {
  return Object.entries(MODES).filter(([, { hidden }]) => hidden !== true);
}

function usage(): string {
  const shown = shownModes();
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  const lines = shown.map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}\n`);
  return `Usage: malla <mode> [options]\n\n${lines.join("")}\n` +
    `"malla <mode> --help" tells the options of a mode.\n`;
}

void main(process.argv.slice(2));
