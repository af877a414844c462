/**
 * Puts together what the control plane said about an address: the client policy, the profile, or
 * neither. Pure. Rules of the contract: a profile with an endpoint (the address of a pod) wins over
 * the policy; without any policy the address itself is the endpoint; an opaque profile makes it opaque.
 */

import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import type { ClientPolicy, Profile, ResourceRef, Route } from "../mesh/policy.ts";

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
  const policy = chosenPolicy(known);
  const isOpaque = profile !== null && (profile.opaque || profile.endpoint?.hint === "opaque");
  return isOpaque && policy.protocol !== "opaque" ? { ...policy, protocol: "opaque" } : policy;
}

/** The label `authority`: the name of the service that owns the address, else the address. */
export function targetAuthority({ address, profile, policy }: Known): string {
  const name = profile?.fullyQualifiedName ?? "";
  if (name !== "") return `${name}:${policy?.parent.port || address.port}`;
  return formatAddress(address);
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
