/** Commands of this machine, run to their end. */

import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";

/** What a command left behind. */
export interface Outcome {
  /** Its exit code; 137 when a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a command is given. */
export interface CommandOptions {
  /** Its standard input; default: nothing. */
  readonly input?: string;
  /** The path of a file as its standard input. */
  readonly inputFile?: string;
  /** After this it is killed; default: never. */
  readonly timeoutMs?: number;
}

/** Runs a command to its end; rejects only when there is no such program. */
export async function runCommand(
  command: readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  const [program = "", ...args] = command;
  const { timeoutMs } = options;
  const child = spawn(program, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(timeoutMs === undefined ? {} : { timeout: timeoutMs, killSignal: "SIGKILL" }),
  });
  const texts = { stdout: "", stderr: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => void (texts.stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => void (texts.stderr += text));
  // A command may end before it has read all.
  child.stdin.on("error", () => {});
  if (options.inputFile !== undefined) createReadStream(options.inputFile).pipe(child.stdin);
  else child.stdin.end(options.input ?? "");
  const code = await new Promise<number>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (exit) => resolve(exit ?? 137));
  });
  return { code, ...texts };
}
