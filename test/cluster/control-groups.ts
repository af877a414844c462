/** Where this machine's hierarchies of control groups are mounted. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";

const UNIFIED = "/sys/fs/cgroup";
/** How many processes of this machine a node's pods count as: it stands for a machine itself. */
const PODS_WEIGHT = 20;

/** The roots of all hierarchies: one with version 2 alone, else one for each controller. */
export function hierarchies(): string[] {
  if (isUnified()) return [UNIFIED];
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n")
    .map((line) => line.split(" "));
  return mounts.filter(([, , type = ""]) => type.startsWith("cgroup")).map(([, path = ""]) => path);
}

/** Makes a group of that name in each hierarchy. */
export function makeControlGroups(name: string): void {
  for (const root of hierarchies()) {
    mkdirSync(`${root}/${name}`);
    weigh(`${root}/${name}`);
  }
  // With version 2, what the groups below may use is switched on in the group.
  if (isUnified()) {
    writeFileSync(`${UNIFIED}/${name}/cgroup.subtree_control`, "+cpuset +cpu +io +memory +pids");
  }
}

/** A group with all pods of a node counts as one process, unless it is told to weigh more. */
function weigh(group: string): void {
  for (const [file, usual] of [["cpu.weight", 100], ["cpu.shares", 1_024]] as const) {
    if (existsSync(`${group}/${file}`)) writeFileSync(`${group}/${file}`, `${usual * PODS_WEIGHT}`);
  }
}

function isUnified(): boolean {
  return existsSync(`${UNIFIED}/cgroup.controllers`);
}
