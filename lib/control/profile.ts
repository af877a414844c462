/** What is at an address: a service, a single pod, or nothing that the mesh knows. */

import type { SocketAddress } from "../mesh/address.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Profile } from "../mesh/policy.ts";
import { serviceFqdn, type ServiceTarget } from "./authority.ts";
import { endpointAt, podOpaquePorts } from "./endpoint.ts";
import type { ServiceFacts } from "./facts.ts";
import type { View } from "./index.ts";
import { portsContain } from "../mesh/port-range.ts";
import type { ControlSettings } from "./settings.ts";
import type { Question } from "./topics.ts";

/** Asks what is at an address, as seen from a zone. */
export function addressProfile(
  address: SocketAddress,
  askerZone: string,
  settings: ControlSettings,
): Question<Profile> {
  return {
    key: `profile ${formatAddress(address)} ${askerZone}`,
    answer(view) {
      const service = view.serviceAt(address.ip);
      if (service !== undefined) return serviceProfile(service, address.port, view, settings);
      return podProfile(address, askerZone, view, settings) ??
        unknownProfile(address.port, settings);
    },
  };
}

/** Asks what is behind a service's name. */
export function authorityProfile(
  target: ServiceTarget,
  askerZone: string,
  settings: ControlSettings,
): Question<Profile> {
  const { namespace, service: name, port, hostname } = target;
  return {
    key: `profile ${name}.${namespace} ${hostname ?? ""}:${port} ${askerZone}`,
    answer(view) {
      const service = view.service(namespace, name);
      if (service === undefined) return unknownProfile(port, settings);
      if (hostname === undefined) return serviceProfile(service, port, view, settings);
      const members = view.slices(namespace, name).flatMap((slice) => slice.members);
      const ips = members.filter((member) => member.hostname === hostname).map(({ ip }) => ip);
      const ip = ips.find((each) => each.includes(":") === (service.ipVersion === 6)) ?? ips[0];
      const found = ip && podProfile({ ip, port }, askerZone, view, settings);
      return found || unknownProfile(port, settings);
    },
  };
}

/** Whether connections to a service's port are not looked into. */
export function isServicePortOpaque(
  service: ServiceFacts,
  port: number,
  view: View,
  settings: ControlSettings,
): boolean {
  const ranges = service.opaquePorts ?? view.namespace(service.namespace)?.opaquePorts ??
    settings.defaultOpaquePorts;
  return portsContain(ranges, port);
}

function serviceProfile(
  service: ServiceFacts,
  port: number,
  view: View,
  settings: ControlSettings,
): Profile {
  const { namespace, name } = service;
  const listed = service.ports.some((candidate) => candidate.port === port);
  if (!listed) return unknownProfile(port, settings);
  return {
    fullyQualifiedName: serviceFqdn(namespace, name, settings.clusterDomain),
    opaque: isServicePortOpaque(service, port, view, settings),
    parent: { group: "", kind: "Service", name, namespace, port },
  };
}

function podProfile(
  address: SocketAddress,
  askerZone: string,
  view: View,
  settings: ControlSettings,
): Profile | undefined {
  const pod = view.podAt(address.ip);
  if (pod === undefined) return undefined;
  const endpoint = endpointAt({ ...address, pod, askerZone }, view, settings);
  return {
    fullyQualifiedName: "",
    opaque: portsContain(podOpaquePorts(pod, view, settings), address.port),
    // A single endpoint is not part of a set that would name its namespace.
    endpoint: { ...endpoint, labels: { namespace: pod.namespace, ...endpoint.labels } },
  };
}

/** Servers that speak first are as common outside of the mesh: the default opaque ports hold there. */
function unknownProfile(port: number, settings: ControlSettings): Profile {
  return { fullyQualifiedName: "", opaque: portsContain(settings.defaultOpaquePorts, port) };
}
