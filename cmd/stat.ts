/** `malla stat` on this process's terminal. */

import { runStat } from "../lib/cli/stat.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runStat(args, processTerminal());
}
