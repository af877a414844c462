/** Where this machine's hierarchies of control groups are mounted. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const UNIFIED = "/sys/fs/cgroup";

/** The roots of all hierarchies: one with version 2 alone, else one for each controller. */
export function hierarchies(): string[] {
  if (isUnified()) return [UNIFIED];
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n")
    .map((line) => line.split(" "));
  return mounts.filter(([, , type = ""]) => type.startsWith("cgroup")).map(([, path = ""]) => path);
}

/** Makes a group of that name in each hierarchy. */
export function makeControlGroups(name: string): void {
  for (const root of hierarchies()) mkdirSync(`${root}/${name}`);
  // With version 2, what the groups below may use is switched on in the group.
  if (isUnified()) {
    writeFileSync(`${UNIFIED}/${name}/cgroup.subtree_control`, "+cpuset +cpu +io +memory +pids");
  }
}

function isUnified(): boolean {
  return existsSync(`${UNIFIED}/cgroup.controllers`);
}
