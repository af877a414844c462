/** `malla uninstall` on this process's terminal. */

import { runUninstall } from "../lib/cli/uninstall.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runUninstall(args, processTerminal());
}
