/**
 * The mesh's network: a bridge with the gateway's address in the mesh's own namespace, and for each pod
 * a network namespace with one end of a veth pair in it. A namespace lives as long as its file is
 * mounted, and the files lie in the mesh's mount namespace: all of it ends with the mesh.
 */

import { Fault } from "../base/fault.ts";
import { execute } from "../host/process.ts";
import { removeTree, writeFile } from "../host/directory.ts";
import type { MeshNetworks } from "./names.ts";

/** The bridge's name in the mesh's own namespace. */
export const BRIDGE = "malla0";

/**
 * Left to itself a bridge takes the lowest address of its ports: each pod that comes or goes could
 * change it, and the others' packets to the gateway would be lost until they ask for it again.
 */
const BRIDGE_MAC = "02:6d:61:6c:6c:61";

/**
 * No link-local addresses: two pods must not find each other by them, past their proxies. Neighbours
 * are asked for from the addresses that we give. Without IPv6 in the mesh there is none at all.
 */
const NO_LINK_LOCAL = "addrgenmode none";

/** A pod's place in the network. */
export interface PodNetwork {
  /** The file that stands for the network namespace. */
  readonly namespace: string;
  /** One for each IP version of the mesh. */
  readonly ips: readonly string[];
}

/** Brings up loopback and the bridge of the namespace that this process is in. */
export async function makeMeshNetwork(networks: readonly MeshNetworks[]): Promise<void> {
  await batch([], [
    "link set lo up",
    // Snooping would lose the neighbours' questions: there is no multicast router here.
    `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge forward_delay 0 mcast_snooping 0`,
    ...networks.some(hasSix) ? [`link set ${BRIDGE} ${NO_LINK_LOCAL}`] : [],
    ...networks.map((network) => addAddress(network.gateway, network, BRIDGE)),
    `link set ${BRIDGE} up`,
  ]);
}

/** Makes a pod's namespace under the folder, and joins it to the bridge. `index` names the veth. */
export async function makePodNetwork(
  folder: string,
  index: number,
  ips: readonly string[],
  networks: readonly MeshNetworks[],
): Promise<PodNetwork> {
  const namespace = `${folder}/net${index}`;
  const ipv6 = networks.some(hasSix);
  writeFile(namespace, "");
  await run(["unshare", `--net=${namespace}`, "true"]);
  await batch([], [
    `link add pod${index} type veth peer name eth0 netns ${namespace}`,
    ...ipv6 ? [`link set pod${index} ${NO_LINK_LOCAL}`] : [],
    `link set pod${index} master ${BRIDGE} up`,
  ]);
  await run(["nsenter", `--net=${namespace}`, "sh", "-c", settings(ipv6)]);
  await batch(["nsenter", `--net=${namespace}`], [
    "link set lo up",
    ...ipv6 ? [`link set eth0 ${NO_LINK_LOCAL}`] : [],
    ...networks.map((network, at) => addAddress(ips[at] ?? "", network, "eth0")),
    "link set eth0 up",
    ...networks.map(({ version, gateway }) =>
      `route add ${version === 4 ? "0.0.0.0/0" : "::/0"} via ${gateway}`
    ),
  ]);
  return { namespace, ips };
}

/** Ends a pod's namespace; what still runs in it loses its network. */
export async function removePodNetwork(network: PodNetwork, index: number): Promise<void> {
  // The veth goes with either end; deleting this one does not wait for the last process inside.
  await execute(["ip", "link", "delete", `pod${index}`]);
  await execute(["umount", "-n", "-l", network.namespace]);
  removeTree(network.namespace);
}

/** The shell commands for a pod's kernel settings, before it has any address. */
function settings(ipv6: boolean): string {
  const devices = ipv6 ? "all default eth0" : "eth0";
  return [
    // Ordinary users may listen on every port there: it is a network of their own.
    "echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start",
    `for d in ${devices}; do f=/proc/sys/net/ipv6/conf/$d/disable_ipv6`,
    `[ ! -e $f ] || echo ${ipv6 ? 0 : 1} > $f; done`,
  ].join("; ");
}

function hasSix({ version }: MeshNetworks): boolean {
  return version === 6;
}

/** Nobody else gives out these addresses, so there is no need to ask who has them. */
function addAddress(ip: string, { version, prefix }: MeshNetworks, device: string): string {
  return `addr add ${ip}/${prefix} dev ${device}${version === 6 ? " nodad" : ""}`;
}

async function batch(prefix: readonly string[], lines: readonly string[]): Promise<void> {
  await run([...prefix, "ip", "-batch", "-"], `${lines.join("\n")}\n`);
}

async function run(command: readonly string[], input?: string): Promise<void> {
  const { code, stderr } = await execute(command, input === undefined ? {} : { input });
  if (code === 0) return;
  throw new Fault(
    "failed_precondition",
    `Cannot run "${command.slice(0, 4).join(" ")}" (exit code ${code}): ${stderr.trim()}` +
      (input === undefined ? "" : ` in ${JSON.stringify(input)}`),
  );
}
