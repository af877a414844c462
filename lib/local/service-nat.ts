/**
 * Service addresses for what the mesh does not carry: UDP, skipped ports, pods without a proxy, and
 * `--publish`. In the mesh's own namespace each ClusterIP:port is translated to a ready endpoint,
 * chosen at random per connection. Pure: Services and EndpointSlices in, rules of iptables out;
 * `gateway-rules.ts` puts them into tables.
 */

import { sha256Hex } from "../host/digest.ts";
import type { IpVersion } from "../inject/mod.ts";
import { parseAddress, type SocketAddress } from "../mesh/address.ts";
import {
  type EndpointSlice,
  type Service,
  SERVICE_NAME_LABEL,
  type ServicePort,
} from "../source/objects.ts";

/** The chain that looks at service addresses; `gateway-rules.ts` jumps to it. */
export const SERVICES_CHAIN = "MALLA_SERVICES";

/** Rules of the `nat` table: the chains to declare, and the lines that fill them. */
export interface NatRules {
  readonly chains: readonly string[];
  readonly lines: readonly string[];
}

/** One service port and where its connections go. */
interface Mapping {
  readonly address: string;
  readonly port: number;
  readonly protocol: string;
  readonly chain: string;
  /** `ip:port`, ready for `--to-destination`. */
  readonly targets: readonly string[];
}

/**
 * The translation of all service addresses of one IP version. A service port without a ready endpoint
 * has no rule: the gateway rejects whatever still goes to the service network after this.
 */
export function serviceRules(
  services: Iterable<Service>,
  slices: Iterable<EndpointSlice>,
  version: IpVersion,
): NatRules {
  const byService = groupSlices(slices, version);
  const mappings = [...services]
    .flatMap((service) => mappingsOf(service, byService.get(serviceKey(service)) ?? [], version))
    .filter(({ targets }) => targets.length > 0)
    // Sorted, so that the same objects give the same text in whatever order they came.
    .sort((a, b) => a.address < b.address ? -1 : a.address > b.address ? 1 : a.port - b.port);
  const width = version === 4 ? 32 : 128;
  const jumps = mappings.map(({ address, port, protocol, chain }) =>
    `-A ${SERVICES_CHAIN} -d ${address}/${width} -p ${protocol} --dport ${port} -j ${chain}`
  );
  return {
    chains: [SERVICES_CHAIN, ...mappings.map(({ chain }) => chain)],
    lines: [...jumps, ...mappings.flatMap(balanceRules)],
  };
}

function mappingsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  version: IpVersion,
): Mapping[] {
  const address = clusterIp(service, version);
  if (address === undefined) return [];
  return service.spec.ports.flatMap((port) => {
    const protocol = (port.protocol ?? "TCP").toLowerCase();
    if (protocol !== "tcp" && protocol !== "udp") return [];
    const name = `${serviceKey(service)}:${port.port}/${protocol}/${version}`;
    return [{
      address,
      port: port.port,
      protocol,
      chain: `MALLA_SVC_${sha256Hex(name).slice(0, 12).toUpperCase()}`,
      targets: targetsOf(port, slices),
    }];
  });
}

/** The service's virtual address of the IP version; undefined for headless and external ones. */
export function clusterIp(service: Service, version: IpVersion): string | undefined {
  const { clusterIP, clusterIPs, type } = service.spec;
  if (type === "ExternalName") return undefined;
  const all = clusterIPs.length > 0 ? clusterIPs : clusterIP === undefined ? [] : [clusterIP];
  return all.find((ip) => ip !== "None" && ip !== "" && ip.includes(":") === (version === 6));
}

/**
 * Where a connection to a service's port goes from within the mesh's own namespace: to its virtual
 * address, or for a headless service to one of its pods. null: no such service, port or pod.
 */
export function placeService(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  wanted: { readonly namespace: string; readonly name: string; readonly port: number },
): SocketAddress | null {
  const service = services.find(({ metadata }) =>
    metadata.namespace === wanted.namespace && metadata.name === wanted.name
  );
  const port = service?.spec.ports.find((candidate) =>
    candidate.port === wanted.port && (candidate.protocol ?? "TCP") === "TCP"
  );
  if (service === undefined || port === undefined) return null;
  const ip = clusterIp(service, 4) ?? clusterIp(service, 6);
  if (ip !== undefined) return { ip, port: port.port };
  const own = ([4, 6] as const).flatMap((version) =>
    groupSlices(slices, version).get(serviceKey(service)) ?? []
  );
  const [target] = targetsOf(port, own);
  return target === undefined ? null : parseAddress(target);
}

/** Ready endpoints; where there is none, those that end but still serve, as kube-proxy has it. */
function targetsOf(port: ServicePort, slices: readonly EndpointSlice[]): string[] {
  const ready = new Set<string>();
  const ending = new Set<string>();
  for (const slice of slices) {
    const target = slice.ports.find((candidate) =>
      candidate.name === (port.name ?? "") &&
      (candidate.protocol ?? "TCP") === (port.protocol ?? "TCP")
    );
    if (target === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints) {
      const [ip] = addresses;
      if (ip === undefined) continue;
      const number = target.port ?? port.port;
      const text = ip.includes(":") ? `[${ip}]:${number}` : `${ip}:${number}`;
      if (conditions.ready !== false) ready.add(text);
      else if (conditions.serving === true && conditions.terminating === true) ending.add(text);
    }
  }
  return [...(ready.size > 0 ? ready : ending)].sort();
}

/** Of n rules the first takes one in n, the second one in n−1 of the rest, the last everything. */
function balanceRules({ chain, targets, protocol }: Mapping): string[] {
  return targets.map((target, index) => {
    const left = targets.length - index;
    const share = left === 1
      ? ""
      : `-m statistic --mode random --probability ${(1 / left).toFixed(10)} `;
    return `-A ${chain} -p ${protocol} ${share}-j DNAT --to-destination ${target}`;
  });
}

function groupSlices(
  slices: Iterable<EndpointSlice>,
  version: IpVersion,
): Map<string, EndpointSlice[]> {
  const wanted = version === 4 ? "IPv4" : "IPv6";
  const groups = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels[SERVICE_NAME_LABEL];
    if (service === undefined || slice.addressType !== wanted) continue;
    const key = `${slice.metadata.namespace}/${service}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [slice]);
    else group.push(slice);
  }
  return groups;
}

function serviceKey({ metadata }: Service): string {
  return `${metadata.namespace}/${metadata.name}`;
}
