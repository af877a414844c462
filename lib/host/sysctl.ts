/** Settings of the kernel, those of the network namespace that this process is in among them. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Fault } from "../base/fault.ts";

/**
 * Sets a kernel setting such as `net/ipv4/ip_forward`; one that the kernel does not have is passed
 * over. Throws `permission_denied` when it has another value and may not be changed.
 */
export function setKernel(name: string, value: string): void {
  const path = `/proc/sys/${name}`;
  if (!existsSync(path)) return;
  try {
    if (readFileSync(path, "utf8").trim() !== value) writeFileSync(path, value);
  } catch (cause) {
    throw new Fault("permission_denied", `Cannot set kernel setting ${name} to ${value}`, {
      cause,
    });
  }
}
