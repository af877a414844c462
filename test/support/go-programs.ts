/** Programs that tests and benchmarks run, each built of its Go module once per machine. */

import { existsSync } from "node:fs";
import { type Made, madeFolder, makeOnce } from "./cache.ts";
import { runCommand } from "./command.ts";

/** A program, as its module publishes it. */
export interface GoProgram {
  readonly name: string;
  readonly version: string;
  /** The path of its main package. */
  readonly main: string;
}

/** Why it cannot be had here, or null. */
export function goProgramObstacle(program: GoProgram): string | null {
  if (existsSync(pathOf(program)) || Bun.which("go") !== null) return null;
  return `${program.name} needs go in PATH`;
}

/** The program's path; built when it is not there. Rejects when it cannot be. */
export async function goProgram(program: GoProgram): Promise<string> {
  await makeOnce(madeOf(program), (draft) => build(program, draft));
  return pathOf(program);
}

function madeOf({ name, version }: GoProgram): Made {
  return { kind: "go-programs", key: `${name}-${version}` };
}

/** `go install` calls what it makes by the last word of the package, but for a major version. */
function pathOf(program: GoProgram): string {
  const words = program.main.replace(/\/v\d+$/, "").split("/");
  return `${madeFolder(madeOf(program))}/${words.at(-1)}`;
}

async function build(program: GoProgram, folder: string): Promise<void> {
  // Others work on this machine too, and nobody waits for this but who asked for it.
  const command = ["nice", "-n", "19", "env", `GOBIN=${folder}`, "CGO_ENABLED=0"]
    .concat("GOFLAGS=-mod=mod", "go", "install", "-ldflags=-s -w");
  const { code, stderr } = await runCommand([...command, `${program.main}@${program.version}`]);
  if (code !== 0) throw new Error(`Cannot build ${program.name}: ${stderr}`);
}
