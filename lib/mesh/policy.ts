/**
 * Policies as values: what a proxy does with a connection that it takes (server policy) or makes
 * (client policy), and what is known of an address (profile). Nothing here knows Kubernetes or protobuf.
 */

import type { Network } from "./address.ts";
import type { Endpoint } from "./endpoint.ts";
import type {
  FailureAccrual,
  HedgePolicy,
  LoadPenalty,
  RetryBudget,
  RetryPolicy,
  RouteTimeouts,
} from "./reliability.ts";
import type { ProfileOverride, ProfileRoute } from "./service-profile.ts";

/** Whom a port admits where no object says it: the contract's names. */
export const INBOUND_POLICIES = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
] as const;

/** One of them. */
export type InboundPolicy = typeof INBOUND_POLICIES[number];

/** Reads such a name, perhaps of an annotation; undefined when it is none. */
export function inboundPolicy(text: string | undefined): InboundPolicy | undefined {
  return INBOUND_POLICIES.find((policy) => policy === text);
}

/** Names the object that a policy, route or backend comes from; `""` is the core group. */
export interface ResourceRef {
  /** The API group. */
  readonly group: string;
  /** `default` for what no object configures; its `name` then says which default. */
  readonly kind: string;
  /** The object's name. */
  readonly name: string;
  /** The object's namespace; empty for a default. */
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
  /** Where clients may come from. */
  readonly networks: readonly { readonly network: Network; readonly except: readonly Network[] }[];
  /** How clients must authenticate. */
  readonly clients: ClientMatch;
  /** The object that this comes from. */
  readonly resource: ResourceRef;
}

/** A request by which a node's agent asks how an application is: on exactly this path. */
export interface ProbeRequest {
  /** How it asks: `POST` is gRPC's health check. */
  readonly method: "GET" | "POST";
  /** Without its query. */
  readonly path: string;
}

/** The inbound policy of one port. No authorization: everything is denied. */
export interface ServerPolicy {
  /** What the port speaks. */
  readonly protocol: PortProtocol;
  /** How long to wait for bytes that tell the protocol, in milliseconds; meaningful for `detect`. */
  readonly detectTimeoutMs: number;
  /** Who is admitted. */
  readonly authorizations: readonly Authorization[];
  /** The object that this comes from. */
  readonly resource: ResourceRef;
  /** These requests are admitted from `probeNetworks` without authentication. */
  readonly probes: readonly ProbeRequest[];
  /** Where probes come from. */
  readonly probeNetworks: readonly Network[];
}

/** Where a request or connection may be sent. */
export interface Backend {
  /** The object that this comes from. */
  readonly resource: ResourceRef;
  /** Where the backend is. */
  readonly target:
    /** A destination whose endpoints are discovered by this path, `name.ns.svc.domain:port`. */
    | {
      readonly kind: "balancer";
      readonly path: string;
      readonly defaultRttMs: number;
      readonly decayMs: number;
      /** How failures weigh on the choice; absent: they do not. */
      readonly penalty?: LoadPenalty;
    }
    | { readonly kind: "forward"; readonly endpoint: Endpoint };
  /** Relative share of the traffic. */
  readonly weight: number;
}

/** What happens to the traffic of a route. */
export type RouteAction =
  | { readonly kind: "backends"; readonly backends: readonly Backend[] }
  /** Every request is answered with this status; a connection without HTTP is closed. */
  | { readonly kind: "fail"; readonly status: number; readonly message: string };

/** A client policy's catch-all route for one kind of traffic. */
export interface Route {
  /** The object that this comes from. */
  readonly resource: ResourceRef;
  /** What happens to it. */
  readonly action: RouteAction;
  /** What is asked for again; absent: nothing. */
  readonly retry?: RetryPolicy;
  /** When a second endpoint is asked; absent: never. */
  readonly hedge?: HedgePolicy;
  /** How long it may take; absent: any time. */
  readonly timeouts?: RouteTimeouts;
}

/** The outbound policy of one address. */
export interface ClientPolicy {
  /** What the port speaks. */
  readonly protocol: PortProtocol;
  /** How long to wait for bytes that tell the protocol, in milliseconds. */
  readonly detectTimeoutMs: number;
  /** The route of requests. */
  readonly http: Route;
  /** The route of other connections. */
  readonly opaque: Route;
  /** The Service or other object that the address belongs to. */
  readonly parent: ResourceRef;
  /** When an endpoint is left alone for its failures; absent: never. */
  readonly accrual?: FailureAccrual;
}

/** What the destination service knows of an address. */
export interface Profile {
  /** `name.ns.svc.domain` of the Service that owns the address; empty when there is none. */
  readonly fullyQualifiedName: string;
  /** Whether its bytes are relayed without a look. */
  readonly opaque: boolean;
  /** Set when the address is a single endpoint (a pod), not a Service. */
  readonly endpoint?: Endpoint;
  /** The object that owns the address. */
  readonly parent?: ResourceRef;
  /** The ServiceProfile that says the following. */
  readonly source?: ResourceRef;
  /** Not empty: they say what happens to requests, and a policy's retries and timeouts do not hold. */
  readonly routes?: readonly ProfileRoute[];
  /** What all retries together may add; absent: as usual. */
  readonly budget?: RetryBudget;
  /** Not empty: where the traffic goes in place of the Service. */
  readonly overrides?: readonly ProfileOverride[];
}
