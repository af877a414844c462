/** The runtime that this program runs on. */

import { availableParallelism } from "node:os";

/** Bun's version. */
export function runtimeVersion(): string {
  return Bun.version;
}

/** How many cores this process may use, by its affinity; at least 1. */
export function availableCores(): number {
  return Math.max(1, availableParallelism());
}
