/** `malla check` on this process's terminal. */

import { runCheck } from "../lib/cli/check-verb.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runCheck(args, processTerminal());
}
