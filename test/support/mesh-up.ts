/**
 * A laptop mesh as a person meets it: the compiled executable with `malla up` on fixtures, `malla run`
 * for clients, and at the end the proof that nothing is left. All of it (executable, manifests, home,
 * runtime and temporary folders) lies in one new folder that any user can read, so that meshes of
 * several tests and users never meet, and whatever a mesh leaves behind is found there.
 */

import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "./malla.ts";

const TOP = new URL("../..", import.meta.url).pathname;
const NAMESPACE_KINDS = ["user", "net", "mnt", "pid", "uts", "cgroup", "ipc"] as const;
/** No condition takes that long on the slowest machine; what waits longer has failed. */
const WAIT_LIMIT_MS = 60_000;
/** Neither root nor anyone's: the user of tests that must work without rights. */
const ORDINARY_ID = 65_534;

/** The executable under test. */
export const EXECUTABLE = process.env["MALLA_EXECUTABLE"] ?? `${TOP}dist/malla`;
/** Folder of the fixtures. */
export const FIXTURES = `${TOP}test/fixtures`;

/** How a mesh is started. */
export interface MeshUpOptions {
  /** Folders in `test/fixtures`, copied before the start. */
  readonly fixtures: readonly string[];
  /** Further words for `malla up`. */
  readonly args?: readonly string[];
  /** `ordinary`: without any rights; only for a test that runs as root. */
  readonly user?: "self" | "ordinary";
}

/** What a command left. */
export interface Done {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Names of those programs that the machine lacks, for the reason why a test is skipped. */
export function missingPrograms(...names: readonly string[]): string[] {
  const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;
  return names.filter((name) => Bun.which(name, { PATH: path }) === null);
}

/** Why meshes cannot be tried here at all; empty when they can. */
export function whyNoMesh(...programs: readonly string[]): string {
  const missing = missingPrograms("unshare", "nsenter", "ip", "iptables", ...programs);
  if (missing.length > 0) return `missing programs: ${missing.join(", ")}`;
  const words = ["unshare", "--user", "--map-root-user", "--net", "--mount", "true"];
  if (Bun.spawnSync(words, { stderr: "ignore" }).exitCode !== 0) return "no user namespaces";
  return existsSync(EXECUTABLE) ? "" : `no executable at ${EXECUTABLE}: build it first`;
}

/** Calls until the condition holds; throws with `name`, and with what `detail` tells, when it never does. */
export async function until(
  name: string,
  condition: () => boolean | Promise<boolean>,
  detail: () => string = () => "",
): Promise<void> {
  const end = Date.now() + WAIT_LIMIT_MS;
  while (!await condition()) {
    if (Date.now() > end) throw new Error(`waited in vain until ${name}\n${detail()}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** A folder that any user can read, with the executable in it. */
export class Place {
  readonly folder: string;
  readonly executable: string;
  readonly #ids: readonly [number, number] | null;

  constructor(user: "self" | "ordinary" = "self") {
    this.#ids = user === "ordinary" ? [ORDINARY_ID, ORDINARY_ID] : null;
    this.folder = mkdtempSync(join(tmpdir(), "malla-e2e-"));
    chmodSync(this.folder, 0o755);
    this.executable = join(this.folder, "malla");
    copyFileSync(EXECUTABLE, this.executable);
    chmodSync(this.executable, 0o755);
    for (const name of ["home", "run", "tmp", "app"]) {
      mkdirSync(join(this.folder, name), { mode: name === "app" ? 0o755 : 0o700 });
      if (this.#ids !== null) chownSync(join(this.folder, name), ...this.#ids);
    }
  }

  /** Where the manifests are. */
  get app(): string {
    return join(this.folder, "app");
  }

  /** Adds the manifests of a fixture. */
  add(fixture: string): void {
    cpSync(`${FIXTURES}/${fixture}`, this.app, { recursive: true });
  }

  /** The environment of everything that is started here. */
  get environment(): Record<string, string> {
    return {
      PATH: `${process.env["PATH"]}:/usr/sbin:/sbin`,
      HOME: join(this.folder, "home"),
      XDG_RUNTIME_DIR: join(this.folder, "run"),
      TMPDIR: join(this.folder, "tmp"),
    };
  }

  /** The words that run the executable as this place's user. */
  words(...args: readonly string[]): string[] {
    const [uid, gid] = this.#ids ?? [];
    const user = uid === undefined
      ? []
      : ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
    return [...user, this.executable, ...args];
  }

  /** Runs a mode to its end. */
  async malla(args: readonly string[], input = ""): Promise<Done> {
    return await new Running(this.words(...args), this.environment, this.app, input).done;
  }

  /** Starts a mode that stays. */
  start(...args: readonly string[]): Running {
    return new Running(this.words(...args), this.environment, this.app);
  }

  /** Processes that run this place's executable. */
  processes(): number[] {
    return processesWhere((pid) => commandOf(pid).includes(this.executable));
  }

  /** What lies in the user's folders. */
  leftFiles(): string[] {
    return ["home", "run", "tmp"].flatMap((name) =>
      readdirSync(join(this.folder, name), { recursive: true }).map((path) => `${name}/${path}`)
    );
  }

  /** Removes the folder, and kills what a failed test left in it. */
  remove(): void {
    for (const pid of this.processes()) process.kill(pid, "SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** A program that runs. */
export class Running {
  readonly process: Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** What it leaves, once it has ended. */
  readonly done: Promise<Done>;
  out = "";
  err = "";

  constructor(
    words: readonly string[],
    env: Record<string, string>,
    cwd: string,
    input?: string,
  ) {
    this.process = Bun.spawn([...words], {
      env,
      cwd,
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
    if (input !== undefined) {
      this.process.stdin.write(input);
      void this.process.stdin.end();
    }
    const read = Promise.all([
      this.#keep(this.process.stdout, (text) => void (this.out += text)),
      this.#keep(this.process.stderr, (text) => void (this.err += text)),
    ]);
    this.done = this.process.exited.then(async (code) => {
      await read;
      return { code, out: this.out, err: this.err };
    });
  }

  /** Everything that it wrote so far. */
  get output(): string {
    return this.out + this.err;
  }

  /** Whether it runs no more. */
  get isOver(): boolean {
    return this.process.exitCode !== null || this.process.signalCode !== null;
  }

  /** Signals it and waits for its end. */
  async stop(signal: NodeJS.Signals = "SIGINT"): Promise<Done> {
    this.process.kill(signal);
    return await this.done;
  }

  /** Waits until it wrote the text; throws with what it wrote when it ends before. */
  async says(text: string): Promise<void> {
    await until(
      `"${text}" is said`,
      () => {
        if (this.output.includes(text)) return true;
        if (!this.isOver) return false;
        throw new Error(`ended without saying "${text}":\n${this.output}`);
      },
      () => this.output,
    );
  }

  async #keep(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
  }
}

/** A pod of a running mesh. */
export interface PodSeen {
  readonly name: string;
  readonly ip: string;
  readonly app: string;
  readonly ready: boolean;
  readonly restarts: number;
}

/** A mesh that runs. */
export class MeshUp {
  readonly place: Place;
  readonly up: Running;
  readonly pagePort: number;
  readonly #namespaces = new Set<string>();
  #runs = 0;

  private constructor(place: Place, up: Running, pagePort: number) {
    this.place = place;
    this.up = up;
    this.pagePort = pagePort;
  }

  /** Starts it and waits until it says that it is ready. */
  static async start(options: MeshUpOptions): Promise<MeshUp> {
    const place = new Place(options.user);
    for (const fixture of options.fixtures) place.add(fixture);
    const [port = 0] = await freePorts(1);
    const more = options.args ?? [];
    const up = place.start("up", "-f", place.app, "--page-port", String(port), ...more);
    const mesh = new MeshUp(place, up, port);
    try {
      await up.says("mesh ready");
      mesh.#noteNamespaces();
      return mesh;
    } catch (error) {
      await up.stop("SIGKILL");
      place.remove();
      throw error;
    }
  }

  /** Starts a command in a pod of its own; `--port` and the like go in `flags`. */
  start(command: readonly string[], flags: readonly string[] = [], name = this.#name()): Running {
    return this.place.start("run", name, ...flags, "--", ...command);
  }

  /** Runs a command in a pod of its own to its end. The mesh's own line is taken out of `err`. */
  async run(command: readonly string[], flags: readonly string[] = []): Promise<Done> {
    const running = this.start(command, flags);
    void running.process.stdin.end();
    const { code, out, err } = await running.done;
    return { code, out, err: err.replace(/^malla run: .* is in the mesh as .*\n/m, "") };
  }

  /** As `run`, and throws with what was written when it fails. */
  async output(command: readonly string[], flags: readonly string[] = []): Promise<string> {
    const { code, out, err } = await this.run(command, flags);
    if (code === 0) return out;
    throw new Error(`${command.join(" ")}: exit ${code}\n${out}${err}\n${this.up.output}`);
  }

  /** Runs a verb with `-o json` and reads what it shows. */
  async json<T>(...args: readonly string[]): Promise<T> {
    const { code, out, err } = await this.place.malla([...args, "-o", "json"]);
    if (code !== 0) throw new Error(`malla ${args.join(" ")}: exit ${code}\n${out}${err}`);
    return JSON.parse(out) as T;
  }

  /** The pods, as the control plane sees them. */
  pods(app?: string): PodSeen[] {
    const folder = `/proc/${this.nodePid()}/root${this.#innerFolder()}/objects`;
    const pods = readdirSync(folder).filter((name) => name.endsWith(".json"))
      .map((name) => readFileSync(`${folder}/${name}`, "utf8"))
      .map((text) => JSON.parse(text))
      .filter(({ kind }) => kind === "Pod")
      .map(podSeen);
    return pods.filter((pod) => app === undefined || pod.app === app);
  }

  /** Processes of the pod at the address whose command line holds the text. */
  podProcesses(ip: string, text: string): number[] {
    return this.#members().filter((pid) =>
      commandOf(pid).includes(text) && textAt(`/proc/${pid}/net/fib_trie`).includes(`-- ${ip}\n`)
    );
  }

  /** The words that run a command beside the control plane, in the mesh's own network. */
  insideWords(command: readonly string[]): string[] {
    const node = ["nsenter", "-t", String(this.nodePid()), "-U", "--preserve-credentials", "-n"];
    return [...node, ...command];
  }

  /** Starts a command beside the control plane. */
  startInside(command: readonly string[]): Running {
    return new Running(this.insideWords(command), this.place.environment, this.place.app, "");
  }

  /** The first process inside of the mesh's namespaces. */
  nodePid(): number {
    const words = `${this.place.executable}\0up\0--node\0`;
    const own = readlinkSync("/proc/self/ns/pid");
    const [pid] = processesWhere((each) =>
      commandOf(each) === words && linkAt(`/proc/${each}/ns/pid`) !== own
    );
    if (pid === undefined) throw new Error(`the mesh does not run:\n${this.up.output}`);
    return pid;
  }

  /** Ends it as Ctrl-C does; throws when it ends badly or leaves anything. */
  async end(): Promise<void> {
    try {
      if (!this.up.isOver) this.#noteNamespaces();
      const { code } = await this.up.stop("SIGINT");
      const problems = [
        ...code === 0 ? [] : [`exit code ${code}`],
        ...this.left().map((what) => `left: ${what}`),
      ];
      if (problems.length > 0) throw new Error(`${problems.join("\n")}\n${this.up.output}`);
    } finally {
      this.place.remove();
    }
  }

  /** Everything of this mesh that still exists. */
  left(): string[] {
    const own = (pid: number) =>
      commandOf(pid).includes(this.place.folder) ||
      NAMESPACE_KINDS.some((kind) => this.#namespaces.has(linkAt(`/proc/${pid}/ns/${kind}`)));
    return [
      ...processesWhere(own).map((pid) => `process ${pid} ${commandOf(pid)}`),
      ...textAt("/proc/self/mountinfo").split("\n").filter((line) =>
        line.includes(this.place.folder) ||
        [...this.#namespaces].some((name) => line.includes(name))
      ).map((line) => `mount ${line}`),
      ...listedNamespaces().filter((name) => this.#namespaces.has(name)),
      ...this.place.leftFiles().map((path) => `file ${path}`),
    ];
  }

  #name(): string {
    return `client-${++this.#runs}`;
  }

  #innerFolder(): string {
    const folder = `${this.place.folder}/run/malla`;
    const [name] = readdirSync(folder).filter((each) => each.startsWith("mesh-"));
    return `${folder}/${name}/inner`;
  }

  /** Processes in this mesh's pid namespace or below. */
  #members(): number[] {
    const own = readlinkSync("/proc/self/ns/user");
    return processesWhere((pid) => {
      const user = linkAt(`/proc/${pid}/ns/user`);
      return user !== "" && user !== own && this.#isInside(pid);
    });
  }

  #isInside(pid: number): boolean {
    const node = this.nodePid();
    for (let each = pid; each > 1; each = parentOf(each)) if (each === node) return true;
    return false;
  }

  #noteNamespaces(): void {
    for (const pid of this.#members()) {
      for (const kind of NAMESPACE_KINDS) {
        const name = linkAt(`/proc/${pid}/ns/${kind}`);
        if (name !== "" && name !== linkAt(`/proc/self/ns/${kind}`)) this.#namespaces.add(name);
      }
    }
  }
}

/** Resident memory of a process in MB. */
export function residentMb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(textAt(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;
}

function podSeen(pod: {
  metadata: { name: string; labels?: Record<string, string> };
  status?: {
    podIP?: string;
    conditions?: { type: string; status: string }[];
    containerStatuses?: { restartCount: number }[];
  };
}): PodSeen {
  const { conditions = [], containerStatuses = [], podIP = "" } = pod.status ?? {};
  return {
    name: pod.metadata.name,
    ip: podIP,
    app: pod.metadata.labels?.["app"] ?? "",
    ready: conditions.some(({ type, status }) => type === "Ready" && status === "True"),
    restarts: containerStatuses.reduce((sum, { restartCount }) => sum + restartCount, 0),
  };
}

/** All namespaces that the kernel shows, as `net:[4026531840]`. */
function listedNamespaces(): string[] {
  const { stdout } = Bun.spawnSync(["lsns", "-rno", "TYPE,NS"], { stderr: "ignore" });
  return stdout.toString().trim().split("\n").map((line) =>
    line.replace(/^(\w+) (\d+)$/, "$1:[$2]")
  );
}

function processesWhere(condition: (pid: number) => boolean): number[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map(Number)
    .filter((pid) => pid !== process.pid && condition(pid));
}

function commandOf(pid: number): string {
  return textAt(`/proc/${pid}/cmdline`);
}

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(textAt(`/proc/${pid}/status`))?.[1] ?? 0);
}

/** Empty for what is gone: processes end while they are looked at. */
function textAt(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Whether this test may become another user. */
export const IS_ROOT = process.getuid?.() === 0;

/** Size of a file. */
export function sizeOf(path: string): number {
  return statSync(path).size;
}
