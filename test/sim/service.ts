/** A service of the simulated mesh: its servers, its backends, and which endpoints each announces. */

import type { SocketAddress } from "../../lib/mesh/address.ts";
import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type { ClientPolicy } from "../../lib/mesh/policy.ts";
import type { Endpoints } from "./control.ts";
import type { Speech } from "./dice.ts";
import type { OpaqueStyle } from "./opaque.ts";

/** Something that listens. */
export interface Server {
  stop(reset: boolean): void;
}

/** One service. Endpoints and servers have the index of their pod. */
export interface Service {
  readonly speech: Speech;
  readonly address: SocketAddress;
  readonly policy: ClientPolicy;
  /** All that it may have. */
  readonly endpoints: readonly Endpoint[];
  /** Those that it has, by its backends, among which the endpoints are dealt out. */
  readonly announced: readonly Endpoints[];
  readonly style: OpaqueStyle;
  /** What starts again is a new one. */
  readonly servers: (Server | null)[];
  readonly start: (pod: number) => Server;
  /** Endpoints that the mesh is told to forget for now. */
  readonly withdrawn: Set<number>;
}

/** Where the endpoints of a service's backend are found. */
export function pathOf({ speech, address }: Pick<Service, "speech" | "address">, backend: number) {
  return `${speech}-${backend}.default.svc.cluster.local:${address.port}`;
}

/** Withdraws one of its endpoints. */
export function withdraw(service: Service, index: number): void {
  service.withdrawn.add(index);
  backendOf(service, index).remove(service.endpoints[index]!.address);
}

/** Announces one of its endpoints, perhaps again. */
export function announce(service: Service, index: number): void {
  service.withdrawn.delete(index);
  backendOf(service, index).add(service.endpoints[index]!);
}

/** Whether each backend has an endpoint that works, although one more goes. */
export function isServed(service: Service, isLost: (index: number) => boolean): boolean {
  const { announced, endpoints, withdrawn } = service;
  return announced.every((_, backend) =>
    endpoints.some((_, i) => i % announced.length === backend && !withdrawn.has(i) && !isLost(i))
  );
}

function backendOf({ announced }: Service, index: number): Endpoints {
  return announced[index % announced.length]!;
}
