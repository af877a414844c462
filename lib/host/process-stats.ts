/** What the kernel says of this process, from `/proc/self`; Linux only. */

import { readdirSync, readFileSync } from "node:fs";

/** Figures of one moment. */
export interface ProcessStats {
  readonly startTimeSeconds: number;
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  readonly virtualBytes: number;
  readonly openFds: number;
  /** Infinity when there is no limit. */
  readonly maxFds: number;
  readonly threads: number;
}

/** USER_HZ: fixed at 100 for everything that Linux shows to user space. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** Reads the figures now; costs five small reads. */
export function readProcessStats(): ProcessStats {
  const stat = readFileSync("/proc/self/stat", "latin1");
  // The second field is the command in parentheses and may hold spaces: count from behind it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
  const field = (number: number): number => fields[number - 3] ?? 0;
  return {
    startTimeSeconds: bootTimeSeconds() + field(22) / TICKS_PER_SECOND,
    cpuSeconds: (field(14) + field(15)) / TICKS_PER_SECOND,
    residentBytes: field(24) * PAGE_BYTES,
    virtualBytes: field(23),
    // The listing itself holds one more while it is read.
    openFds: Math.max(0, readdirSync("/proc/self/fd").length - 1),
    maxFds: maxOpenFiles(),
    threads: field(20),
  };
}

function bootTimeSeconds(): number {
  return Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "latin1"))?.[1] ?? 0);
}

function maxOpenFiles(): number {
  const limits = readFileSync("/proc/self/limits", "latin1");
  const soft = /^Max open files\s+(\S+)/m.exec(limits)?.[1];
  return soft === undefined || soft === "unlimited" ? Infinity : Number(soft);
}
