/** Malla's control plane in a cluster, installed as its users do: by the executable and kubectl. */

import { COMPONENTS } from "../../lib/install/names.ts";
import { MALLA } from "../support/malla.ts";
import type { Cluster } from "./cluster.ts";
import { type CommandOptions, type Outcome, runCommand } from "./command.ts";

/** The namespace of the control plane. */
export const CONTROL_NAMESPACE = "malla";

/** Runs the executable as the cluster's administrator; resolves to what it left behind. */
export async function malla(
  cluster: Cluster,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<Outcome> {
  return await runCommand([...MALLA, ...args, "--kubeconfig", cluster.kubeconfig], options);
}

/** Installs the control plane of an image; resolves when all parts of it are ready. */
export async function installMalla(
  cluster: Cluster,
  image: string,
  args: readonly string[] = [],
  namespace: string = CONTROL_NAMESPACE,
): Promise<void> {
  const at = image.lastIndexOf(":");
  const set = `image.name=${image.slice(0, at)},image.version=${image.slice(at + 1)}`;
  const { code, stdout, stderr } = await malla(cluster, ["install", "--set", set, ...args]);
  if (code !== 0) throw new Error(`malla install: exit code ${code}\n${stderr}`);
  await cluster.apply(stdout);
  for (const component of COMPONENTS) {
    await cluster.rollout(namespace, `deployment/${component}`);
  }
}
