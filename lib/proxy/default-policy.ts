/** Inbound policies that hold until the control plane has spoken of a port; names are the contract's. */

import { type Network, parseNetwork } from "../mesh/address.ts";
import type {
  Authorization,
  ClientMatch,
  InboundPolicy,
  ResourceRef,
  ServerPolicy,
} from "../mesh/policy.ts";

/** What the default of a port depends on. */
export interface DefaultPolicyOptions {
  readonly name: InboundPolicy;
  readonly clusterNetworks: readonly Network[];
  readonly detectTimeoutMs: number;
  readonly isOpaque: boolean;
  /** The port admits no client without TLS, or without an identity, whatever the policy's name. */
  readonly needs: "nothing" | "tls" | "identity";
}

const ALL_NETWORKS: readonly Network[] = [parseNetwork("0.0.0.0/0"), parseNetwork("::/0")];

/** The policy under these options. */
export function defaultPolicy(options: DefaultPolicyOptions): ServerPolicy {
  const { name } = options;
  const resource = defaultResource(name);
  return {
    protocol: options.isOpaque ? "opaque" : "detect",
    detectTimeoutMs: options.detectTimeoutMs,
    authorizations: name === "deny" ? [] : [authorization(options, resource)],
    resource,
    probes: [],
    probeNetworks: [],
  };
}

/** Admits nobody. */
export function denyAll(): ServerPolicy {
  return defaultPolicy({
    name: "deny",
    clusterNetworks: [],
    detectTimeoutMs: 10_000,
    isOpaque: false,
    needs: "nothing",
  });
}

function authorization(options: DefaultPolicyOptions, resource: ResourceRef): Authorization {
  const { name, clusterNetworks } = options;
  const isAll = name.startsWith("all-");
  const networks = isAll || name === "audit" ? ALL_NETWORKS : clusterNetworks;
  return {
    networks: networks.map((network) => ({ network, except: [] })),
    clients: clients(options),
    resource,
  };
}

function clients({ name, needs }: DefaultPolicyOptions): ClientMatch {
  if (name.endsWith("-authenticated") || needs === "identity") {
    return { kind: "identities", names: [], suffixes: [[]] };
  }
  return { kind: needs === "tls" ? "tls" : "unauthenticated" };
}

function defaultResource(name: InboundPolicy): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}
