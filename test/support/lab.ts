/**
 * A network laboratory: a private world of network namespaces on one bridge, for benchmarks and
 * end-to-end tests that place each program by hand. The whole world lives in namespaces of its own
 * (user, network, mount, process), so it needs no root, never touches the machine's network, and is
 * gone with its first process, however that ends.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { SYSTEM_PATH } from "./malla.ts";

/** The variable that tells a process inside where the laboratory's files lie. */
export const LAB_HOME = "LAB_HOME";

/** Whether this process is already inside a laboratory. */
export function insideLab(): boolean {
  return process.env[LAB_HOME] !== undefined;
}

/** Runs this script again inside a new laboratory and returns its exit code. */
export function enterLab(script: string, args: readonly string[]): number {
  const home = mkdtempSync(`${tmpdir()}/malla-lab-`);
  try {
    const flags = "--user --map-root-user --net --mount --pid --fork --kill-child --mount-proc";
    // The laboratory ends with us, also when we are killed.
    const words = ["--pdeathsig", "SIGTERM", "unshare", ...flags.split(" "), process.execPath];
    const done = spawnSync("setpriv", [...words, script, ...args], {
      stdio: "inherit",
      env: { ...process.env, PATH: SYSTEM_PATH, [LAB_HOME]: home },
    });
    return done.status ?? 1;
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** How a program is started in a node. */
export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** CPU core to pin to, or several as `0,1`; absent: any. */
  readonly core?: number | string;
  /** Where standard output and error go; absent: they are kept for `output()`. */
  readonly log?: "inherit";
}

/** A running program. */
export class Program {
  readonly pid: number;
  readonly #process: Bun.Subprocess;
  readonly #output: Promise<string>;

  constructor(process: Bun.Subprocess, output: Promise<string>) {
    this.#process = process;
    this.#output = output;
    this.pid = process.pid;
  }

  /** Resolves to the exit code. */
  get exited(): Promise<number> {
    return this.#process.exited;
  }

  /** Everything that it wrote, once it has ended. */
  output(): Promise<string> {
    return this.#output;
  }

  /** Ends it with a signal and waits for that. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.#process.kill(signal);
    return await this.#process.exited;
  }
}

/** A network namespace with one address on the bridge. */
export class Node {
  readonly name: string;
  readonly ip: string;

  constructor(name: string, ip: string) {
    this.name = name;
    this.ip = ip;
  }

  /** Runs a command to its end and returns its output; throws when it fails. */
  run(command: readonly string[], input?: string): string {
    return run(["ip", "netns", "exec", this.name, ...command], input);
  }

  /** Starts a program that stays. */
  start(command: readonly string[], options: StartOptions = {}): Program {
    return start(["ip", "netns", "exec", this.name, ...command], options);
  }
}

/** The world inside: a bridge at 10.42.0.1/16 and nodes on it. */
export class Lab {
  /** A folder for files; removed with the laboratory. */
  readonly home: string;
  readonly #nodes = new Map<string, Node>();

  constructor() {
    const home = process.env[LAB_HOME];
    if (home === undefined) throw new Error("not inside a laboratory: call enterLab first");
    this.home = home;
    run(["mount", "-t", "tmpfs", "tmpfs", "/run"]);
    mkdirSync("/run/netns", { recursive: true });
    run(["ip", "link", "set", "lo", "up"]);
    run(["ip", "link", "add", "mesh0", "type", "bridge"]);
    run(["ip", "address", "add", "10.42.0.1/16", "dev", "mesh0"]);
    run(["ip", "link", "set", "mesh0", "up"]);
  }

  /** Starts a program in the laboratory's own namespace, at 10.42.0.1. */
  start(command: readonly string[], options: StartOptions = {}): Program {
    return start(command, options);
  }

  /** Adds a namespace with the next address, 10.42.1.1 and up. */
  node(name: string): Node {
    const ip = `10.42.1.${this.#nodes.size + 1}`;
    const link = `veth${this.#nodes.size + 1}`;
    run(["ip", "netns", "add", name]);
    run(["ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name]);
    run(["ip", "link", "set", link, "master", "mesh0", "up"]);
    const node = new Node(name, ip);
    node.run(["ip", "link", "set", "lo", "up"]);
    node.run(["ip", "address", "add", `${ip}/16`, "dev", "eth0"]);
    node.run(["ip", "link", "set", "eth0", "up"]);
    node.run(["ip", "route", "add", "default", "via", "10.42.0.1"]);
    node.run(["sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0"]);
    this.#nodes.set(name, node);
    return node;
  }
}

/** Starts a program that stays; its output is kept unless it is to be inherited. */
function start(command: readonly string[], options: StartOptions): Program {
  const pin = options.core === undefined ? [] : ["taskset", "-c", String(options.core)];
  const started = Bun.spawn([...pin, ...command], {
    env: { ...process.env, ...options.env },
    stdin: "ignore",
    stdout: options.log ?? "pipe",
    stderr: options.log ?? "pipe",
  });
  const output = options.log === "inherit"
    ? Promise.resolve("")
    : Promise.all([streamText(started.stdout), streamText(started.stderr)])
      .then((texts) => texts.join(""));
  return new Program(started, output);
}

/** Runs a command in the laboratory's own namespace; throws with what it wrote when it fails. */
export function run(command: readonly string[], input?: string): string {
  const [program = "", ...args] = command;
  const done = spawnSync(program, args, { input, encoding: "utf8" });
  if (done.status !== 0) {
    throw new Error(`${command.join(" ")}: ${done.error?.message ?? done.stderr + done.stdout}`);
  }
  return done.stdout;
}

/** Calls until the condition holds; throws with the name after `limitMs`. */
export async function until(
  name: string,
  condition: () => boolean | Promise<boolean>,
  limitMs = 20_000,
): Promise<void> {
  const end = Date.now() + limitMs;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`waited ${limitMs} ms in vain: ${name}`);
    await Bun.sleep(20);
  }
}

/** CPU time that a process and its threads have used, in microseconds; the kernel counts in 10 ms. */
export function cpuTimes(
  pid: number,
): { readonly userMicros: number; readonly kernelMicros: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { userMicros: Number(fields[11]) * 10_000, kernelMicros: Number(fields[12]) * 10_000 };
}

/** Memory of a process in MB: resident, its share of it, its own alone, and what no file backs. */
export interface Memory {
  readonly residentMb: number;
  /** Pages that several processes share count in parts. */
  readonly proportionalMb: number;
  readonly privateMb: number;
  readonly anonymousMb: number;
}

/** Reads the memory of a process now. */
export function memory(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const mb = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0) / 1024;
  return {
    residentMb: mb("Rss"),
    proportionalMb: mb("Pss"),
    privateMb: mb("Private_Clean") + mb("Private_Dirty"),
    anonymousMb: mb("Anonymous"),
  };
}

async function streamText(stream: unknown): Promise<string> {
  return stream instanceof ReadableStream ? await new Response(stream).text() : "";
}
