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

/** Why no cluster can be used or started here, for whoever reads that tests were skipped; or null. */
export function clusterObstacle(): string | null {
  if (externalKubeconfig() !== undefined) return null;
  if (process.platform !== "linux") return "clusters need Linux";
  if (process.getuid?.() !== 0) return "clusters need root";
  const missing = Object.entries(PROGRAMS).filter(([program]) => Bun.which(program) === null)
    .map(([, what]) => what);
  if (builtPrograms() === undefined && Bun.which("go") === null) missing.push("a Go compiler");
  if (!existsSync(PLUGINS)) missing.push("containernetworking-plugins");
  return missing.length === 0 ? null : `clusters need ${[...new Set(missing)].join(", ")}`;
}
