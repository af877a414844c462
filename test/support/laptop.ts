/** A laptop mesh under test: `malla up` as root or as an ordinary user, in a folder of its own. */

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, MALLA, ORDINARY_PATH, SYSTEM_PATH, until } from "./malla.ts";

/** By then a mesh is ready or never will be, also on a loaded machine. */
const READY_MS = 40_000;

/** The ordinary user's id in tests that run as root. */
const ORDINARY = "1000";

const FIXTURES = new URL("../fixtures/", import.meta.url).pathname;

/** Why no mesh with these programs in it can be made here, or undefined. */
export function whyNoMesh(...programs: readonly string[]): string | undefined {
  const missing = programs.filter((name) => Bun.which(name, { PATH: SYSTEM_PATH }) === null);
  if (missing.length > 0) return `not installed: ${missing.join(", ")}`;
  const tried = spawnSync("unshare", [
    "--user",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "true",
  ]);
  if (tried.status === 0) return undefined;
  return `no user namespaces here: ${String(tried.stderr).trim()}`;
}

/** Why meshes have no IPv6 here, or undefined. */
export function whyNoIpv6(): string | undefined {
  const tried = spawnSync("unshare", [
    ...["--user", "--map-root-user", "--net", "--mount", "sh", "-c"],
    "echo 0 > /proc/sys/net/ipv6/conf/all/disable_ipv6 && ip6tables-save -t nat",
  ], { env: { PATH: SYSTEM_PATH } });
  return tried.status === 0 ? undefined : `no IPv6 here: ${String(tried.stderr).trim()}`;
}

/** Who runs the mesh: this process's user, or an ordinary one. */
export type User = "self" | "ordinary";

/** The users that can be tested here. */
export const USERS: readonly User[] = process.getuid?.() === 0 ? ["self", "ordinary"] : ["self"];

/** A mode that was left running. */
export interface Running {
  readonly child: Bun.Subprocess;
  /** What it has said until now. */
  text(): string;
  /** Resolves to its exit code when all that it said is in the text. */
  readonly ended: Promise<number>;
}

/** A folder with manifests, and what is started on it. */
export class Laptop {
  /** Everything of this mesh has this path in it. */
  readonly home = mkdtempSync(join(tmpdir(), "malla-laptop-"));
  readonly app = join(this.home, "app");
  readonly #state = join(this.home, "state");
  readonly #user: User;
  readonly #started: Bun.Subprocess[] = [];
  #up: Bun.Subprocess | null = null;
  /** A folder of programs that are found before the machine's. */
  programs = "";
  output = "";

  constructor(user: User) {
    this.#user = user;
    for (const folder of [this.app, this.#state]) mkdirSync(folder);
    chmodSync(this.home, 0o755);
    chmodSync(this.#state, 0o700);
    if (user === "ordinary") spawnSync("chown", ["-R", `${ORDINARY}:${ORDINARY}`, this.home]);
  }

  /** Writes or replaces a manifest. */
  write(name: string, text: string): void {
    writeFileSync(join(this.app, name), text);
  }

  /** Copies the files of a fixture to where the manifests are. */
  copy(fixture: string): void {
    cpSync(`${FIXTURES}${fixture}`, this.app, { recursive: true });
  }

  remove(name: string): void {
    rmSync(join(this.app, name));
  }

  /** Runs a mode to its end. */
  async run(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const child = Bun.spawn(this.#words(args), {
      env: this.#env(),
      cwd: this.home,
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, out, err };
  }

  /** Starts a mode and leaves it running. */
  start(args: readonly string[]): Running {
    let text = "";
    const child = Bun.spawn(this.#words(args), {
      env: this.#env(),
      cwd: this.home,
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#started.push(child);
    const reading = [child.stdout, child.stderr].map(async (stream) => {
      const decoder = new TextDecoder();
      for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
    });
    const ended = Promise.all(reading).then(() => child.exited);
    return { child, text: () => text, ended };
  }

  /** Starts `malla up`; resolves when it says that the mesh is ready. */
  async up(...args: string[]): Promise<void> {
    const [pagePort] = await freePorts(1);
    const words = ["up", "-f", this.app, "--page-port", String(pagePort), "--grace", "3", ...args];
    const { child, text } = this.start(words);
    this.#up = child;
    const deadline = Date.now() + READY_MS;
    await until(() => {
      this.output = text();
      if (Date.now() > deadline) throw new Error(`not ready:\n${this.output}`);
      if (child.exitCode !== null) throw new Error(`up ended:\n${this.output}`);
      return this.output.includes("mesh ready in");
    });
    this.says = async (wanted) => {
      await until(() => {
        this.output = text();
        return typeof wanted === "string" ? this.output.includes(wanted) : wanted.test(this.output);
      });
    };
  }

  /** Waits until the mesh's output holds the text. */
  says: (wanted: string | RegExp) => Promise<void> = () => Promise.reject(new Error("not up"));

  /** Signals `malla up`. */
  signal(signal: NodeJS.Signals): void {
    this.#up?.kill(signal);
  }

  /** Ends `malla up` by the signal and waits for its end. */
  async end(signal: NodeJS.Signals = "SIGINT"): Promise<number> {
    this.signal(signal);
    return await this.#up?.exited ?? 0;
  }

  /**
   * Processes of this mesh whose command line, words joined by blanks, is matched. Without children of
   * such ones: until a child runs its own program, it has its parent's command line.
   */
  processes(command: RegExp): number[] {
    const found = numbersIn("/proc").filter((pid) =>
      command.test(read(`/proc/${pid}/cmdline`).replaceAll("\0", " ")) && this.#owns(pid)
    );
    return found.filter((pid) => !found.includes(parentOf(pid)));
  }

  /**
   * The one process of this mesh that is matched. Throws when there is none or are several: a signal to
   * process 0 would be one to the tests themselves.
   */
  process(command: RegExp): number {
    const [pid, ...others] = this.processes(command);
    if (pid === undefined || others.length > 0) {
      throw new Error(`${pid === undefined ? 0 : others.length + 1} processes match ${command}`);
    }
    return pid;
  }

  /** The first process inside the mesh's namespaces. */
  node(): number {
    // `unshare`, which stays outside, has the same words behind its own.
    return this.process(/^(?!unshare ).* node $/);
  }

  /** Runs a command in the mesh's own network, beside the control plane; what it writes. */
  inside(...command: readonly string[]): string {
    const words = ["-t", String(this.node()), "-U", "--preserve-credentials", "-n", "--"];
    const { stdout } = spawnSync("nsenter", [...words, ...command], { env: { PATH: SYSTEM_PATH } });
    return String(stdout);
  }

  /** The address of a pod, as soon as it has one. */
  podIp(name: string): string | undefined {
    const state = join(this.#state, "malla");
    const [mesh] = readdirSync(state).filter((each) => each.startsWith("mesh-"));
    const objects = `/proc/${this.node()}/root${state}/${mesh}/inner/objects`;
    const pods = readdirSync(objects).map((file) => read(`${objects}/${file}`))
      .filter((text) => text !== "").map((text) => JSON.parse(text));
    return pods.find(({ kind, metadata }) => kind === "Pod" && metadata.name === name)?.status
      ?.podIP;
  }

  /** The value of a metric of a pod's proxy, over all series whose lines hold these labels. */
  metric(pod: string, name: string, ...labels: readonly string[]): number {
    const text = this.inside("curl", "-s", `http://${this.podIp(pod)}:4191/metrics`);
    return text.split("\n")
      .filter((line) =>
        line.startsWith(`${name}{`) && labels.every((label) => line.includes(label))
      )
      .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** What is left of the mesh on this machine: processes, mounts, files. */
  leftovers(): string[] {
    const processes = numbersIn("/proc").filter((pid) => pid !== process.pid && this.#owns(pid))
      .map((pid) => `process ${pid} ${read(`/proc/${pid}/cmdline`)}`);
    const mounts = read("/proc/self/mounts").split("\n").filter((line) => line.includes(this.home));
    const files = readdirSync(this.#state, { recursive: true }).map(String);
    return [
      ...processes,
      ...mounts.map((line) => `mount ${line}`),
      ...files.map((file) => `file ${file}`),
    ];
  }

  /** Ends everything, also after a failed test, and removes the folder. */
  async clean(): Promise<void> {
    for (const child of this.#started) {
      child.kill("SIGKILL");
      await child.exited;
    }
    rmSync(this.home, { recursive: true, force: true });
  }

  #owns(pid: number): boolean {
    const traces = [read(`/proc/${pid}/cmdline`), link(`/proc/${pid}/cwd`)];
    return [...traces, read(`/proc/${pid}/environ`)].some((text) => text.includes(this.home));
  }

  #words(args: readonly string[]): string[] {
    const user = this.#user === "ordinary"
      ? ["setpriv", "--reuid", ORDINARY, "--regid", ORDINARY, "--clear-groups", "--"]
      : [];
    return [...user, ...MALLA, ...args];
  }

  #env(): Record<string, string> {
    return {
      PATH: this.programs === "" ? ORDINARY_PATH : `${this.programs}:${ORDINARY_PATH}`,
      HOME: this.home,
      XDG_RUNTIME_DIR: this.#state,
    };
  }
}

function numbersIn(folder: string): number[] {
  return readdirSync(folder).filter((name) => /^\d+$/.test(name)).map(Number);
}

/** 0 for a process that is gone. */
function parentOf(pid: number): number {
  // The name, in parentheses, may hold anything; state and parent come after it.
  return Number(read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ")[1] ?? 0);
}

function read(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  } catch {
    // It ended, or belongs to somebody else.
    return "";
  }
}

function link(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // As above.
    return "";
  }
}
