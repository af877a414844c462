/** Malla's control plane in a cluster, installed as its users do: by the executable and kubectl. */

import { COMPONENTS } from "../../lib/install/names.ts";
import { MALLA } from "../support/malla.ts";
import type { Cluster } from "./cluster.ts";
import { type CommandOptions, type Outcome, runCommand } from "../support/command.ts";
import { waitFor } from "./wait.ts";

/** The namespace of the control plane. */
export const CONTROL_NAMESPACE = "malla";

/** Runs the executable as the cluster's administrator; resolves to what it left behind. */
export async function malla(
  cluster: Cluster,
  args: readonly string[],
  options: CommandOptions = {},
  command: readonly string[] = MALLA,
): Promise<Outcome> {
  return await runCommand([...command, ...args, "--kubeconfig", cluster.kubeconfig], options);
}

/** How an installation differs from the usual one. */
export interface InstallOptions {
  /** Flags of `malla install`. */
  readonly args?: readonly string[];
  /** Where it is. Default: `CONTROL_NAMESPACE`. */
  readonly namespace?: string;
  /** The words that start what installs. Default: the program under test. */
  readonly command?: readonly string[];
}

/** Installs the control plane of an image; resolves when all parts are ready and pods are injected. */
export async function installMalla(
  cluster: Cluster,
  image: string,
  { args = [], namespace = CONTROL_NAMESPACE, command = MALLA }: InstallOptions = {},
): Promise<void> {
  const at = image.lastIndexOf(":");
  const set = `image.name=${image.slice(0, at)},image.version=${image.slice(at + 1)}`;
  const words = ["install", "--set", set, ...args];
  const { code, stdout, stderr } = await malla(cluster, words, {}, command);
  if (code !== 0) throw new Error(`malla install: exit code ${code}\n${stderr}`);
  await cluster.apply(stdout);
  for (const component of COMPONENTS) {
    await cluster.rollout(namespace, `deployment/${component}`);
  }
  // Ready is not yet reachable: the API server's node learns the webhook's endpoint a moment later.
  await waitFor("the first injection", () => injects(cluster));
}

/** Whether a trial pod that asks for a proxy gets one; nothing is made. */
async function injects(cluster: Cluster): Promise<boolean> {
  const pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "trial",
      namespace: "default",
      annotations: { "malla.dev/inject": "enabled" },
    },
    spec: { containers: [{ name: "app", image: "malla.test/nothing:1" }] },
  };
  const words = ["create", "--dry-run=server", "-o", "json", "-f", "-"];
  return (await cluster.kubectl(words, { input: JSON.stringify(pod) })).includes("linkerd-proxy");
}
