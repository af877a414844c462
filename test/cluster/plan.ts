/**
 * What a cluster is before it exists: names, addresses and folders, all of them computed from its name,
 * its number on this machine and how many nodes it has. Clusters with different numbers share no
 * address, so that they can be joined.
 */

import { CACHE } from "../support/cache.ts";

/** How many clusters may run beside each other; bounds the networks below. */
export const CLUSTERS_MAX = 32;
/** The most nodes of one cluster: they share the machine's cores. */
export const NODES_MAX = 5;
/** The bridge that joins the nodes, in the first one. */
export const BRIDGE = "nodes0";
/** The name of the cable's end in each node but the first. */
export const UPLINK = "uplink";
/** The path of a unix socket fits into this many bytes, the last one being zero. */
const SOCKET_PATH_MAX = 107;

/** What a cluster is beside its name and number. */
export interface ClusterShape {
  /** Default: 1. */
  readonly nodes?: number;
  /** Whether nodes, pods and services have IPv6 beside IPv4. Default: false. */
  readonly dualStack?: boolean;
}

/** One cluster. */
export interface ClusterPlan {
  readonly name: string;
  /** From 0; unique among the running clusters of this machine. */
  readonly number: number;
  readonly folder: string;
  /** All pods and nodes, `10.64.0.0/16` for cluster 0; with IPv6, `fd00:64::/48` as well. */
  readonly podNetworks: readonly string[];
  readonly serviceNetworks: readonly string[];
  /** The API server's address among the services. */
  readonly apiServiceIp: string;
  readonly dnsIp: string;
  readonly nodes: readonly NodePlan[];
}

/** One node. The first one carries the control plane as well. */
export interface NodePlan {
  readonly name: string;
  readonly folder: string;
  readonly ip: string;
  /** Where there is IPv6. */
  readonly ip6?: string;
  /** One for each version of IP, in the order of the cluster's. */
  readonly podNetworks: readonly string[];
  /** Below each hierarchy of control groups; one of its own, so that nothing is shared. */
  readonly cgroup: string;
  readonly isControlPlane: boolean;
}

/** A name for a cluster of this test run: several runs may share the machine. */
export function testClusterName(purpose: string): string {
  return `t${process.pid.toString(36)}-${purpose}`;
}

/** Plans a cluster. Throws for names and numbers that cannot be. */
export function planCluster(name: string, number: number, shape: ClusterShape = {}): ClusterPlan {
  const { nodes = 1, dualStack = false } = shape;
  if (!/^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$/.test(name)) {
    throw new Error(
      `Cannot name a cluster "${name}": expected at most 20 lower-case letters, digits and hyphens`,
    );
  }
  if (!Number.isInteger(number) || number < 0 || number >= CLUSTERS_MAX) {
    throw new Error(`Cannot number a cluster ${number}: expected 0 to ${CLUSTERS_MAX - 1}`);
  }
  if (!Number.isInteger(nodes) || nodes < 1 || nodes > NODES_MAX) {
    throw new Error(`Cannot plan ${nodes} nodes: expected 1 to ${NODES_MAX}`);
  }
  const folder = clusterFolder(name);
  const pods = `10.${64 + number}`;
  const services = `10.${64 + CLUSTERS_MAX + number}`;
  // As with IPv4: the nodes' own network, those of their pods, and in the end the services'.
  const six = dualStack ? `fd00:64:${number.toString(16)}` : undefined;
  return {
    name,
    number,
    folder,
    podNetworks: [`${pods}.0.0/16`, ...six === undefined ? [] : [`${six}::/48`]],
    serviceNetworks: [`${services}.0.0/16`, ...six === undefined ? [] : [`${six}:ffff::/108`]],
    apiServiceIp: `${services}.0.1`,
    dnsIp: `${services}.0.10`,
    nodes: Array.from(
      { length: nodes },
      (_, index) => planNode(name, folder, pods, six, index + 1),
    ),
  };
}

function planNode(
  cluster: string,
  parent: string,
  network: string,
  six: string | undefined,
  number: number,
): NodePlan {
  const name = `node${number}`;
  const folder = `${parent}/${name}`;
  if (agentSocket(folder).length > SOCKET_PATH_MAX) {
    throw new Error(
      `Cannot keep a cluster in "${parent}": this path is too long for its sockets; ` +
        "set XDG_CACHE_HOME to a shorter one",
    );
  }
  return {
    name,
    folder,
    // The nodes' own network is the first of the cluster's; each node's pods have the one after it.
    ip: `${network}.0.${number}`,
    ...six === undefined ? {} : { ip6: `${six}::${number}` },
    podNetworks: [
      `${network}.${number}.0/24`,
      ...six === undefined ? [] : [`${six}:${number}::/64`],
    ],
    cgroup: `malla-test-${cluster}-${name}`,
    isControlPlane: number === 1,
  };
}

/** Where a cluster of that name keeps its files. */
export function clusterFolder(name: string): string {
  return `${CACHE}/clusters/${name}`;
}

/** Where a cluster's keeper writes; removed with the cluster when all went well. */
export function clusterLog(name: string): string {
  return `${CACHE}/clusters/${name}.log`;
}

/** Where a node's agent takes commands. */
export function agentSocket(nodeFolder: string): string {
  return `${nodeFolder}/agent.sock`;
}

/** Where connections to the API server are taken in, from outside of the node's network. */
export function apiSocket(nodeFolder: string): string {
  return `${nodeFolder}/api.sock`;
}
