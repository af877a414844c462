/** The terminal in which a test follows a page: one folder, one environment, commands in their order. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isShown, type Step } from "./page.ts";

const POLL_MS = 500;
/** What comes by itself comes in this time. */
const REPEAT_MS = 90_000;

/** What a command left behind; both streams together, as a person sees them. */
interface Result {
  readonly status: number;
  readonly output: string;
}

/** Follows one page. */
export class Terminal {
  /** Home and working directory. */
  readonly folder = mkdtempSync(join(tmpdir(), "malla-docs-"));
  readonly #env: Readonly<Record<string, string>>;
  #other: { readonly child: Bun.Subprocess; readonly step: Step; output: string } | undefined;

  /** `path` comes before the machine's programs. */
  constructor(path: string, env: Readonly<Record<string, string>> = {}) {
    const state = join(this.folder, ".state");
    mkdirSync(state, { mode: 0o700 });
    this.#env = {
      PATH: `${path}:${process.env["PATH"] ?? ""}`,
      HOME: this.folder,
      TMPDIR: process.env["TMPDIR"] ?? tmpdir(),
      XDG_RUNTIME_DIR: state,
      ...env,
    };
  }

  /** Does what the page says; rejects when something else happens than the page says. */
  async follow(step: Step): Promise<void> {
    if (step.stays) return await this.#start(step);
    const endMs = Date.now() + REPEAT_MS;
    let result = await this.#run(step.script);
    while (step.repeats && why(step, result) !== undefined && Date.now() < endMs) {
      await Bun.sleep(POLL_MS);
      result = await this.#run(step.script);
    }
    const complaint = why(step, result);
    if (complaint !== undefined) throw new Error(complaint);
  }

  /** Ends what stays, as Ctrl-C does, and removes the folder. */
  async close(): Promise<void> {
    try {
      await this.#endOther();
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  async #start(step: Step): Promise<void> {
    await this.#endOther();
    const child = this.#spawn(step.script);
    const other = { child, step, output: "" };
    this.#other = other;
    void (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of child.stdout) {
        other.output += decoder.decode(chunk, { stream: true });
      }
    })();
    const endMs = Date.now() + REPEAT_MS;
    while (!isShown(`${step.shown ?? ""}\n…`, other.output)) {
      if (Date.now() > endMs || child.exitCode !== null) {
        throw new Error(`${step.at}: expected\n${step.shown}\ngot\n${other.output}`);
      }
      await Bun.sleep(POLL_MS);
    }
  }

  async #endOther(): Promise<void> {
    const other = this.#other;
    this.#other = undefined;
    if (other === undefined) return;
    // To the group, as a terminal does.
    process.kill(-other.child.pid, "SIGINT");
    const status = await other.child.exited;
    if (status === other.step.status) return;
    throw new Error(`${other.step.at}: Ctrl-C ended it with ${status}:\n${other.output}`);
  }

  async #run(script: string): Promise<Result> {
    const child = this.#spawn(script);
    const output = await new Response(child.stdout).text();
    return { status: await child.exited, output };
  }

  #spawn(script: string) {
    const words = ["setsid", "bash", "-euo", "pipefail", "-c", `exec 2>&1\n${script}`];
    return Bun.spawn(words, { env: { ...this.#env }, cwd: this.folder, stdout: "pipe" });
  }
}

/** What is not as the page says; undefined when all is. */
function why({ at, status, shown }: Step, result: Result): string | undefined {
  if (result.status !== status) {
    return `${at}: ended with ${result.status}, expected ${status}:\n${result.output}`;
  }
  if (shown === undefined || isShown(shown, result.output)) return undefined;
  return `${at}: expected\n${shown}\n\ngot\n${result.output}`;
}
