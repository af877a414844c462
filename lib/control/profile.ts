/** What is at an address: a service, a single pod, or nothing that the mesh knows. */

import type { SocketAddress } from "../mesh/address.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Profile } from "../mesh/policy.ts";
import { serviceFqdn, type ServiceTarget } from "./authority.ts";
import { endpointAt, podOpaquePorts } from "./endpoint.ts";
import type { ProfileFacts, ServiceFacts } from "./facts.ts";
import type { View } from "./index.ts";
import { portsContain } from "../mesh/port-range.ts";
import type { ControlSettings } from "./settings.ts";
import type { Question } from "./topics.ts";

/** Whose view of an address it is. */
export interface ProfileAsker {
  readonly zone: string;
  /** Its own ServiceProfiles come before those of a Service's namespace. */
  readonly namespace: string;
}

/** Asks what is at an address, as seen by an asker. */
export function addressProfile(
  address: SocketAddress,
  asker: ProfileAsker,
  settings: ControlSettings,
): Question<Profile> {
  return {
    key: `profile ${formatAddress(address)} ${asker.zone} ${asker.namespace}`,
    answer(view) {
      const service = view.serviceAt(address.ip);
      if (service !== undefined) {
        return serviceProfile(service, address.port, asker.namespace, view, settings);
      }
      return podProfile(address, asker.zone, view, settings) ??
        unknownProfile(address.port, settings);
    },
  };
}

/** Asks what is behind a service's name. */
export function authorityProfile(
  target: ServiceTarget,
  asker: ProfileAsker,
  settings: ControlSettings,
): Question<Profile> {
  const { namespace, service: name, port, hostname } = target;
  return {
    key: `profile ${name}.${namespace} ${hostname ?? ""}:${port} ${asker.zone} ${asker.namespace}`,
    answer(view) {
      const service = view.service(namespace, name);
      if (service === undefined) return unknownProfile(port, settings);
      if (hostname === undefined) {
        return serviceProfile(service, port, asker.namespace, view, settings);
      }
      const members = view.slices(namespace, name).flatMap((slice) => slice.members);
      const ips = members.filter((member) => member.hostname === hostname).map(({ ip }) => ip);
      const ip = ips.find((each) => each.includes(":") === (service.ipVersion === 6)) ?? ips[0];
      const found = ip && podProfile({ ip, port }, asker.zone, view, settings);
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
  askerNamespace: string,
  view: View,
  settings: ControlSettings,
): Profile {
  const { namespace, name } = service;
  const listed = service.ports.some((candidate) => candidate.port === port);
  if (!listed) return unknownProfile(port, settings);
  const fqdn = serviceFqdn(namespace, name, settings.clusterDomain);
  const own = view.profile(askerNamespace, fqdn);
  const configured = own ?? view.profile(namespace, fqdn);
  const isOpaque = isServicePortOpaque(service, port, view, settings);
  return {
    fullyQualifiedName: fqdn,
    opaque: isOpaque || (configured !== undefined && portsContain(configured.opaquePorts, port)),
    parent: { group: "", kind: "Service", name, namespace, port },
    ...(configured === undefined ? {} : configuredPart(configured, port)),
  };
}

/** What a ServiceProfile adds; a part of the traffic goes to the same port where none is named. */
function configuredPart(facts: ProfileFacts, port: number): Partial<Profile> {
  const { namespace, name, routes, budget, overrides } = facts;
  return {
    source: { group: "linkerd.io", kind: "ServiceProfile", name, namespace, port: 0 },
    ...(routes.length === 0 ? {} : { routes }),
    ...(budget === undefined ? {} : { budget }),
    ...(overrides.length === 0 ? {} : {
      overrides: overrides.map(({ authority, weight }) => ({
        authority: authority.includes(":") ? authority : `${authority}:${port}`,
        weight,
      })),
    }),
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
