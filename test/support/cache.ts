/** Where tests and benchmarks keep what they make: programs once per machine, clusters while they run. */

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import { homedir } from "node:os";
import { withLock } from "./lock.ts";

/** The folder of everything that tests keep on this machine; safe to remove when no cluster runs. */
export const CACHE = `${process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`}/malla-test`;

/** What no checkout has asked for in this time is removed: some 200 MB each. */
const UNUSED_MS = 14 * 24 * 3_600_000;

/** Makes a folder below the cache and returns its path. */
export function cacheFolder(name: string): string {
  const path = `${CACHE}/${name}`;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}

/** Something that is made once per machine. */
export interface Made {
  /** The folder of those that differ in their key alone. */
  readonly kind: string;
  /** Another one for everything that goes into it. */
  readonly key: string;
}

/** Where it lies once it is made. */
export function madeFolder({ kind, key }: Made): string {
  return `${CACHE}/${kind}/${key}`;
}

/** Resolves to its folder; has it filled first when this machine has not yet. */
export async function makeOnce(
  made: Made,
  fill: (draft: string) => Promise<void>,
): Promise<string> {
  const folder = madeFolder(made);
  const all = cacheFolder(made.kind);
  await withLock(`${all}/lock`, async () => {
    if (!existsSync(folder)) await fillDraft(folder, fill);
    const now = new Date();
    utimesSync(folder, now, now);
    removeUnused(all, now.getTime());
  });
  return folder;
}

async function fillDraft(folder: string, fill: (draft: string) => Promise<void>): Promise<void> {
  const draft = mkdtempSync(`${folder}.draft-`);
  try {
    await fill(draft);
    renameSync(draft, folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function removeUnused(folder: string, nowMs: number): void {
  for (const name of readdirSync(folder)) {
    const path = `${folder}/${name}`;
    if (name !== "lock" && nowMs - statSync(path).mtimeMs > UNUSED_MS) {
      rmSync(path, { recursive: true, force: true });
    }
  }
}
