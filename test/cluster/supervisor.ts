/**
 * Runs the programs of a node: each writes into a file of its own, and one that ends is started again
 * unless it was told to end.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";

/** What a program is doing. */
export interface ProgramState {
  readonly name: string;
  /** As the node's own processes see it; null when it does not run. */
  readonly pid: number | null;
  /** How often it ended without having been told to. */
  readonly failures: number;
}

/** Between an unexpected end and the next start. */
const RESTART_MS = 500;

/** One supervised program. */
class Program {
  readonly name: string;
  readonly #command: readonly string[];
  readonly #log: string;
  readonly #failed: (name: string) => void;
  #child: ChildProcess | null = null;
  #wanted = false;
  #failures = 0;

  constructor(name: string, command: readonly string[], log: string, failed: typeof this.failed) {
    this.name = name;
    this.#command = command;
    this.#log = log;
    this.#failed = failed;
  }

  failed(name: string): void {
    this.#failed(name);
  }

  get state(): ProgramState {
    return { name: this.name, pid: this.#child?.pid ?? null, failures: this.#failures };
  }

  start(): void {
    this.#wanted = true;
    if (this.#child !== null) return;
    const [program = "", ...args] = this.#command;
    const log = openSync(this.#log, "a");
    const child = spawn(program, args, { stdio: ["ignore", log, log], detached: true });
    closeSync(log);
    this.#child = child;
    const ended = () => {
      if (this.#child !== child) return;
      this.#child = null;
      if (!this.#wanted) return;
      this.#failures++;
      this.failed(this.name);
      setTimeout(() => this.#wanted && this.start(), RESTART_MS);
    };
    child.on("exit", ended);
    child.on("error", ended);
  }

  /** Ends it by a signal and resolves when it has ended. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    this.#wanted = false;
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }
}

/** All programs of a node. */
export class Supervisor {
  readonly #programs = new Map<string, Program>();
  readonly #folder: string;
  readonly #failed: (name: string) => void;

  /** `folder` takes the programs' output; `failed` is told of each unexpected end. */
  constructor(folder: string, failed: (name: string) => void) {
    this.#folder = folder;
    this.#failed = failed;
  }

  get states(): ProgramState[] {
    return [...this.#programs.values()].map(({ state }) => state);
  }

  /** Starts a new program. */
  run(name: string, command: readonly string[]): void {
    const program = new Program(name, command, `${this.#folder}/${name}.log`, this.#failed);
    this.#programs.set(name, program);
    program.start();
  }

  /** Starts a program again that was stopped. Throws when there is none of that name. */
  start(name: string): void {
    this.#find(name).start();
  }

  /** Ends a program; it stays ended. Throws when there is none of that name. */
  async stop(name: string, signal: NodeJS.Signals): Promise<void> {
    await this.#find(name).stop(signal);
  }

  #find(name: string): Program {
    const program = this.#programs.get(name);
    if (program === undefined) throw new Error(`there is no program "${name}"`);
    return program;
  }
}
