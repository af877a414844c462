/** What the control plane is told about the mesh, and the default inbound policies by name. */

import type { Network } from "../mesh/address.ts";
import type { PortRange } from "./ports.ts";

/** How a port takes connections when no object configures it. */
export type InboundPolicy =
  | "all-unauthenticated"
  | "all-authenticated"
  | "cluster-unauthenticated"
  | "cluster-authenticated"
  | "deny"
  | "audit";

/** The default inbound policies. */
export const INBOUND_POLICIES: readonly InboundPolicy[] = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
];

/** The mesh that an index answers for. */
export interface ControlSettings {
  /** Pods whose label names another control plane are treated as if they had no proxy. */
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string;
  readonly clusterDomain: string;
  /** The networks of pods, services and nodes. */
  readonly clusterNetworks: readonly Network[];
  readonly defaultInboundPolicy: InboundPolicy;
  readonly defaultOpaquePorts: readonly PortRange[];
}

/** Reads the name of a policy from an annotation; undefined when it is none. */
export function inboundPolicy(text: string | undefined): InboundPolicy | undefined {
  return INBOUND_POLICIES.find((policy) => policy === text);
}
