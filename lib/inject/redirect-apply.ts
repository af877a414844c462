/**
 * Applies the redirect with the machine's own `iptables`: reads the present rules, and brings them to
 * the wanted state in one restore per IP version.
 */

import {
  findFirewall,
  type Firewall,
  type FirewallPrograms,
  type IpVersion,
  restoreRules,
  type RunCommand,
  versionSix,
} from "./firewall.ts";
import { type RedirectOptions, redirectRules } from "./redirect.ts";

/** What was done for one IP version, for the log. */
export interface AppliedRules {
  readonly version: IpVersion;
  readonly program: string;
  readonly outcome: "applied" | "skipped";
  /** Why it was skipped. */
  readonly reason?: string;
  readonly rules: string;
}

/**
 * Installs the redirect for IPv4 and, with `ipv6`, for IPv6. A kernel without IPv6 is no failure: the
 * result says so. With `simulate` no program is run. Throws a `Fault` that says what to do.
 */
export async function applyRedirect(
  options: RedirectOptions,
  settings: { readonly ipv6: boolean; readonly simulate: boolean },
  programs: FirewallPrograms,
  run: RunCommand,
): Promise<AppliedRules[]> {
  if (settings.simulate) return simulated(options, settings.ipv6, programs);
  const four = await findFirewall(programs, run);
  const applied = [await apply(options, 4, four, run)];
  if (settings.ipv6) {
    const six = await versionSix(four, run);
    applied.push(await apply(options, 6, six, run));
  }
  return applied;
}

async function apply(
  options: RedirectOptions,
  version: IpVersion,
  { firewall: program, current, reason }: Firewall & { readonly reason?: string },
  run: RunCommand,
): Promise<AppliedRules> {
  const rules = redirectRules(options, version, current);
  if (reason !== undefined) return { version, program, outcome: "skipped", reason, rules };
  await restoreRules(program, rules, true, run);
  return { version, program, outcome: "applied", rules };
}

function simulated(
  options: RedirectOptions,
  ipv6: boolean,
  programs: FirewallPrograms,
): AppliedRules[] {
  const versions: readonly IpVersion[] = ipv6 ? [4, 6] : [4];
  return versions.map((version) => ({
    version,
    program: programs.firewall ?? "iptables",
    outcome: "skipped",
    reason: "simulated",
    rules: redirectRules(options, version),
  }));
}
