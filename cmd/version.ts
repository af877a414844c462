/** `malla version` on this process's terminal. */

import { runVersion } from "../lib/cli/version.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runVersion(args, processTerminal());
}
