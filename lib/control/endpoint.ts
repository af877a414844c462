/** How a pod's address is reached: its labels, its identity, and what its proxy speaks. Pure. */

import type { Endpoint } from "../mesh/endpoint.ts";
import { identityName } from "../mesh/identity.ts";
import type { PodFacts } from "./facts.ts";
import type { View } from "./index.ts";
import { type PortRange, portsContain } from "../mesh/port-range.ts";
import type { ControlSettings } from "./settings.ts";

/** The weight of every endpoint, until zones or overrides weigh otherwise. */
const WEIGHT = 10_000;

/** Where an endpoint is, and from where it is looked at. */
export interface Place {
  readonly ip: string;
  readonly port: number;
  /** Absent for an address that is no pod's. */
  readonly pod?: PodFacts;
  /** The endpoint's zone where its slice tells it. */
  readonly zone?: string;
  /** Empty when it is not known. */
  readonly askerZone: string;
}

/** The endpoint at a place. */
export function endpointAt(place: Place, view: View, settings: ControlSettings): Endpoint {
  const { ip, port, pod } = place;
  const address = { ip, port };
  const labels = { ...podLabels(pod, settings), ...zoneLabels(place) };
  if (pod === undefined || !isMeshed(pod, settings) || portsContain(pod.skippedPorts, port)) {
    return { address, weight: WEIGHT, labels, hint: "unknown" };
  }
  // The admin port is outside the redirect and speaks plain HTTP: promise no TLS there.
  if (port === pod.adminPort) return { address, weight: WEIGHT, labels, hint: "unknown" };
  const name = identityName({
    serviceAccount: pod.serviceAccount,
    namespace: pod.namespace,
    controlPlaneNamespace: settings.controlPlaneNamespace,
    trustDomain: settings.trustDomain,
  });
  const identity = { name, serverName: name };
  // The tap port takes TLS itself: no redirect leads from there to the proxy's inbound side.
  if (port === pod.controlPort) {
    return { address, weight: WEIGHT, labels, identity, hint: "unknown" };
  }
  const opaque = portsContain(podOpaquePorts(pod, view, settings), port);
  return {
    address,
    weight: WEIGHT,
    labels,
    identity,
    hint: opaque ? "opaque" : "h2",
    ...(pod.inboundPort === undefined ? {} : { transportPort: pod.inboundPort }),
  };
}

/** The ports that a pod's proxy does not look into. */
export function podOpaquePorts(
  pod: PodFacts,
  view: View,
  settings: ControlSettings,
): readonly PortRange[] {
  return pod.opaquePorts ?? view.namespace(pod.namespace)?.opaquePorts ??
    settings.defaultOpaquePorts;
}

/** Whether the pod has a proxy of this mesh. */
export function isMeshed(pod: PodFacts, settings: ControlSettings): boolean {
  return pod.controlPlane === settings.controlPlaneNamespace;
}

function podLabels(
  pod: PodFacts | undefined,
  settings: ControlSettings,
): Readonly<Record<string, string>> {
  if (pod === undefined) return {};
  const labels: Record<string, string> = { pod: pod.name, serviceaccount: pod.serviceAccount };
  if (pod.owner !== undefined) labels[pod.owner.kind] = pod.owner.name;
  if (isMeshed(pod, settings)) labels["control_plane_ns"] = settings.controlPlaneNamespace;
  if (pod.templateHash !== undefined) labels["pod_template_hash"] = pod.templateHash;
  return labels;
}

function zoneLabels(place: Place): Readonly<Record<string, string>> {
  const zone = place.zone ?? place.pod?.zone;
  if (zone === undefined) return { zone_locality: "unknown" };
  const locality = place.askerZone === ""
    ? "unknown"
    : place.askerZone === zone
    ? "local"
    : "remote";
  return { zone, zone_locality: locality };
}
