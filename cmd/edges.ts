/** `malla edges` on this process's terminal. */

import { runEdges } from "../lib/cli/edges.ts";
import { processTerminal } from "../lib/host/terminal.ts";

/** Runs the verb; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  return runEdges(args, processTerminal());
}
