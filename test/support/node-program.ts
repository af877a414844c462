/** Node, where this machine has it: programs of its world are run by it in tests. */

import { spawnSync } from "node:child_process";

/** The program that runs as `node` on this machine, or undefined without it. */
export function nodeProgram(): string | undefined {
  const found = spawnSync("node", ["-p", "process.execPath"], { encoding: "utf8" });
  return found.status === 0 ? found.stdout.trim() : undefined;
}
