/**
 * The outer half of `malla up`: stays in the machine's network, makes the mesh's folder, starts the
 * inner node in namespaces of its own, and passes the user's wish to end on to it.
 *
 * The node lives no longer than this process: it reads the end of its standard input, and should it
 * hang, the kernel kills it (the parent-death signal, then the end of its pid namespace).
 */

import { Fault } from "../base/fault.ts";
import { makeFolder } from "../host/directory.ts";
import {
  type Child,
  environment,
  execute,
  findProgram,
  type Outcome,
  spawn,
} from "../host/process.ts";
import { PROGRAMS, RESTRICTIONS } from "./machine-needs.ts";
import { innerFolder, type NodeSpec } from "./node-spec.ts";

/** The namespaces of the mesh. One command for root and for everybody else. */
const NAMESPACES: readonly string[] = [
  "unshare",
  "--user",
  "--map-root-user",
  "--net",
  "--mount",
  "--propagation",
  "private",
  "--uts",
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc",
];

/** Checks that the machine can run a mesh. Throws `failed_precondition` with what to do. */
export async function checkMachine(path: string | undefined): Promise<void> {
  for (const [program, holder] of Object.entries(PROGRAMS)) {
    if (findProgram(program, path) !== null) continue;
    throw new Fault(
      "failed_precondition",
      `Cannot find the program "${program}": install it, for example with "apt install ${holder}"`,
    );
  }
  const { code, stderr } = await executeInNamespaces(["true"]);
  if (code === 0) return;
  throw new Fault(
    "failed_precondition",
    `Cannot make namespaces as this user (${stderr.trim()}): ${await namespaceAdvice()}`,
  );
}

/** Runs a short command in fresh namespaces like those of a mesh, with the mesh's environment. */
export function executeInNamespaces(command: readonly string[]): Promise<Outcome> {
  return execute([...NAMESPACES, ...command], { env: systemEnvironment() });
}

/** Starts the node in its namespaces. Its log lines go to `output`. */
export function startNode(
  spec: NodeSpec,
  output: "inherit" | ((chunk: Uint8Array) => void),
): Child {
  makeFolder(innerFolder(spec.folder), 0o700);
  const child = spawn({
    command: ["setpriv", "--pdeathsig", "KILL", ...NAMESPACES, ...spec.ownCommand, "node"],
    env: systemEnvironment(),
    session: true,
    stdin: "pipe",
    stdout: output,
    stderr: output,
  });
  child.write(new TextEncoder().encode(`${JSON.stringify(spec)}\n`));
  return child;
}

/** Ordinary users often have no sbin in their PATH, and that is where ip and iptables are. */
function systemEnvironment(): Record<string, string> {
  const env = environment();
  return { ...env, PATH: `${env["PATH"] ?? "/usr/bin:/bin"}:/usr/sbin:/sbin` };
}

async function namespaceAdvice(): Promise<string> {
  for (const { name, forbids, allows } of RESTRICTIONS) {
    const { stdout } = await execute(["cat", `/proc/sys/${name.replaceAll(".", "/")}`]);
    if (stdout.trim() === forbids) return `allow it with "sudo sysctl -w ${name}=${allows}"`;
  }
  return "user namespaces must be allowed; in a container start it with --privileged, or with " +
    "seccomp and AppArmor profiles that allow unshare and mount";
}
