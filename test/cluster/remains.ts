/** Removes what a cluster leaves outside of its namespaces: its control groups and its folder. */

import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { hierarchies } from "./control-groups.ts";
import type { ClusterPlan } from "./plan.ts";

/** The kernel empties a group a moment after its last process has ended. */
const PATIENCE_MS = 10_000;
const POLL_MS = 50;

/** Removes everything; its processes must have ended. Rejects when something cannot be removed. */
export async function removeRemains(plan: ClusterPlan): Promise<void> {
  const groups = hierarchies().flatMap((root) =>
    plan.nodes.map(({ cgroup }) => `${root}/${cgroup}`)
  );
  const end = Date.now() + PATIENCE_MS;
  for (const group of groups) {
    while (!removeGroup(group)) {
      if (Date.now() > end) throw new Error(`Cannot remove control group ${group}: it is in use`);
      await Bun.sleep(POLL_MS);
    }
  }
  rmSync(plan.folder, { recursive: true, force: true });
}

/** Removes a group and those below it; false when one of them is in use. */
function removeGroup(path: string): boolean {
  if (!existsSync(path)) return true;
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory() && !removeGroup(`${path}/${entry.name}`)) return false;
    }
    rmdirSync(path);
    return true;
  } catch {
    // EBUSY: a process is in it; ENOENT: it went by itself.
    return !existsSync(path);
  }
}
