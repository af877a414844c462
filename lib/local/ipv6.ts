/** Whether a mesh can have IPv6 on this machine. */

import { describeError } from "../base/fault.ts";
import { exists } from "../host/directory.ts";
import { setKernel } from "../host/sysctl.ts";
import { findFirewall, type RunCommand, versionSix } from "../inject/mod.ts";

const SETTINGS = "/proc/sys/net/ipv6/conf";

/**
 * Switches IPv6 on in the network namespace that this process is in. null: it is on, and connections
 * can be redirected there; else why the mesh must do without it.
 */
export async function whyNoIpv6(run: RunCommand): Promise<string | null> {
  if (!exists(SETTINGS)) return "this kernel has no IPv6";
  try {
    for (const device of ["all", "default"]) {
      setKernel(`net/ipv6/conf/${device}/disable_ipv6`, "0");
    }
  } catch (error) {
    return describeError(error);
  }
  // Without a redirect connections would go past the proxies.
  return (await versionSix(await findFirewall({}, run), run)).reason ?? null;
}
