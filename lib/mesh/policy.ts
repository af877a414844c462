/**
 * Policies as values: what a proxy does with a connection that it takes (server policy) or makes
 * (client policy), and what is known of an address (profile). Nothing here knows Kubernetes or protobuf.
 */

import type { Network } from "./address.ts";
import type { Endpoint } from "./endpoint.ts";

/** Names the object that a policy, route or backend comes from; `""` is the core group. */
export interface ResourceRef {
  readonly group: string;
  /** `default` for what no object configures; its `name` then says which default. */
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  /** 0 where a port has no meaning. */
  readonly port: number;
}

/** The protocol of a port: fixed by configuration, or found in the first bytes. */
export type PortProtocol = "detect" | "http1" | "http2" | "grpc" | "opaque" | "tls";

/** The clients that an authorization admits, by how they authenticate. */
export type ClientMatch =
  | { readonly kind: "unauthenticated" }
  /** TLS is required, a client certificate is not. */
  | { readonly kind: "tls" }
  /** A certificate of this mesh, with one of the names or one of the suffixes (`[]` admits any). */
  | {
    readonly kind: "identities";
    readonly names: readonly string[];
    readonly suffixes: readonly (readonly string[])[];
  };

/** Admits clients of some networks that authenticate in some way. */
export interface Authorization {
  readonly networks: readonly { readonly network: Network; readonly except: readonly Network[] }[];
  readonly clients: ClientMatch;
  readonly resource: ResourceRef;
}

/** The inbound policy of one port. No authorization: everything is denied. */
export interface ServerPolicy {
  readonly protocol: PortProtocol;
  /** How long to wait for bytes that tell the protocol, in milliseconds; meaningful for `detect`. */
  readonly detectTimeoutMs: number;
  readonly authorizations: readonly Authorization[];
  readonly resource: ResourceRef;
  /** `GET` on exactly these paths is admitted from `probeNetworks` without authentication. */
  readonly probePaths: readonly string[];
  readonly probeNetworks: readonly Network[];
}

/** Where a request or connection may be sent. */
export interface Backend {
  readonly resource: ResourceRef;
  readonly target:
    /** A destination whose endpoints are discovered by this path, `name.ns.svc.domain:port`. */
    | {
      readonly kind: "balancer";
      readonly path: string;
      readonly defaultRttMs: number;
      readonly decayMs: number;
    }
    | { readonly kind: "forward"; readonly endpoint: Endpoint };
  readonly weight: number;
}

/** What happens to the traffic of a route. */
export type RouteAction =
  | { readonly kind: "backends"; readonly backends: readonly Backend[] }
  /** Every request is answered with this status; a connection without HTTP is closed. */
  | { readonly kind: "fail"; readonly status: number; readonly message: string };

/** A client policy's catch-all route for one kind of traffic. */
export interface Route {
  readonly resource: ResourceRef;
  readonly action: RouteAction;
}

/** The outbound policy of one address. */
export interface ClientPolicy {
  readonly protocol: PortProtocol;
  readonly detectTimeoutMs: number;
  readonly http: Route;
  readonly opaque: Route;
  /** The Service or other object that the address belongs to. */
  readonly parent: ResourceRef;
}

/** What the destination service knows of an address. */
export interface Profile {
  /** `name.ns.svc.domain` of the Service that owns the address; empty when there is none. */
  readonly fullyQualifiedName: string;
  readonly opaque: boolean;
  /** Set when the address is a single endpoint (a pod), not a Service. */
  readonly endpoint?: Endpoint;
  readonly parent?: ResourceRef;
}
