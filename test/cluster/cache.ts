/** Where the test cluster keeps what it makes: programs once per machine, clusters while they run. */

import { mkdirSync } from "node:fs";
import { homedir } from "node:os";

/** The folder of everything that tests keep on this machine; safe to remove when no cluster runs. */
export const CACHE = `${process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`}/malla-test`;

/** Makes a folder below the cache and returns its path. */
export function cacheFolder(name: string): string {
  const path = `${CACHE}/${name}`;
  mkdirSync(path, { recursive: true, mode: 0o700 });
  return path;
}
