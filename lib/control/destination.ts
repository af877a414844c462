/** The endpoints behind a service's port: computed from the index, and the steps between two states. */

import { equalValues } from "../base/equal.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Endpoint, EndpointUpdate } from "../mesh/endpoint.ts";
import type { ServiceTarget } from "./authority.ts";
import { endpointAt } from "./endpoint.ts";
import type { ServiceFacts, SliceFacts, SliceMember } from "./facts.ts";
import type { View } from "./index.ts";
import type { ControlSettings } from "./settings.ts";
import type { Question } from "./topics.ts";

/** All endpoints of a destination at one moment. */
export interface EndpointSet {
  /** Whether there is such a service; one that only points to another name has no endpoints at all. */
  readonly state: "present" | "absent" | "external";
  /** Whether an asker may use only the endpoints on its own node. */
  readonly localOnly: boolean;
  readonly labels: Readonly<Record<string, string>>;
  /** By the address's text. */
  readonly endpoints: Readonly<Record<string, LocatedEndpoint>>;
}

/** An endpoint and the node that it is on, empty when that is not known. */
export interface LocatedEndpoint {
  readonly endpoint: Endpoint;
  readonly nodeName: string;
}

/** Asks for the endpoints of a target, as seen from a zone. */
export function endpointsQuestion(
  target: ServiceTarget,
  askerZone: string,
  settings: ControlSettings,
): Question<EndpointSet> {
  const { namespace, service, hostname = "", port } = target;
  return {
    key: `endpoints ${namespace}/${service}/${hostname}:${port} ${askerZone}`,
    answer: (view) => endpointSet(view, target, askerZone, settings),
  };
}

/** The endpoints that an asker on a node may use. */
export function endpointsFor(
  set: EndpointSet,
  nodeName: string,
): Readonly<Record<string, LocatedEndpoint>> {
  if (!set.localOnly) return set.endpoints;
  return Object.fromEntries(
    Object.entries(set.endpoints).filter(([, located]) => located.nodeName === nodeName),
  );
}

/**
 * What to tell an asker that knows `previous` (nothing, when it is undefined) so that it knows `next`.
 * No step when both are the same to an asker on this node.
 */
export function endpointSteps(
  previous: EndpointSet | undefined,
  next: EndpointSet,
  nodeName: string,
): readonly EndpointUpdate[] {
  const before = previous === undefined ? {} : endpointsFor(previous, nodeName);
  const after = endpointsFor(next, nodeName);
  const exists = next.state === "present";
  if (Object.keys(after).length === 0) {
    const known = previous !== undefined && Object.keys(before).length === 0 &&
      (previous.state === "present") === exists;
    return known ? [] : [{ kind: "none", exists }];
  }
  const relabelled = previous !== undefined && !equalValues(previous.labels, next.labels);
  const added = Object.entries(after)
    .filter(([key, { endpoint }]) => relabelled || !equalValues(before[key]?.endpoint, endpoint))
    .map(([, { endpoint }]) => endpoint);
  const removed = Object.entries(before).filter(([key]) => !(key in after))
    .map(([, { endpoint }]) => endpoint.address);
  // First what is new: an asker whose every endpoint is replaced then never has none.
  return [
    ...(added.length === 0
      ? []
      : [{ kind: "add", endpoints: added, labels: next.labels } as const]),
    ...(removed.length === 0 ? [] : [{ kind: "remove", addresses: removed } as const]),
  ];
}

function endpointSet(
  view: View,
  target: ServiceTarget,
  askerZone: string,
  settings: ControlSettings,
): EndpointSet {
  const service = view.service(target.namespace, target.service);
  const labels = { namespace: target.namespace, service: target.service };
  if (service === undefined || service.external) {
    const state = service === undefined ? "absent" : "external";
    return { state, localOnly: false, labels, endpoints: {} };
  }
  const members = oncePerPod(
    view.slices(target.namespace, target.service)
      .flatMap((slice) => sliceMembers(slice, service, target)),
    service,
  );
  const endpoints: Record<string, LocatedEndpoint> = {};
  for (const { member, port } of inZone(members, askerZone)) {
    const pod = member.pod && view.pod(member.pod.namespace, member.pod.name);
    const endpoint = endpointAt(
      {
        ip: member.ip,
        port,
        askerZone,
        ...(pod === undefined ? {} : { pod }),
        ...(member.zone === undefined ? {} : { zone: member.zone }),
      },
      view,
      settings,
    );
    endpoints[formatAddress(endpoint.address)] = { endpoint, nodeName: member.nodeName ?? "" };
  }
  return { state: "present", localOnly: service.localOnly, labels, endpoints };
}

interface PlacedMember {
  readonly member: SliceMember;
  readonly port: number;
}

function sliceMembers(
  slice: SliceFacts,
  service: ServiceFacts,
  target: ServiceTarget,
): readonly PlacedMember[] {
  const port = memberPort(slice, service, target.port);
  if (port === undefined) return [];
  return slice.members
    .filter(({ hostname }) => target.hostname === undefined || hostname === target.hostname)
    .map((member) => ({ member, port }));
}

/**
 * A pod of a dual-stack service has an address in two slices: with both it would be two endpoints to a
 * balancer, and get twice its share.
 */
function oncePerPod(
  members: readonly PlacedMember[],
  { ipVersion }: ServiceFacts,
): readonly PlacedMember[] {
  const isMain = ({ member }: PlacedMember) => member.ip.includes(":") === (ipVersion === 6);
  const podOf = ({ member: { pod } }: PlacedMember) => pod && `${pod.namespace}/${pod.name}`;
  const reached = new Set(members.filter(isMain).map(podOf));
  return members.filter((placed) => {
    const pod = podOf(placed);
    return isMain(placed) || pod === undefined || !reached.has(pod);
  });
}

/** A headless service is only a name for its pods: a port that it does not list is the pods' own. */
function memberPort(slice: SliceFacts, service: ServiceFacts, port: number): number | undefined {
  const listed = service.ports.find((candidate) => candidate.port === port);
  if (listed === undefined) return service.clusterIps.length === 0 ? port : undefined;
  const found = slice.ports.find(({ name }) => name === listed.name);
  return found === undefined ? undefined : found.port ?? port;
}

/** Endpoints hinted for the asker's zone, where all have hints and some are for it; else all. */
function inZone(members: readonly PlacedMember[], zone: string): readonly PlacedMember[] {
  if (zone === "" || members.some(({ member }) => member.hintedZones === undefined)) return members;
  const hinted = members.filter(({ member }) => member.hintedZones?.includes(zone) === true);
  return hinted.length === 0 ? members : hinted;
}
