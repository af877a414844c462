/**
 * Applies the redirect with the machine's own `iptables`: picks the variant that works here (nft or
 * legacy), reads the present rules, and brings them to the wanted state in one restore per IP version.
 */

import { Fault } from "../base/fault.ts";
import { type IpVersion, type RedirectOptions, redirectRules } from "./redirect.ts";

/** What a command left behind. */
export interface CommandOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end; rejects with a `Fault` `not_found` when the program is missing. */
export type RunCommand = (command: readonly string[], input?: string) => Promise<CommandOutcome>;

/** Which programs to use; what is absent is found out. */
export interface FirewallPrograms {
  /** Such as `iptables`, `iptables-nft` or `/sbin/iptables-legacy`. */
  readonly firewall?: string;
  /** Such as `iptables-save`. */
  readonly save?: string;
}

/** What was done for one IP version, for the log. */
export interface AppliedRules {
  readonly version: IpVersion;
  readonly program: string;
  readonly outcome: "applied" | "skipped";
  /** Why it was skipped. */
  readonly reason?: string;
  readonly rules: string;
}

/** Tried in this order: the plain name is what the distribution chose, the others are explicit. */
const CANDIDATES = ["iptables", "iptables-nft", "iptables-legacy"];

const MISSING = "iptables is not installed: install it (package iptables), " +
  "or name it with --firewall-bin-path";

const UNPRIVILEGED = "it needs NET_ADMIN and NET_RAW in its network namespace: " +
  "run it as root, or add the capabilities to the init container";

/**
 * Installs the redirect for IPv4 and, with `ipv6`, for IPv6. A kernel without IPv6 is no failure: the
 * result says so. With `simulate` nothing is written. Throws a `Fault` that says what to do.
 */
export async function applyRedirect(
  options: RedirectOptions,
  settings: { readonly ipv6: boolean; readonly simulate: boolean },
  programs: FirewallPrograms,
  run: RunCommand,
): Promise<AppliedRules[]> {
  const { firewall, save, current } = await findFirewall(programs, run, settings.simulate);
  const applied: AppliedRules[] = [
    await restore(firewall, redirectRules(options, 4, current), 4, settings.simulate, run),
  ];
  if (!settings.ipv6) return applied;
  const program6 = versionSix(firewall);
  const read = await run([versionSix(save), "-t", "nat"]).catch(missingAs(127));
  const rules = redirectRules(options, 6, read.stdout);
  if (read.code !== 0 && !settings.simulate) {
    const reason = `this kernel or machine has no IPv6 NAT: ${firstLine(read)}`;
    return [...applied, { version: 6, program: program6, outcome: "skipped", reason, rules }];
  }
  return [...applied, await restore(program6, rules, 6, settings.simulate, run)];
}

/** The first program that can read the nat table; each failure is kept for the message. */
async function findFirewall(
  programs: FirewallPrograms,
  run: RunCommand,
  simulate: boolean,
): Promise<{ readonly firewall: string; readonly save: string; readonly current: string }> {
  const candidates = programs.firewall === undefined ? CANDIDATES : [programs.firewall];
  const failures: string[] = [];
  for (const firewall of candidates) {
    const save = programs.save ?? `${firewall}-save`;
    const outcome = await run([save, "-t", "nat"]).catch(missingAs(127));
    if (outcome.code === 0) return { firewall, save, current: outcome.stdout };
    if (outcome.code !== 127) failures.push(`${save}: ${firstLine(outcome)}`);
  }
  const [firewall = "iptables"] = candidates;
  if (simulate) return { firewall, save: `${firewall}-save`, current: "" };
  if (failures.length === 0) throw new Fault("failed_precondition", MISSING);
  throw new Fault(
    "permission_denied",
    `Cannot read the packet filter (${failures.join("; ")}): ${UNPRIVILEGED}`,
  );
}

async function restore(
  program: string,
  rules: string,
  version: IpVersion,
  simulate: boolean,
  run: RunCommand,
): Promise<AppliedRules> {
  const applied: AppliedRules = { version, program, outcome: "applied", rules };
  if (simulate) return { ...applied, outcome: "skipped", reason: "simulated" };
  // -w waits for others who hold the lock; the nft variant has none and takes the flag all the same.
  const outcome = await run([`${program}-restore`, "--noflush", "-w", "5"], rules)
    .catch(missingAs(127));
  if (outcome.code === 0) return applied;
  throw new Fault(
    "failed_precondition",
    `Cannot install the redirect with ${program}-restore: ${firstLine(outcome)} ` +
      `(${UNPRIVILEGED}; the kernel needs the nat table with REDIRECT, owner and multiport)`,
  );
}

function missingAs(code: number): (cause: unknown) => CommandOutcome {
  return (cause) => {
    if (!(cause instanceof Fault) || cause.code !== "not_found") throw cause;
    return { code, stdout: "", stderr: cause.message };
  };
}

/** `/sbin/iptables-nft` → `/sbin/ip6tables-nft`. */
function versionSix(program: string): string {
  return program.replace(/iptables(?=[^/]*$)/, "ip6tables");
}

function firstLine(outcome: CommandOutcome): string {
  const line = outcome.stderr.split("\n").find((text) => text.trim() !== "");
  return line?.trim() ?? `exit code ${outcome.code}`;
}
