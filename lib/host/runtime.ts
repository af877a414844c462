/** The runtime that this program runs on. */

/** Bun's version. */
export function runtimeVersion(): string {
  return Bun.version;
}
