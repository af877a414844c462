/** What the node does to its namespaces before anything runs in them. */

import { Fault } from "../base/fault.ts";
import { exists, makeFolder } from "../host/directory.ts";
import { execute } from "../host/process.ts";

/** Sockets through which programs of the machine would answer for names past the mesh's DNS. */
const MASKED_SOCKETS = [
  "/run/nscd/socket",
  "/var/run/nscd/socket",
  "/run/systemd/resolve/io.systemd.Resolve",
];

/** Mounts a private, empty file system: it ends with the mesh, and nobody else ever sees it. */
export async function mountPrivate(folder: string): Promise<void> {
  makeFolder(folder, 0o700);
  await mount(["-t", "tmpfs", "-o", "mode=0700", "malla", folder]);
}

/** Hides the machine's name services from this mount namespace. */
export async function maskNameServices(): Promise<void> {
  for (const socket of MASKED_SOCKETS) {
    // A device that takes no connection: programs then read resolv.conf.
    if (exists(socket)) await mount(["--bind", "/dev/null", socket]);
  }
}

async function mount(words: readonly string[]): Promise<void> {
  // -n: what `mount` notes in /run/mount would stay on the machine.
  const { code, stderr } = await execute(["mount", "-n", ...words]);
  if (code === 0) return;
  throw new Fault("failed_precondition", `Cannot mount "${words.at(-1)}": ${stderr.trim()}`);
}
