/**
 * The packet filter of the mesh's own namespace, whole: service addresses, the way out, and what is
 * refused. The namespace belongs to the mesh, so its tables are replaced at once by one
 * `iptables-restore`; nobody else's rules are in there.
 *
 *     from pods, PREROUTING: service address → endpoint; mesh network → as it is;
 *                            DNS → the mesh's DNS; other TCP → the egress relay
 *     from here, OUTPUT:     service address → endpoint
 *     FORWARD and OUTPUT: what still goes to a service address, or out, is refused at once
 */

import type { IpVersion } from "../inject/mod.ts";
import type { EndpointSlice, Service } from "../source/objects.ts";
import type { MeshNetworks } from "./names.ts";
import { serviceRules, SERVICES_CHAIN } from "./service-nat.ts";

/** The networks of the mesh in one IP version, and where the egress relay listens. */
export interface GatewayNetwork
  extends Pick<MeshNetworks, "version" | "podNetwork" | "serviceNetwork"> {
  /** The bridge that all pods hang on. */
  readonly bridge: string;
  /** The port of this namespace to which connections to anywhere else are redirected. */
  readonly egressPort: number;
}

/** The settings without which a gateway is none, by IP version. */
export const FORWARDING = {
  4: "net/ipv4/ip_forward",
  6: "net/ipv6/conf/all/forwarding",
} as const;

/** Settings of the kernel that the gateway needs in its namespace; those that do not exist, skip. */
export function gatewaySettings(
  bridge: string,
  versions: readonly IpVersion[],
): Readonly<Record<string, string>> {
  return {
    ...Object.fromEntries(versions.map((version) => [FORWARDING[version], "1"])),
    // Pods are sent here for service addresses; being told of a shorter way would only mislead them.
    // The kernel asks the bridge's own setting as well as the one for all.
    "net/ipv4/conf/all/send_redirects": "0",
    [`net/ipv4/conf/${bridge}/send_redirects`]: "0",
    // A refusal is an answer: each client gets its own, not one a second.
    "net/ipv4/icmp_ratelimit": "0",
    // Where br_netfilter is loaded, traffic between pods would go through these tables for nothing.
    "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0",
  };
}

const EGRESS_CHAIN = "MALLA_EGRESS";
const DNS_PORT = 53;

/** The text for `iptables-restore` (or `ip6tables-restore`), both tables. */
export function gatewayRules(
  network: GatewayNetwork,
  services: Iterable<Service>,
  slices: Iterable<EndpointSlice>,
): string {
  const { chains, lines } = serviceRules(services, slices, network.version);
  return [
    "*nat",
    ...["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"].map((chain) => `:${chain} ACCEPT [0:0]`),
    ...[...chains, EGRESS_CHAIN].map((chain) => `:${chain} - [0:0]`),
    `-A PREROUTING -j ${SERVICES_CHAIN}`,
    `-A PREROUTING -i ${network.bridge} -j ${EGRESS_CHAIN}`,
    `-A OUTPUT -j ${SERVICES_CHAIN}`,
    ...lines,
    ...egressRules(network),
    ...masqueradeRules(network),
    "COMMIT",
    "*filter",
    ...["INPUT", "FORWARD", "OUTPUT"].map((chain) => `:${chain} ACCEPT [0:0]`),
    ...refusalRules(network),
    "COMMIT",
    "",
  ].join("\n");
}

function egressRules(
  { version, podNetwork, serviceNetwork, egressPort }: GatewayNetwork,
): string[] {
  const own = version === 4
    ? [podNetwork, serviceNetwork, "224.0.0.0/4", "255.255.255.255/32"]
    : [podNetwork, serviceNetwork, "fe80::/10", "ff00::/8"];
  return [
    ...own.map((network) => `-A ${EGRESS_CHAIN} -d ${network} -j RETURN`),
    // A program may have a name server of its own built in; ours answers for all of them.
    `-A ${EGRESS_CHAIN} -p udp --dport ${DNS_PORT} -j REDIRECT --to-ports ${DNS_PORT}`,
    `-A ${EGRESS_CHAIN} -p tcp --dport ${DNS_PORT} -j REDIRECT --to-ports ${DNS_PORT}`,
    `-A ${EGRESS_CHAIN} -p tcp -j REDIRECT --to-ports ${egressPort}`,
  ];
}

/**
 * Pods are neighbours on one bridge: an endpoint would answer its client directly, past the
 * translation, and the client would not know the sender. So a translated connection gets this
 * namespace as its source; that also serves a pod that reaches itself.
 */
function masqueradeRules({ podNetwork }: GatewayNetwork): string[] {
  return [
    `-A POSTROUTING -s ${podNetwork} -d ${podNetwork} -m conntrack --ctstate DNAT -j MASQUERADE`,
  ];
}

/**
 * Translated connections have an endpoint's address by now: what still goes to a service address has
 * none. What goes anywhere else is neither TCP nor DNS, and has no way out.
 */
function refusalRules(network: GatewayNetwork): string[] {
  const { version, bridge, podNetwork, serviceNetwork } = network;
  const reject = "-j REJECT --reject-with";
  // Programs hear of a port or a prohibition; "no route" is kept from UDP sockets (udp(7)).
  const [port, way] = version === 4
    ? ["icmp-port-unreachable", "icmp-admin-prohibited"]
    : ["icmp6-port-unreachable", "icmp6-adm-prohibited"];
  // IPv6 finds its neighbours by multicast, which iptables sees; ARP it does not.
  const neighbours = version === 4 ? [] : ["-A OUTPUT -d ff02::/16 -p ipv6-icmp -j ACCEPT"];
  return [
    ...neighbours,
    ...["FORWARD", "OUTPUT"].flatMap((chain) => [
      `-A ${chain} -d ${serviceNetwork} -p tcp ${reject} tcp-reset`,
      `-A ${chain} -d ${serviceNetwork} ${reject} ${port}`,
      `-A ${chain} ! -d ${podNetwork} -o ${bridge} ${reject} ${way}`,
    ]),
  ];
}
