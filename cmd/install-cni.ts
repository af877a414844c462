/** `malla install-cni` on this process's terminal. */

import { runInstallCni } from "../lib/cli/install-cni.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runInstallCni(args, processTerminal());
}
