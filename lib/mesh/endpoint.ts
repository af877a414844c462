/** Endpoints: the addresses behind a destination, and how to reach each of them. */

import type { SocketAddress } from "./address.ts";

/** How a meshed peer expects to be reached, as told by the destination service. */
export interface PeerIdentity {
  /** The name that must be in the peer's certificate. */
  readonly name: string;
  /** The name to send as SNI; the same as `name` for DNS-like identities. */
  readonly serverName: string;
}

/** What the peer's proxy speaks beyond the application's own protocol. */
export type ProtocolHint = "unknown" | "h2" | "opaque";

/** One address of a destination. */
export interface Endpoint {
  /** Where the application listens. */
  readonly address: SocketAddress;
  /** Relative share of traffic; 10000 is the usual weight. */
  readonly weight: number;
  /** `pod`, `deployment`, `serviceaccount`, `zone` … without the `dst_` that metrics put in front. */
  readonly labels: Readonly<Record<string, string>>;
  /** Absent for a peer without a proxy of this mesh: traffic to it is not encrypted. */
  readonly identity?: PeerIdentity;
  /** What the peer's proxy speaks. */
  readonly hint: ProtocolHint;
  /** Where the peer's proxy takes connections that begin with a transport header (4143). */
  readonly transportPort?: number;
  /** The authority to ask a gateway for. */
  readonly authorityOverride?: string;
}

/** One step of a destination's changes. The first of a stream is `add` or `none`. */
export type EndpointUpdate =
  | {
    readonly kind: "add";
    readonly endpoints: readonly Endpoint[];
    /** Labels of the whole set: `service`, `namespace`. */
    readonly labels: Readonly<Record<string, string>>;
  }
  | { readonly kind: "remove"; readonly addresses: readonly SocketAddress[] }
  | { readonly kind: "none"; readonly exists: boolean };
