/**
 * Puts together what the control plane said about an address: the client policy, the profile, or
 * neither. Pure. Rules of the contract: a profile with an endpoint (the address of a pod) wins over
 * the policy; without any policy the address itself is the endpoint; an opaque profile makes it opaque;
 * a ServiceProfile with routes or a split of the traffic wins over the policy's retries and timeouts.
 */

import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import type { Backend, ClientPolicy, Profile, ResourceRef, Route } from "../mesh/policy.ts";
import type { ProfileOverride } from "../mesh/service-profile.ts";

/** What is known of an address; null: the control plane said that there is nothing. */
export interface Known {
  readonly address: SocketAddress;
  readonly profile: Profile | null;
  readonly policy: ClientPolicy | null;
  /** For a policy that is made here. */
  readonly detectTimeoutMs: number;
}

/** The policy to follow. */
export function targetPolicy(known: Known): ClientPolicy {
  const { profile } = known;
  const policy = profiled(chosenPolicy(known), profile);
  const isOpaque = profile !== null && (profile.opaque || profile.endpoint?.hint === "opaque");
  return isOpaque && policy.protocol !== "opaque" ? { ...policy, protocol: "opaque" } : policy;
}

/** The label `authority`: the name of the service that owns the address, else the address. */
export function targetAuthority({ address, profile, policy }: Known): string {
  const name = profile?.fullyQualifiedName ?? "";
  if (name !== "") return `${name}:${policy?.parent.port || address.port}`;
  return formatAddress(address);
}

/** Whether a ServiceProfile says something of requests or of their way. */
export function isProfiled({ endpoint, routes, budget, overrides }: Profile): boolean {
  return endpoint === undefined && (routes ?? budget ?? overrides) !== undefined;
}

/** How endpoints of a split's parts are chosen is not said by the profile: as for the Service itself. */
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

function profiled(policy: ClientPolicy, profile: Profile | null): ClientPolicy {
  const { routes, overrides } = profile ?? {};
  if (profile === null || profile.endpoint !== undefined) return policy;
  if (routes === undefined && overrides === undefined) return policy;
  if (policy.http.action.kind === "fail") return policy;
  const { resource, action } = policy.http;
  if (overrides === undefined) return { ...policy, http: { resource, action } };
  const split = { kind: "backends", backends: overrides.map(splitBackend) } as const;
  return {
    ...policy,
    http: { resource, action: split },
    opaque: { ...policy.opaque, action: split },
  };
}

function splitBackend({ authority, weight }: ProfileOverride): Backend {
  const [host = "", port = ""] = authority.split(":");
  const [name = host, namespace = ""] = host.split(".");
  return {
    resource: { group: "", kind: "Service", name, namespace, port: Number(port) },
    target: {
      kind: "balancer",
      path: authority,
      defaultRttMs: DEFAULT_RTT_MS,
      decayMs: DECAY_MS,
    },
    weight,
  };
}

function chosenPolicy({ address, profile, policy, detectTimeoutMs }: Known): ClientPolicy {
  const endpoint = profile?.endpoint;
  // What leaves the cluster may be forbidden by policy; no profile may overrule that.
  if (endpoint !== undefined && policy?.parent.kind !== "EgressNetwork") {
    return forwardPolicy("endpoint", endpoint, detectTimeoutMs);
  }
  return policy ?? forwardPolicy("fallback", bareEndpoint(address), detectTimeoutMs);
}

function forwardPolicy(name: string, endpoint: Endpoint, detectTimeoutMs: number): ClientPolicy {
  const resource = defaultResource(name);
  const route: Route = {
    resource,
    action: {
      kind: "backends",
      backends: [{ resource, target: { kind: "forward", endpoint }, weight: 1 }],
    },
  };
  return { protocol: "detect", detectTimeoutMs, http: route, opaque: route, parent: resource };
}

function bareEndpoint(address: SocketAddress): Endpoint {
  return { address, weight: 10_000, labels: {}, hint: "unknown" };
}

function defaultResource(name: string): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}
