/**
 * The mesh's network: a bridge with the gateway's address in the mesh's own namespace, and for each pod
 * a network namespace with one end of a veth pair in it. A namespace lives as long as its file is
 * mounted, and the files lie in the mesh's mount namespace: all of it ends with the mesh.
 */

import { Fault } from "../base/fault.ts";
import { execute } from "../host/process.ts";
import { removeTree, writeFile } from "../host/directory.ts";
import { MESH_ADDRESSES } from "./names.ts";

/** The bridge's name in the mesh's own namespace. */
export const BRIDGE = "malla0";

/**
 * Left to itself a bridge takes the lowest address of its ports: each pod that comes or goes could
 * change it, and the others' packets to the gateway would be lost until they ask for it again.
 */
const BRIDGE_MAC = "02:6d:61:6c:6c:61";

/**
 * The mesh has no IPv6, so nothing redirects it: two pods must not find each other by their link-local
 * addresses, past their proxies. Loopback keeps its own.
 */
const NO_IPV6 = "f=/proc/sys/net/ipv6/conf/eth0/disable_ipv6; [ ! -e $f ] || echo 1 > $f";

/** A pod's place in the network. */
export interface PodNetwork {
  /** The file that stands for the network namespace. */
  readonly namespace: string;
  readonly ip: string;
}

/** Brings up loopback and the bridge of the namespace that this process is in. */
export async function makeMeshNetwork(): Promise<void> {
  const { gateway, prefix } = MESH_ADDRESSES;
  await batch([], [
    "link set lo up",
    `link add ${BRIDGE} address ${BRIDGE_MAC} type bridge forward_delay 0`,
    `addr add ${gateway}/${prefix} dev ${BRIDGE}`,
    `link set ${BRIDGE} up`,
  ]);
}

/** Makes a pod's namespace under the folder, and joins it to the bridge. `index` names the veth. */
export async function makePodNetwork(
  folder: string,
  index: number,
  ip: string,
): Promise<PodNetwork> {
  const namespace = `${folder}/net${index}`;
  const { gateway, prefix } = MESH_ADDRESSES;
  writeFile(namespace, "");
  await run(["unshare", `--net=${namespace}`, "true"]);
  await batch([], [
    `link add pod${index} type veth peer name eth0 netns ${namespace}`,
    `link set pod${index} master ${BRIDGE} up`,
  ]);
  await batch(["nsenter", `--net=${namespace}`], [
    "link set lo up",
    `addr add ${ip}/${prefix} dev eth0`,
    "link set eth0 up",
    `route add default via ${gateway}`,
  ]);
  // Ordinary users may listen on every port there: it is a network of their own.
  await run([
    "nsenter",
    `--net=${namespace}`,
    "sh",
    "-c",
    `echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start; ${NO_IPV6}`,
  ]);
  return { namespace, ip };
}

/** Ends a pod's namespace; what still runs in it loses its network. */
export async function removePodNetwork(network: PodNetwork, index: number): Promise<void> {
  // The veth goes with either end; deleting this one does not wait for the last process inside.
  await execute(["ip", "link", "delete", `pod${index}`]);
  await execute(["umount", "-n", "-l", network.namespace]);
  removeTree(network.namespace);
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
