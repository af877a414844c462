/**
 * EndpointSlices as Kubernetes would make them, from a Service and the pods that its selector picks.
 * Pure: pods in, slices out. Pods whose named ports differ in number go to slices of their own.
 */

import {
  type EndpointSlice,
  isReady,
  labelsMatch,
  type Pod,
  type PortReference,
  type Service,
  SERVICE_NAME_LABEL,
  type ServicePort,
  type SliceEndpoint,
  type SlicePort,
} from "../objects.ts";

/** The label by which slices that we make are told apart from those of a manifest. */
export const MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";

/** Its value. */
export const MANAGED_BY = "malla.dev";

/** IP families in the order in which their slices are made. */
const FAMILIES = ["IPv4", "IPv6"] as const;

/** Node zones come to pods as this label. */
const ZONE_LABEL = "topology.kubernetes.io/zone";

type Family = typeof FAMILIES[number];

/** The slices of a service; none for a service whose endpoints come from elsewhere. */
export function endpointSlices(service: Service, pods: Iterable<Pod>): readonly EndpointSlice[] {
  const selector = service.spec.selector;
  if (selector === undefined || service.spec.type === "ExternalName") return [];
  const groups = new Map<string, { ports: readonly SlicePort[]; members: Map<Family, Pod[]> }>();
  for (const pod of pods) {
    if (pod.metadata.namespace !== service.metadata.namespace) continue;
    if (!labelsMatch(selector, pod.metadata.labels) || !takesTraffic(pod)) continue;
    const ports = slicePorts(service.spec.ports, pod);
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, members: new Map<Family, Pod[]>() };
    groups.set(key, group);
    for (const family of familiesOf(service)) {
      if (podAddress(pod, family) === undefined) continue;
      const members = group.members.get(family) ?? [];
      members.push(pod);
      group.members.set(family, members);
    }
  }
  // Sorted by ports, so that the same pods make slices of the same names in whatever order they came.
  const sorted = [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
  return sorted.flatMap(({ ports, members }, index) =>
    [...members].map(([family, chosen]) => slice(service, { family, index, ports, pods: chosen }))
  );
}

function slice(
  service: Service,
  group: { family: Family; index: number; ports: readonly SlicePort[]; pods: readonly Pod[] },
): EndpointSlice {
  const { name, namespace } = service.metadata;
  const headless = service.spec.clusterIP === "None";
  const pods = [...group.pods].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  return {
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${group.family.toLowerCase()}-${group.index}`,
      namespace,
      labels: {
        [SERVICE_NAME_LABEL]: name,
        [MANAGED_BY_LABEL]: MANAGED_BY,
        ...(headless ? { "service.kubernetes.io/headless": "" } : {}),
      },
      annotations: {},
      ownerReferences: [{ kind: "Service", name, controller: true }],
    },
    addressType: group.family,
    endpoints: pods.flatMap((pod) => sliceEndpoint(service, pod, group.family)),
    ports: group.ports,
  };
}

function sliceEndpoint(service: Service, pod: Pod, family: Family): SliceEndpoint[] {
  const address = podAddress(pod, family);
  if (address === undefined) return [];
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const serving = isReady(pod);
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { hostname, subdomain, nodeName } = pod.spec;
  const zone = pod.metadata.labels[ZONE_LABEL];
  // Only a pod that names this service as its subdomain has a DNS name under it (StatefulSets do).
  const named = hostname !== undefined && subdomain === service.metadata.name;
  return [{
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: {
      kind: "Pod",
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      ...(pod.metadata.uid === undefined ? {} : { uid: pod.metadata.uid }),
    },
  }];
}

/** A pod that has ended has no endpoint, ready or not. */
function takesTraffic(pod: Pod): boolean {
  return pod.status.phase !== "Succeeded" && pod.status.phase !== "Failed";
}

function familiesOf(service: Service): readonly Family[] {
  const wanted = service.spec.ipFamilies;
  return wanted.length === 0 ? ["IPv4"] : FAMILIES.filter((family) => wanted.includes(family));
}

function podAddress(pod: Pod, family: Family): string | undefined {
  const ips = pod.status.podIPs.map(({ ip }) => ip);
  if (pod.status.podIP !== undefined) ips.unshift(pod.status.podIP);
  return ips.find((ip) => ip.includes(":") === (family === "IPv6"));
}

/** The service's ports as this pod has them; a named port that the pod does not have is left out. */
function slicePorts(ports: readonly ServicePort[], pod: Pod): readonly SlicePort[] {
  return ports.flatMap((port) => {
    const number = targetPort(port.targetPort ?? port.port, port.protocol ?? "TCP", pod);
    if (number === undefined) return [];
    return [{ name: port.name ?? "", port: number, protocol: port.protocol ?? "TCP" }];
  });
}

function targetPort(target: PortReference, protocol: string, pod: Pod): number | undefined {
  if (typeof target === "number") return target;
  const sidecars = pod.spec.initContainers.filter(({ restartPolicy }) =>
    restartPolicy === "Always"
  );
  for (const container of [...pod.spec.containers, ...sidecars]) {
    for (const port of container.ports) {
      if (port.name === target && (port.protocol ?? "TCP") === protocol) return port.containerPort;
    }
  }
  return undefined;
}
