/** Starts a `network-world.ts` in namespaces of its own, and talks to it. */

import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { LAB_HOME } from "./lab.ts";
import { SYSTEM_PATH } from "./malla.ts";
import type { WorldAnswer, WorldRequest } from "./network-world.ts";

const NAMESPACES = "--net --mount --pid --fork --kill-child --mount-proc";
const USER_NAMESPACE = "--user --map-root-user";
const SCRIPT = new URL("./network-world.ts", import.meta.url).pathname;

/** A running world; requests are answered in their order. */
export class World {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #waiting: ((line: string) => void)[] = [];
  readonly #dead: Promise<never>;

  private constructor(process: Bun.Subprocess<"pipe", "pipe", "inherit">) {
    this.#process = process;
    this.#dead = process.exited.then((code) =>
      Promise.reject(new Error(`the world ended with ${code}`))
    );
    // Nobody may be waiting when it ends.
    this.#dead.catch(() => {});
    const stream: unknown = process.stdout;
    createInterface({ input: Readable.fromWeb(stream as ReadableStream) })
      .on("line", (line) => this.#waiting.shift()?.(line));
  }

  /**
   * Starts a world; its files and sockets lie in the folder. With `users` it has the machine's users
   * (only root can make that), else a user namespace of its own with one user.
   */
  static async start(folder: string, users = false): Promise<World> {
    const flags = users ? NAMESPACES : `${USER_NAMESPACE} ${NAMESPACES}`;
    const sockets = [`${folder}/outside.sock`, `${folder}/inside.sock`];
    const words = [...flags.split(" "), process.execPath, SCRIPT, ...sockets];
    const world = new World(
      Bun.spawn(["unshare", ...words], {
        env: { ...process.env, PATH: SYSTEM_PATH, [LAB_HOME]: folder },
        stdin: "pipe",
        stdout: "pipe",
        stderr: "inherit",
      }),
    );
    const first = await world.#line();
    if (first !== "ready") throw new Error(`the world says "${first}"`);
    return world;
  }

  async ask(request: WorldRequest): Promise<WorldAnswer> {
    const answer = this.#line();
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    this.#process.stdin.flush();
    return JSON.parse(await answer) as WorldAnswer;
  }

  /** Runs a command in a pod to its end. */
  run(pod: string, ...command: string[]): Promise<WorldAnswer> {
    return this.ask({ kind: "run", pod, command });
  }

  /** Ends the world, and everything in it. */
  async stop(): Promise<void> {
    await this.#process.stdin.end();
    await this.#process.exited;
  }

  #line(): Promise<string> {
    const line = new Promise<string>((resolve) => void this.#waiting.push(resolve));
    return Promise.race([line, this.#dead]);
  }
}
