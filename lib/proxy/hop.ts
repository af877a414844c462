/**
 * The next hop of a connection: where to connect, whether by TLS, and which bytes come first. Knows
 * the rule of the mesh's transport: a meshed endpoint is reached on its proxy's port with a transport
 * header, or, where it takes none, by TLS on its own port.
 */

import type { ConnectOptions } from "../host/net.ts";
import type { SocketAddress } from "../mesh/address.ts";
import type { Endpoint } from "../mesh/endpoint.ts";
import {
  encodeTransportHeader,
  type SessionProtocol,
  TRANSPORT_PROTOCOL,
} from "../wire/transport-header.ts";
import type { Credentials, TransportMetrics } from "./environment.ts";

const NOTHING: Uint8Array = new Uint8Array(0);

/** What TLS to the next hop has to prove. */
export interface HopTls {
  readonly serverName: string;
  readonly peerName: string;
  readonly alpn: readonly string[];
}

/** One way to reach an address; made once per endpoint and protocol. */
export interface Hop {
  readonly address: SocketAddress;
  /** null: plain TCP. */
  readonly tls: HopTls | null;
  /** Goes before everything else; empty when there is nothing to say. */
  readonly preface: Uint8Array;
  readonly timeoutMs: number;
  readonly mark: number;
  readonly metrics: TransportMetrics;
}

/** How a hop is made, whatever the endpoint. */
export interface HopSettings {
  readonly timeoutMs: number;
  readonly mark: number;
  readonly metrics: TransportMetrics;
}

/** Plain TCP to an address. */
export function plainHop(address: SocketAddress, settings: HopSettings): Hop {
  return { address, tls: null, preface: NOTHING, ...settings };
}

/** The hop to an endpoint for connections that speak `protocol` behind it. */
export function hopTo(endpoint: Endpoint, protocol: SessionProtocol, settings: HopSettings): Hop {
  const { address, identity, transportPort } = endpoint;
  if (identity === undefined) return plainHop(address, settings);
  const names = { serverName: identity.serverName, peerName: identity.name };
  if (transportPort === undefined) {
    return { address, tls: { ...names, alpn: [] }, preface: NOTHING, ...settings };
  }
  return {
    address: { ip: address.ip, port: transportPort },
    tls: { ...names, alpn: [TRANSPORT_PROTOCOL] },
    preface: encodeTransportHeader({
      port: address.port,
      name: endpoint.authorityOverride ?? "",
      protocol,
    }),
    ...settings,
  };
}

/** What the network needs to connect; null when TLS is needed and there is no certificate yet. */
export function connectOptions(hop: Hop, credentials: Credentials | null): ConnectOptions | null {
  const { address, timeoutMs, mark, tls } = hop;
  if (tls === null) return { address, timeoutMs, mark };
  if (credentials === null) return null;
  const { certificateChain, privateKey, trustAnchors } = credentials;
  return {
    address,
    timeoutMs,
    mark,
    tls: { certificateChain, privateKey, trustAnchors, ...tls },
  };
}
