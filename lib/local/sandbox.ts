/**
 * The command line that puts a program into its pod: the pod's network namespace, a mount namespace
 * with the container's files, and for applications a nested user namespace in which they have their
 * user's id, no capability, and no way to gain one. Pure; the programs are util-linux's, and each
 * replaces the one before it, so that the container's process keeps one id from start to end.
 */

import { type HostTree, type Mount, mountScript, quote } from "./mounts.ts";

/** Who a program runs as. */
export type Rights =
  /** The mesh's own: root of the mesh's user namespace, so that it may set marks and rules. */
  | { readonly kind: "mesh" }
  /** An application: this id, nothing else. */
  | { readonly kind: "application"; readonly uid: number; readonly gid: number };

/** What a program in a pod needs around it. */
export interface SandboxPlan {
  readonly networkNamespace: string;
  readonly mounts: readonly Mount[];
  readonly workFolder: string;
  readonly workingDir: string;
  readonly hostname: string;
  readonly rights: Rights;
  readonly command: readonly string[];
}

/** The words to start. */
export function sandboxCommand(plan: SandboxPlan, tree: HostTree): readonly string[] {
  const script = mountScript(plan.mounts, tree, plan.workFolder) +
    `hostname ${quote(plan.hostname)} 2>/dev/null || true\n` +
    `cd ${quote(plan.workingDir)}\n` +
    `exec ${rightsWords(plan.rights).map(quote).join(" ")} "$@"\n`;
  return [
    "nsenter",
    `--net=${plan.networkNamespace}`,
    "unshare",
    "--mount",
    "--uts",
    "--propagation",
    "private",
    "sh",
    "-c",
    script,
    "malla",
    ...plan.command,
  ];
}

/** The words that start a further program beside a running one, such as an exec probe. */
export function joinCommand(
  pid: number,
  rights: Rights,
  command: readonly string[],
): readonly string[] {
  const nested = rights.kind === "application"
    ? ["--user", "--preserve-credentials", "--wd", "setpriv", "--no-new-privs", "--"]
    : ["--wd", "--"];
  return ["nsenter", `--target=${pid}`, "--net", "--mount", "--uts", ...nested, ...command];
}

function rightsWords(rights: Rights): string[] {
  if (rights.kind === "mesh") return [];
  return [
    "unshare",
    "--user",
    `--map-user=${rights.uid}`,
    `--map-group=${rights.gid}`,
    "setpriv",
    "--no-new-privs",
    "--",
  ];
}
