/**
 * The way out of the laptop mesh, outer half: runs in the machine's network, makes the connections
 * that the mesh asks for, and resolves names with the machine's resolver. One address of the mesh
 * stands for the machine itself (`host.malla.internal`).
 */

import type { Clock } from "../host/clock.ts";
import type { Net } from "../host/net.ts";
import {
  isLoopback,
  type Network,
  networkContains,
  parseNetwork,
  type SocketAddress,
} from "../mesh/address.ts";
import type { RelayRequest, ResolvedName } from "./relay-protocol.ts";
import { type RelayServer, serveRelay } from "./relay-server.ts";

/** The name by which pods reach the machine that the mesh runs on. */
export const HOST_NAME = "host.malla.internal";

/** Its address: in no network of the mesh, so that it takes the way out like any other. */
export const HOST_ADDRESS = "10.41.0.1";

/** What the outer half needs. */
export interface OutsideOptions {
  readonly net: Net;
  readonly clock: Clock;
  /** Where the unix socket is made; only this user can connect to it. */
  readonly path: string;
  /** The mesh's own networks: a connection there that comes here has no destination. */
  readonly meshNetworks: readonly Network[];
  /** Looks a name up as a program of this machine would. */
  readonly resolve: (name: string) => Promise<ResolvedName>;
  /** Asks the machine's name server; null when none answers. */
  readonly query: (packet: Uint8Array) => Promise<Uint8Array | null>;
}

/** Neither unspecified nor broadcast nor multicast addresses are anywhere to connect to. */
const NOWHERE = ["0.0.0.0/8", "224.0.0.0/3", "::/128", "ff00::/8"].map(parseNetwork);

/** Starts answering the mesh. Throws `unavailable` when the socket cannot be made. */
export function serveOutside(options: OutsideOptions): RelayServer {
  return serveRelay({
    ...options,
    place: (request) => placeOutside(request, options.meshNetworks),
  });
}

/** The addresses to try for a request, in this order; none when it is not allowed. */
export function placeOutside(
  request: RelayRequest,
  meshNetworks: readonly Network[],
): readonly SocketAddress[] {
  if (request.kind !== "tcp") return [];
  const { ip, port } = request.address;
  // A server on the machine may listen on either loopback; `localhost` would try both as well.
  if (ip === HOST_ADDRESS) return [{ ip: "127.0.0.1", port }, { ip: "::1", port }];
  const refused = [...NOWHERE, ...meshNetworks].some((network) => networkContains(network, ip));
  return refused || isLoopback(ip) ? [] : [request.address];
}
