/** Helm, for comparing what it makes of the chart: the one in PATH, or one that is built once. */

import { goProgram, goProgramObstacle } from "../support/go-programs.ts";

const HELM = { name: "helm", version: "v3.18.6", main: "helm.sh/helm/v3/cmd/helm" };

/** Why there can be no Helm here, or null. */
export function helmObstacle(): string | null {
  return Bun.which("helm") === null ? goProgramObstacle(HELM) : null;
}

/** The path of a Helm; built when there is none. Rejects when it cannot be. */
export async function helmProgram(): Promise<string> {
  return Bun.which("helm") ?? await goProgram(HELM);
}
