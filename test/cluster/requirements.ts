/** What a machine must have to run a test cluster, told before anything is tried. */

import { existsSync } from "node:fs";
import { builtPrograms } from "./build.ts";

const PROGRAMS: Readonly<Record<string, string>> = {
  containerd: "containerd",
  ctr: "containerd",
  runc: "runc",
  iptables: "iptables",
  ip: "iproute2",
  unshare: "util-linux",
};
const PLUGINS = "/usr/lib/cni/bridge";

/** Whether tests are told to use a cluster that is there already. */
export function externalKubeconfig(): string | undefined {
  return process.env["MALLA_TEST_KUBECONFIG"] || undefined;
}

/** Why tests that have a cluster's nodes in their hands cannot run, or null. */
export function nodesObstacle(): string | null {
  if (externalKubeconfig() === undefined) return null;
  return "they need nodes of their own, and MALLA_TEST_KUBECONFIG names a cluster that was there before us";
}

/** What is looked at of a machine. */
export interface Machine {
  /** A cluster that is there already. */
  readonly kubeconfig: string | undefined;
  readonly platform: string;
  readonly isRoot: boolean;
  readonly hasKubernetes: boolean;
  readonly hasPlugins: boolean;
  readonly hasProgram: (name: string) => boolean;
}

/** Why no cluster can be used or started here, for whoever reads that tests were skipped; or null. */
export function clusterObstacle(machine: Machine = thisMachine()): string | null {
  if (machine.kubeconfig !== undefined) return null;
  if (machine.platform !== "linux") return "clusters need Linux";
  if (!machine.isRoot) return "clusters need root";
  const missing = Object.entries(PROGRAMS).filter(([program]) => !machine.hasProgram(program))
    .map(([, what]) => what);
  if (!machine.hasKubernetes && !machine.hasProgram("go")) missing.push("a Go compiler");
  if (!machine.hasPlugins) missing.push("containernetworking-plugins");
  return missing.length === 0 ? null : `clusters need ${[...new Set(missing)].join(", ")}`;
}

function thisMachine(): Machine {
  return {
    kubeconfig: externalKubeconfig(),
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    hasKubernetes: builtPrograms() !== undefined,
    hasPlugins: existsSync(PLUGINS),
    hasProgram: (name) => Bun.which(name) !== null,
  };
}
