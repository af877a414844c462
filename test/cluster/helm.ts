/** Helm, for comparing what it makes of the chart: the one in PATH, or one that is built once. */

import { existsSync } from "node:fs";
import { cacheFolder } from "./cache.ts";
import { runCommand } from "./command.ts";
import { withLock } from "./lock.ts";

const VERSION = "v3.18.6";

/** Why there can be no Helm here, or null. */
export function helmObstacle(): string | null {
  if (Bun.which("helm") !== null || Bun.which("go") !== null) return null;
  return "helm needs a helm or go in PATH";
}

/** The path of a Helm; built when there is none. Rejects when it cannot be. */
export async function helmProgram(): Promise<string> {
  const found = Bun.which("helm");
  if (found !== null) return found;
  const folder = cacheFolder(`helm-${VERSION}`);
  const program = `${folder}/helm`;
  await withLock(`${folder}/lock`, async () => {
    if (!existsSync(program)) await build(folder);
  });
  return program;
}

async function build(folder: string): Promise<void> {
  const module = `helm.sh/helm/v3/cmd/helm@${VERSION}`;
  const environment = ["env", `GOBIN=${folder}`, "CGO_ENABLED=0", "GOFLAGS=-mod=mod"];
  const { code, stderr } = await runCommand([...environment, "go", "install", module]);
  if (code !== 0) throw new Error(`Cannot build helm: ${stderr}`);
}
