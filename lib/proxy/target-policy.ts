/**
 * Puts together what the control plane said about a destination: the client policy, the profile, or
 * neither. Pure. Rules of the contract: a profile with an endpoint (the address of a pod) wins over
 * the policy; without any policy an address is its own endpoint, and a name is refused; an opaque profile
 * makes it opaque; a ServiceProfile with routes or a split of the traffic wins over the policy's retries
 * and timeouts.
 */

import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import type {
  Backend,
  ClientPolicy,
  Profile,
  ResourceRef,
  Route,
  RouteAction,
} from "../mesh/policy.ts";
import type { ProfileOverride } from "../mesh/service-profile.ts";
import type { Destination } from "./environment.ts";

/** What is known of a destination; null: the control plane said that there is nothing. */
export interface Known {
  readonly destination: Destination;
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

/** The label `authority`: the name of the service that owns the address, else the destination itself. */
export function targetAuthority({ destination, profile, policy }: Known): string {
  const name = profile?.fullyQualifiedName ?? "";
  if (name === "" || typeof destination === "string") return destinationText(destination);
  return `${name}:${policy?.parent.port || destination.port}`;
}

/** In text, and the key for maps. */
export function destinationText(destination: Destination): string {
  return typeof destination === "string" ? destination : formatAddress(destination);
}

/** Refuses every request and connection. */
export function refusingPolicy(status: number, message: string): ClientPolicy {
  return defaultPolicy(defaultResource("refused"), { kind: "fail", status, message }, 0);
}

/** Whether a ServiceProfile says something of requests or of their way. */
export function isProfiled({ endpoint, routes, budget, overrides }: Profile): boolean {
  return endpoint === undefined && (routes ?? budget ?? overrides) !== undefined;
}

/** How endpoints of a split's parts are chosen is not said by the profile: as for the Service itself. */
const DEFAULT_RTT_MS = 30;
const DECAY_MS = 10_000;

/** The status for a name that the control plane does not know. */
const UNKNOWN_NAME = 502;

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

function chosenPolicy({ destination, profile, policy, detectTimeoutMs }: Known): ClientPolicy {
  const endpoint = profile?.endpoint;
  // What leaves the cluster may be forbidden by policy; no profile may overrule that.
  if (endpoint !== undefined && policy?.parent.kind !== "EgressNetwork") {
    return forwardPolicy("endpoint", endpoint, detectTimeoutMs);
  }
  if (policy !== null) return policy;
  if (typeof destination === "string") {
    return refusingPolicy(UNKNOWN_NAME, `no Service is known as "${destination}"`);
  }
  return forwardPolicy("fallback", bareEndpoint(destination), detectTimeoutMs);
}

function forwardPolicy(name: string, endpoint: Endpoint, detectTimeoutMs: number): ClientPolicy {
  const resource = defaultResource(name);
  const backends: Backend[] = [{ resource, target: { kind: "forward", endpoint }, weight: 1 }];
  return defaultPolicy(resource, { kind: "backends", backends }, detectTimeoutMs);
}

function defaultPolicy(
  resource: ResourceRef,
  action: RouteAction,
  detectTimeoutMs: number,
): ClientPolicy {
  const route: Route = { resource, action };
  return { protocol: "detect", detectTimeoutMs, http: route, opaque: route, parent: resource };
}

function bareEndpoint(address: SocketAddress): Endpoint {
  return { address, weight: 10_000, labels: {}, hint: "unknown" };
}

function defaultResource(name: string): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}
