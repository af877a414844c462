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

/** Where util-linux is: a container's PATH is its own affair and may lead nowhere. */
export interface SandboxPrograms {
  readonly nsenter: string;
  readonly unshare: string;
  readonly setpriv: string;
  readonly sh: string;
}

/** What a program in a pod needs around it. */
export interface SandboxPlan {
  readonly networkNamespace: string;
  readonly mounts: readonly Mount[];
  readonly workFolder: string;
  /** The mesh's folder, with its keys and sockets; nobody in a pod has any business there. */
  readonly hidden: string;
  /** Where the script is put: it may be longer than an argument can be. */
  readonly scriptFile: string;
  /** Where the script writes the name of its mount namespace, before anything else. */
  readonly namespaceFile: string;
  readonly workingDir: string;
  readonly hostname: string;
  readonly rights: Rights;
  readonly command: readonly string[];
}

/** How to start a program in its pod: first the script is written, then the words are started. */
export interface Sandbox {
  readonly script: string;
  readonly words: readonly string[];
}

/** Where the script finds mount and the like. */
const SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin";

/** Plans the start of a program. */
export function sandbox(plan: SandboxPlan, tree: HostTree, programs: SandboxPrograms): Sandbox {
  const { rights, hostname, workingDir } = plan;
  const script = [
    "malla_path=$PATH",
    `PATH=${SYSTEM_PATH}`,
    `readlink /proc/self/ns/mnt > ${quote(plan.namespaceFile)}`,
    mountScript(plan.mounts, tree, { work: plan.workFolder, hidden: plan.hidden }),
    `hostname ${quote(hostname)} 2>/dev/null || :`,
    `cd ${quote(workingDir)}`,
    "PATH=$malla_path",
    "unset malla_path",
    `exec ${[...rightsWords(rights, programs).map(quote), '"$@"'].join(" ")}`,
    "",
  ].join("\n");
  const { nsenter, unshare, sh } = programs;
  const namespaces = ["--mount", "--uts", "--propagation", "private"];
  return {
    script,
    words: [
      ...[nsenter, `--net=${plan.networkNamespace}`, unshare, ...namespaces],
      ...[sh, plan.scriptFile, ...plan.command],
    ],
  };
}

/** The words that start a further program beside a running one, such as an exec probe. */
export function joinCommand(
  pid: number,
  rights: Rights,
  command: readonly string[],
  programs: SandboxPrograms,
): readonly string[] {
  const nested = rights.kind === "application"
    ? ["--user", "--preserve-credentials", "--wd", programs.setpriv, "--no-new-privs", "--"]
    : ["--wd", "--"];
  const spaces = [`--target=${pid}`, "--net", "--mount", "--uts"];
  return [programs.nsenter, ...spaces, ...nested, ...command];
}

function rightsWords(rights: Rights, { unshare, setpriv }: SandboxPrograms): string[] {
  if (rights.kind === "mesh") return [];
  const ids = [`--map-user=${rights.uid}`, `--map-group=${rights.gid}`];
  return [unshare, "--user", ...ids, setpriv, "--no-new-privs", "--"];
}
