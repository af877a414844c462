/** An earlier build of Malla, for tests in which two versions meet. */

import { symlinkSync } from "node:fs";
import { runCommand } from "../support/command.ts";

const TOP = new URL("../..", import.meta.url).pathname;

/**
 * The commit that is upgraded from: the last release once there is one. Those before it gave up
 * connections that had been made, where a machine was busy.
 */
const COMMIT = "80ecf0c551222f7d2e64fa3ce5678cc61bea9282";

/**
 * Builds the earlier version in an empty folder; resolves to its executable, or to undefined where the
 * checkout has no history, as a shallow clone.
 */
export async function buildFormer(folder: string): Promise<string | undefined> {
  const archive = `${folder}/source.tar`;
  const words = ["git", "-C", TOP, "archive", "--output", archive, COMMIT];
  if ((await runCommand(words)).code !== 0) return undefined;
  await mustRun(["tar", "-x", "-f", archive, "-C", folder]);
  symlinkSync(`${TOP}node_modules`, `${folder}/node_modules`);
  await mustRun([process.execPath, "run", "--cwd", folder, "build"]);
  return `${folder}/dist/malla`;
}

async function mustRun(command: readonly string[]): Promise<void> {
  const { code, stderr } = await runCommand(command);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit code ${code}\n${stderr}`);
}
