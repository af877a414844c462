/**
 * Processes of the host: this one (identity, environment, signals, exit) and its children. Children
 * get their whole environment from the caller, nothing is inherited by accident. Output comes as
 * chunks in the order in which the child wrote them to each stream.
 */

import { closeSync, constants, openSync } from "node:fs";
import { Fault } from "../base/fault.ts";
import { makePipe, type Pipe } from "./pipe.ts";

/** How a process ended. */
export interface Exit {
  /** The exit code; 128 + the signal's number when a signal ended it, as shells count. */
  readonly code: number;
  /** The signal that ended it, such as `SIGKILL`, else null. */
  readonly signal: string | null;
}

/** Where a child's output goes: to a function, to a stream of this process, or nowhere. */
export type Output = ((chunk: Uint8Array) => void) | "inherit" | "ignore";

/** How to start a child. */
export interface SpawnOptions {
  readonly command: readonly string[];
  /** The whole environment; PATH of this environment also finds the program. */
  readonly env: Readonly<Record<string, string>>;
  /** Default: the directory of this process. */
  readonly cwd?: string;
  /** A session (and process group) of its own, away from the terminal's signals. Default: false. */
  readonly session?: boolean;
  readonly stdin?: "ignore" | "inherit" | "pipe";
  readonly stdout: Output;
  readonly stderr: Output;
}

/** A running child. */
export interface Child {
  readonly pid: number;
  /** Resolves when the child has ended; others may still hold its output open. */
  readonly ended: Promise<void>;
  /** Resolves when the child has ended and its output was delivered. */
  readonly exited: Promise<Exit>;
  /** Signals the child; with `group` its whole process group. False when it is gone. */
  kill(signal: Signal, group?: boolean): boolean;
  /** Writes to the child's standard input, where it is a pipe. */
  write(bytes: Uint8Array): void;
  /** Ends the child's standard input, where it is a pipe. */
  endInput(): void;
}

/** The signals that the mesh sends or takes. */
export type Signal =
  | "SIGTERM"
  | "SIGKILL"
  | "SIGINT"
  | "SIGHUP"
  | "SIGQUIT"
  | "SIGUSR1"
  | "SIGUSR2";

/** What a short command left behind. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** After a child's end, its output may be held open by grandchildren; nobody waits longer for it. */
const OUTPUT_GRACE_MS = 1_000;

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** Starts a child. Throws `not_found` when the program is missing, `failed_precondition` otherwise. */
export function spawn(options: SpawnOptions): Child {
  const pipes: Pipe[] = [];
  const place = (output: Output) => {
    if (typeof output !== "function") return output;
    const pipe = makePipe();
    pipes.push(pipe);
    return pipe.writeEnd;
  };
  const takers = [options.stdout, options.stderr].filter((output) => typeof output === "function");
  const stdout = place(options.stdout);
  const stderr = place(options.stderr);
  let child: ReturnType<typeof spawnRaw>;
  try {
    child = spawnRaw(options, stdout, stderr);
  } catch (error) {
    // Nobody writes: reading closes the pipes.
    for (const pipe of pipes) void pipe.deliver(() => {});
    throw error;
  } finally {
    for (const pipe of pipes) pipe.closeWriteEnd();
  }
  const outputs = pipes.map((pipe, index) => pipe.deliver(takers[index] ?? (() => {})));
  return childOf(child, outputs);
}

/** Runs a short command to its end with an input; its output is text. Throws as `spawn` does. */
export async function execute(
  command: readonly string[],
  options: {
    readonly input?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
    /** After this the command is killed. Default: it may take as long as it likes. */
    readonly timeoutMs?: number;
  } = {},
): Promise<Outcome> {
  const stdout: Uint8Array[] = [];
  const stderr: Uint8Array[] = [];
  const child = spawn({
    command,
    env: options.env ?? environment(),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: options.input === undefined ? "ignore" : "pipe",
    stdout: (chunk) => void stdout.push(chunk),
    stderr: (chunk) => void stderr.push(chunk),
  });
  if (options.input !== undefined) {
    child.write(new TextEncoder().encode(options.input));
    child.endInput();
  }
  const timer = options.timeoutMs === undefined
    ? undefined
    : setTimeout(() => void child.kill("SIGKILL"), options.timeoutMs);
  const { code } = await child.exited;
  clearTimeout(timer);
  return { code, stdout: joinText(stdout), stderr: joinText(stderr) };
}

/** Sends a signal to a process, or to a group when the id is negative. False when it is gone. */
export function signalProcess(pid: number, signal: Signal | 0): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    // ESRCH: it ended by itself; EPERM: the id belongs to somebody else by now.
    return false;
  }
}

/** Calls on each of the signals; returns how to stop that. The signals' own effect is gone then. */
export function onSignals(signals: readonly Signal[], call: (signal: Signal) => void): () => void {
  const off = signals.map((signal) => {
    const handler = () => call(signal);
    process.on(signal, handler);
    return () => void process.off(signal, handler);
  });
  return () => off.forEach((stop) => stop());
}

/** The environment of this process, as it is now. */
export function environment(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** This process's id. */
export function ownPid(): number {
  return process.pid;
}

/** The real user and group of this process. */
export function ownIds(): { readonly uid: number; readonly gid: number } {
  return { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
}

/** The current directory. */
export function currentDirectory(): string {
  return process.cwd();
}

/** Whether standard output or standard error is a terminal. */
export function isTerminal(stream: "stdout" | "stderr"): boolean {
  return process[stream].isTTY === true;
}

/** Ends this process at once. */
export function exitNow(code: number): never {
  process.exit(code);
}

/** The words that start this program again: the executable, or the runtime and the entry file. */
export function ownCommand(): readonly string[] {
  const compiled = Bun.main.startsWith("/$bunfs/") || Bun.main.startsWith("B:/~BUN/");
  return compiled ? [process.execPath] : [process.execPath, Bun.main];
}

/** The words that run a source file of Malla: by the Bun that runs this program, else by the one in PATH. */
export function sourceCommand(file: string): readonly string[] {
  return [process.versions.bun === undefined ? "bun" : process.execPath, file];
}

/** The path of a program, looked up in PATH and the directories of system programs; null: missing. */
export function findProgram(name: string, path: string | undefined): string | null {
  return Bun.which(name, { PATH: `${path ?? ""}:/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/bin` });
}

function spawnRaw(
  options: SpawnOptions,
  stdout: number | "inherit" | "ignore",
  stderr: number | "inherit" | "ignore",
) {
  const [program = "", ...rest] = options.command;
  try {
    return Bun.spawn([program, ...rest], {
      env: { ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      detached: options.session ?? false,
      stdin: options.stdin ?? "ignore",
      stdout,
      stderr,
    });
  } catch (cause) {
    throw new Fault(
      cause instanceof Error && "code" in cause && cause.code === "ENOENT"
        ? "not_found"
        : "failed_precondition",
      `Cannot start "${program}"${options.cwd === undefined ? "" : ` in "${options.cwd}"`}`,
      { cause },
    );
  }
}

function childOf(child: ReturnType<typeof spawnRaw>, outputs: readonly Promise<void>[]): Child {
  const exited = child.exited.then(async () => {
    const grace = Promise.withResolvers<void>();
    const timer = setTimeout(grace.resolve, OUTPUT_GRACE_MS);
    await Promise.race([Promise.all(outputs), grace.promise]);
    clearTimeout(timer);
    return exitOf(child.exitCode, child.signalCode === null ? null : String(child.signalCode));
  });
  return {
    pid: child.pid,
    ended: child.exited.then(() => {}),
    exited,
    kill: (signal, group = false) => signalProcess(group ? -child.pid : child.pid, signal),
    write(bytes) {
      if (typeof child.stdin !== "object" || child.stdin === null) return;
      child.stdin.write(bytes);
      child.stdin.flush();
    },
    endInput() {
      if (typeof child.stdin === "object" && child.stdin !== null) void child.stdin.end();
    },
  };
}

function exitOf(code: number | null, signal: string | null): Exit {
  if (signal === null) return { code: code ?? 0, signal: null };
  return { code: 128 + (SIGNAL_NUMBERS[signal] ?? 0), signal };
}

function joinText(chunks: readonly Uint8Array[]): string {
  return Buffer.concat(chunks).toString("utf8");
}

/**
 * Holds a file open for reading, so that what it stands for (a namespace) goes on living; returns
 * its descriptor and how to let go. Throws `not_found` when it cannot be opened.
 */
export function holdOpen(path: string): { readonly fd: number; close(): void } {
  try {
    const fd = openSync(path, constants.O_RDONLY);
    return { fd, close: () => closeSync(fd) };
  } catch (cause) {
    throw new Fault("not_found", `Cannot open "${path}"`, { cause });
  }
}
