/**
 * The redirect of a pod's TCP traffic into its proxy, as text for `iptables-restore --noflush`. Pure:
 * who applies it is `redirect-apply.ts`.
 *
 *     PREROUTING → PROXY_INIT_REDIRECT: skipped sources and ports return, the rest → inbound port
 *     OUTPUT     → PROXY_INIT_OUTPUT:   the proxy itself, loopback, skipped ports and networks
 *                                       return, the rest → outbound port
 *
 * UDP and ICMP are not touched.
 */

import type { Network } from "../mesh/address.ts";
import type { IpVersion } from "./firewall.ts";
import type { PortRange } from "../mesh/port-range.ts";

/** How the proxy's own connections are told from the application's. */
export type ProxyExemption =
  | { readonly kind: "uid"; readonly uid: number; readonly gid?: number }
  /** SO_MARK of the proxy's sockets: for the laptop, where all processes share one uid. */
  | { readonly kind: "mark"; readonly mark: number };

/** What to redirect where. */
export interface RedirectOptions {
  readonly inboundPort: number;
  readonly outboundPort: number;
  readonly exemption: ProxyExemption;
  readonly inboundSkip: readonly PortRange[];
  readonly outboundSkip: readonly PortRange[];
  /** Neither connections from nor to these networks are redirected. */
  readonly skipNetworks: readonly Network[];
}

const INBOUND_CHAIN = "PROXY_INIT_REDIRECT";
const OUTBOUND_CHAIN = "PROXY_INIT_OUTPUT";
const JUMPS = [["PREROUTING", INBOUND_CHAIN], ["OUTPUT", OUTBOUND_CHAIN]] as const;

/** The most ports that one multiport match takes; a range counts as two (xt_multiport.h). */
const MULTIPORT_MAX = 15;

/**
 * The text for `iptables-restore --noflush` that brings the `nat` table from `current` (what
 * `iptables-save -t nat` says) to the wanted state. Our own chains are emptied and filled again; the
 * jumps to them are added only where they are missing: so running it again changes nothing, and rules
 * of others stay.
 */
export function redirectRules(
  options: RedirectOptions,
  version: IpVersion,
  current = "",
): string {
  const lines = [
    "*nat",
    // With --noflush, naming a chain of our own creates it, or empties it when it is there.
    `:${INBOUND_CHAIN} - [0:0]`,
    `:${OUTBOUND_CHAIN} - [0:0]`,
    ...inboundRules(options, version),
    ...outboundRules(options, version),
  ];
  for (const [hook, chain] of JUMPS) {
    if (!hasJump(current, hook, chain)) lines.push(`-A ${hook} -j ${chain}`);
  }
  return [...lines, "COMMIT", ""].join("\n");
}

/** Whether a `nat` table, as `iptables-save` shows it, sends connections through our chains. */
export function isRedirected(current: string): boolean {
  return JUMPS.every(([hook, chain]) => hasJump(current, hook, chain));
}

function hasJump(current: string, hook: string, chain: string): boolean {
  return current.split("\n").some((line) =>
    line.startsWith(`-A ${hook} `) && line.trim().endsWith(`-j ${chain}`)
  );
}

function inboundRules(options: RedirectOptions, version: IpVersion): string[] {
  return [
    ...networksOf(options, version).map((network) => `-A ${INBOUND_CHAIN} -s ${network} -j RETURN`),
    ...portRules(INBOUND_CHAIN, options.inboundSkip),
    `-A ${INBOUND_CHAIN} -p tcp -j REDIRECT --to-ports ${options.inboundPort}`,
  ];
}

function outboundRules(options: RedirectOptions, version: IpVersion): string[] {
  return [
    ...exemptionRules(options.exemption),
    // A pod's talk with itself is its own affair; this also lets the proxy reach its application.
    `-A ${OUTBOUND_CHAIN} -o lo -j RETURN`,
    ...networksOf(options, version).map((network) =>
      `-A ${OUTBOUND_CHAIN} -d ${network} -j RETURN`
    ),
    ...portRules(OUTBOUND_CHAIN, options.outboundSkip),
    `-A ${OUTBOUND_CHAIN} -p tcp -j REDIRECT --to-ports ${options.outboundPort}`,
  ];
}

function exemptionRules(exemption: ProxyExemption): string[] {
  if (exemption.kind === "mark") {
    return [`-A ${OUTBOUND_CHAIN} -m mark --mark ${exemption.mark} -j RETURN`];
  }
  const rules = [`-A ${OUTBOUND_CHAIN} -m owner --uid-owner ${exemption.uid} -j RETURN`];
  if (exemption.gid !== undefined) {
    rules.push(`-A ${OUTBOUND_CHAIN} -m owner --gid-owner ${exemption.gid} -j RETURN`);
  }
  return rules;
}

function networksOf(options: RedirectOptions, version: IpVersion): string[] {
  return options.skipNetworks.filter((network) => network.version === version)
    .map((network) => network.text);
}

function portRules(chain: string, ranges: readonly PortRange[]): string[] {
  const rules: string[] = [];
  let ports: string[] = [];
  let weight = 0;
  const flush = (): void => {
    if (ports.length > 0) {
      rules.push(`-A ${chain} -p tcp -m multiport --dports ${ports.join(",")} -j RETURN`);
    }
    ports = [];
    weight = 0;
  };
  for (const { first, last } of ranges) {
    const cost = first === last ? 1 : 2;
    if (weight + cost > MULTIPORT_MAX) flush();
    ports.push(first === last ? `${first}` : `${first}:${last}`);
    weight += cost;
  }
  flush();
  return rules;
}
