/** `malla install` on this process's terminal. */

import { runInstall } from "../lib/cli/install.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runInstall(args, processTerminal());
}
