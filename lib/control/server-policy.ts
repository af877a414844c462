/** How a pod's port takes connections: its protocol, whom it admits, and which probes always pass. */

import { Fault } from "../base/fault.ts";
import { type Network, parseNetwork } from "../mesh/address.ts";
import type { Authorization, ClientMatch, ResourceRef, ServerPolicy } from "../mesh/policy.ts";
import { DETECT_TIMEOUT_MS } from "./client-policy.ts";
import { podOpaquePorts } from "./endpoint.ts";
import type { PodFacts } from "./facts.ts";
import type { View } from "./index.ts";
import { selectorMatches } from "../source/objects.ts";
import { portsContain } from "../mesh/port-range.ts";
import type { InboundPolicy } from "../mesh/policy.ts";
import type { ControlSettings } from "./settings.ts";
import type { Question } from "./topics.ts";

const ALL_NETWORKS: readonly Network[] = [parseNetwork("0.0.0.0/0"), parseNetwork("::/0")];

const ANYONE: ClientMatch = { kind: "unauthenticated" };
/** One suffix without parts is a suffix of every name. */
const ANY_IDENTITY: ClientMatch = { kind: "identities", names: [], suffixes: [[]] };

/** A policy, or undefined when there is no such pod. */
export type ServerPolicyAnswer = ServerPolicy | undefined;

/** Asks how a port of a pod takes connections. */
export function serverPolicyQuestion(
  workload: { readonly namespace: string; readonly name: string },
  port: number,
  settings: ControlSettings,
): Question<ServerPolicyAnswer> {
  const { namespace, name } = workload;
  return {
    key: `server-policy ${namespace}/${name}:${port}`,
    answer(view) {
      const pod = view.pod(namespace, name);
      return pod === undefined ? undefined : portPolicy(pod, port, view, settings);
    },
  };
}

/** Tells an asker that there is no such pod. */
export function unknownWorkload(namespace: string, name: string): Fault {
  return new Fault("not_found", `No pod "${name}" in namespace "${namespace}"`, {
    source: "downstream",
    retry: true,
  });
}

function portPolicy(
  pod: PodFacts,
  port: number,
  view: View,
  settings: ControlSettings,
): ServerPolicy {
  const isUnserved = view.servers(pod.namespace)
    .some(({ pods }) => selectorMatches(pods, pod.labels));
  // Whom a server would refuse we cannot tell, so that nobody is admitted.
  const named = isUnserved
    ? "deny"
    : pod.inboundPolicy ?? view.namespace(pod.namespace)?.inboundPolicy ??
      settings.defaultInboundPolicy;
  const chosen = portsContain(pod.identityPorts, port) ? authenticated(named) : named;
  const opaque = portsContain(podOpaquePorts(pod, view, settings), port);
  const probes = pod.probes.filter((probe) => probe.port === port)
    .map(({ method, path }) => ({ method, path }));
  return {
    protocol: opaque ? "opaque" : "detect",
    detectTimeoutMs: DETECT_TIMEOUT_MS,
    authorizations: authorizations(chosen, settings.clusterNetworks),
    resource: defaultResource(chosen),
    probes,
    probeNetworks: ALL_NETWORKS,
  };
}

/** The older annotation for single ports asks for less than the policies do: some identity. */
function authenticated(policy: InboundPolicy): InboundPolicy {
  switch (policy) {
    case "all-unauthenticated":
    case "audit":
      return "all-authenticated";
    case "cluster-unauthenticated":
      return "cluster-authenticated";
    default:
      return policy;
  }
}

function authorizations(
  policy: InboundPolicy,
  clusterNetworks: readonly Network[],
): readonly Authorization[] {
  switch (policy) {
    case "deny":
      return [];
    case "all-unauthenticated":
    case "audit":
      return [authorization(policy, ALL_NETWORKS, ANYONE)];
    case "all-authenticated":
      return [authorization(policy, ALL_NETWORKS, ANY_IDENTITY)];
    case "cluster-unauthenticated":
      return [authorization(policy, clusterNetworks, ANYONE)];
    case "cluster-authenticated":
      return [authorization(policy, clusterNetworks, ANY_IDENTITY)];
  }
}

function authorization(
  policy: InboundPolicy,
  networks: readonly Network[],
  clients: ClientMatch,
): Authorization {
  return {
    networks: networks.map((network) => ({ network, except: [] })),
    clients,
    resource: defaultResource(policy),
  };
}

function defaultResource(name: string): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}
