/**
 * The machine's `iptables` programs: finds the variant that works here (nft or legacy) and feeds it
 * rules. Used by the redirect of a pod and by the laptop mesh's gateway.
 */

import { Fault } from "../base/fault.ts";

/** IP version of a set of rules: `iptables` or `ip6tables`. */
export type IpVersion = 4 | 6;

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

/** A variant that works here, and what its `nat` table holds now. */
export interface Firewall {
  readonly firewall: string;
  readonly save: string;
  readonly current: string;
}

/** What to do when the kernel refuses; part of several messages. */
export const UNPRIVILEGED = "it needs NET_ADMIN and NET_RAW in its network namespace: " +
  "run it as root, or add the capabilities to the init container";

/** Tried in this order: the plain name is what the distribution chose, the others are explicit. */
const CANDIDATES = ["iptables", "iptables-nft", "iptables-legacy"];

const MISSING = "iptables is not installed: expected it in PATH (it is in the package iptables)";

/** The exit code of a shell for a program that is not there. */
const CODE_MISSING = 127;

/** The first variant that can read the nat table. Throws a fault that says what to do. */
export async function findFirewall(programs: FirewallPrograms, run: RunCommand): Promise<Firewall> {
  const candidates = programs.firewall === undefined ? CANDIDATES : [programs.firewall];
  const failures: string[] = [];
  for (const firewall of candidates) {
    const save = programs.save ?? `${firewall}-save`;
    const outcome = await tryCommand(run, [save, "-t", "nat"]);
    if (outcome.code === 0) return { firewall, save, current: outcome.stdout };
    if (outcome.code !== CODE_MISSING) failures.push(`${save}: ${firstLine(outcome)}`);
  }
  if (failures.length === 0) throw new Fault("failed_precondition", MISSING);
  throw new Fault(
    "permission_denied",
    `Cannot read the packet filter (${failures.join("; ")}): ${UNPRIVILEGED}`,
  );
}

/** The same variant for IPv6; `reason` tells why this machine has none. */
export async function versionSix(
  { firewall, save }: Firewall,
  run: RunCommand,
): Promise<Firewall & { readonly reason?: string }> {
  const six = { firewall: nameSix(firewall), save: nameSix(save) };
  const outcome = await tryCommand(run, [six.save, "-t", "nat"]);
  if (outcome.code === 0) return { ...six, current: outcome.stdout };
  const reason = `this kernel or machine has no IPv6 NAT: ${firstLine(outcome)}`;
  return { ...six, current: "", reason };
}

/**
 * Applies rules in the form of `iptables-save`. With `keep` the tables' other rules stay, else the
 * tables that are named are replaced as a whole. Throws `failed_precondition`.
 */
export async function restoreRules(
  firewall: string,
  rules: string,
  keep: boolean,
  run: RunCommand,
): Promise<void> {
  // -w waits for others who hold the lock; the nft variant has none and takes the flag all the same.
  const flags = keep ? ["--noflush", "-w", "5"] : ["-w", "5"];
  const outcome = await tryCommand(run, [`${firewall}-restore`, ...flags], rules);
  if (outcome.code === 0) return;
  throw new Fault(
    "failed_precondition",
    `Cannot set the packet filter with ${firewall}-restore: ${firstLine(outcome)} ` +
      `(${UNPRIVILEGED}; the kernel needs the nat table with the matches that the rules use)`,
  );
}

async function tryCommand(
  run: RunCommand,
  command: readonly string[],
  input?: string,
): Promise<CommandOutcome> {
  try {
    return await run(command, input);
  } catch (cause) {
    if (!(cause instanceof Fault) || cause.code !== "not_found") throw cause;
    return { code: CODE_MISSING, stdout: "", stderr: cause.message };
  }
}

/** `/sbin/iptables-nft` → `/sbin/ip6tables-nft`. */
function nameSix(program: string): string {
  return program.replace(/iptables(?=[^/]*$)/, "ip6tables");
}

function firstLine(outcome: CommandOutcome): string {
  const line = outcome.stderr.split("\n").find((text) => text.trim() !== "");
  return line?.trim() ?? `exit code ${outcome.code}`;
}
