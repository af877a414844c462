/** What the control plane is told about the mesh. */

import type { Network } from "../mesh/address.ts";
import type { InboundPolicy } from "../mesh/policy.ts";
import type { PortRange } from "../mesh/port-range.ts";

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
