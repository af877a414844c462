/** Starts modes of the program under test: the compiled executable when it was built, else the source. */

import { existsSync } from "node:fs";
import { createServer } from "node:net";

const top = new URL("../..", import.meta.url).pathname;

/** The words that start the program from its source: for fast tests, which must not see an old build. */
export const SOURCE: readonly string[] = [process.execPath, `${top}cmd/malla.ts`];

/** The words that start the program under test. `MALLA_COMMAND` names another one. */
export const MALLA: readonly string[] = process.env["MALLA_COMMAND"]?.split(" ") ??
  (existsSync(`${top}dist/malla`) ? [`${top}dist/malla`] : SOURCE);

/** PATH as ordinary users have it on Debian: without sbin. */
export const ORDINARY_PATH = (process.env["PATH"] ?? "").split(":")
  .filter((part) => !part.endsWith("sbin")).join(":");

/** PATH with the system's programs, which ordinary users often have not in theirs. */
export const SYSTEM_PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

/** A mode that was started; its output is kept. */
export class Mode {
  readonly process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  #output = "";
  readonly #read: Promise<unknown>;

  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    command: readonly string[] = MALLA,
  ) {
    this.process = Bun.spawn([...command, ...args], {
      env: { PATH: process.env["PATH"] ?? "", ...env },
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#read = Promise.all([this.#keep(this.process.stdout), this.#keep(this.process.stderr)]);
  }

  /** What it wrote so far, both streams. */
  get output(): string {
    return this.#output;
  }

  /** Resolves to the exit code once its output was read to the end. */
  async exited(): Promise<number> {
    const code = await this.process.exited;
    await this.#read;
    return code;
  }

  /** Signals it and waits for its end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.process.kill(signal);
    return await this.exited();
  }

  /**
   * Waits until its output holds the text or matches the pattern, whose first group it resolves to;
   * rejects with the output when it ends before.
   */
  async says(wanted: string | RegExp): Promise<string> {
    let found: RegExpExecArray | null = null;
    await until(() => {
      if (typeof wanted === "string" && this.#output.includes(wanted)) return true;
      if (typeof wanted !== "string") found = wanted.exec(this.#output);
      if (found !== null) return true;
      if (this.process.exitCode === null) return false;
      throw new Error(`ended with ${this.process.exitCode} without "${wanted}":\n${this.#output}`);
    });
    return (found as RegExpExecArray | null)?.[1] ?? "";
  }

  async #keep(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#output += decoder.decode(chunk, { stream: true });
  }
}

/** Polls until the condition holds; what it throws ends the wait. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Ports that were free a moment ago, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () =>
      new Promise<ReturnType<typeof createServer>>((resolve) => {
        const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
      })),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" ? address?.port ?? 0 : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
