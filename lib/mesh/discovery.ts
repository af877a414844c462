/**
 * The questions that a proxy asks its control plane, as one interface in domain types. The control
 * plane implements it from its index; the gRPC rooms carry it over the wire; a test can fake it.
 */

import type { SocketAddress } from "./address.ts";
import type { EndpointUpdate } from "./endpoint.ts";
import type { ClientPolicy, Profile, ServerPolicy } from "./policy.ts";

/** Ends a watch. Calling it again does nothing. */
export type Unwatch = () => void;

/** Takes the values of one watch. After `fail` nothing more comes. */
export interface Sink<T> {
  next(value: T): void;
  /** `fault` is a `Fault` whose code tells whether asking again makes sense. */
  fail(fault: Error): void;
}

/** Who is asking: the opaque strings that the injector gave to the proxy. */
export interface Asker {
  /** `DESTINATION_CONTEXT`, JSON with `ns`, `nodeName`, `pod`; may be empty. */
  readonly context: string;
  /** `POLICY_WORKLOAD`, JSON with `ns` and `pod`, or `ns:pod`; may be empty. */
  readonly workload: string;
}

/**
 * Each method gives full state first (before it returns, or as soon as it is known) and changes
 * after it. An object that is passed to several sinks may be the same one; nobody mutates it.
 */
export interface Discovery {
  /** Endpoints of `name.ns.svc.domain:port`. Fails with `not_found` or `invalid_argument`. */
  watchEndpoints(asker: Asker, path: string, sink: Sink<EndpointUpdate>): Unwatch;
  /** What is at `ip:port` or `fqdn:port`. An unknown address has an empty profile. */
  watchProfile(asker: Asker, path: string, sink: Sink<Profile>): Unwatch;
  /** How the asker is to reach an address, or an authority `name.ns.svc.domain:port`. */
  watchClientPolicy(
    asker: Asker,
    target: SocketAddress | string,
    sink: Sink<ClientPolicy>,
  ): Unwatch;
  /** How the asker's own port takes connections. Fails with `not_found` for an unknown workload. */
  watchServerPolicy(asker: Asker, port: number, sink: Sink<ServerPolicy>): Unwatch;
}
