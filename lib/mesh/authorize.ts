/**
 * Decides whether a client is admitted by a server policy. Pure: the same policy and client always
 * give the same answer, so a caller may keep it as long as both stay the same objects.
 */

import { networkContains } from "./address.ts";
import type { Authorization, ClientMatch, ServerPolicy } from "./policy.ts";

/** What is known of a client when it is to be admitted. */
export interface ClientFacts {
  readonly ip: string;
  /** It came by TLS that this proxy terminated. */
  readonly tls: boolean;
  /** The name in its verified certificate; null without one. */
  readonly identity: string | null;
}

/** The first authorization that admits the client, null when none does. */
export function authorize(policy: ServerPolicy, client: ClientFacts): Authorization | null {
  for (const authorization of policy.authorizations) {
    if (admitsNetwork(authorization, client.ip) && admitsClient(authorization.clients, client)) {
      return authorization;
    }
  }
  return null;
}

/**
 * Whether a request is one of the probes of the node's agent, which has no identity: by a probe's method
 * on exactly its path, from the probes' networks. `target` is the request target with its query.
 */
export function admitsProbe(
  policy: ServerPolicy,
  client: ClientFacts,
  method: string,
  target: string,
): boolean {
  if (policy.probes.length === 0) return false;
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  return policy.probes.some((probe) => probe.method === method && probe.path === path) &&
    policy.probeNetworks.some((network) => networkContains(network, client.ip));
}

function admitsNetwork(authorization: Authorization, ip: string): boolean {
  return authorization.networks.some(({ network, except }) =>
    networkContains(network, ip) && !except.some((excepted) => networkContains(excepted, ip))
  );
}

function admitsClient(match: ClientMatch, client: ClientFacts): boolean {
  switch (match.kind) {
    case "unauthenticated":
      return true;
    case "tls":
      return client.tls;
    case "identities": {
      const { identity } = client;
      if (!client.tls || identity === null) return false;
      return match.names.includes(identity) ||
        match.suffixes.some((suffix) => hasSuffix(identity, suffix));
    }
    default:
      return match satisfies never;
  }
}

/** Whole labels only: the suffix `b.c` admits `a.b.c`, but neither `b.c` itself nor `ab.c`. */
function hasSuffix(name: string, suffix: readonly string[]): boolean {
  return suffix.length === 0 || name.endsWith(`.${suffix.join(".")}`);
}
