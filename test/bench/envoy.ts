/**
 * Envoy as the data plane: one process a side, one worker a core, mutual TLS 1.3 between them, and over
 * it HTTP/2 for all HTTP, which is its best common setting. Towards load and backend it speaks what they
 * speak. Each way has a listener of its own on either side.
 */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import type { Lab, Node, Program } from "../support/lab.ts";
import { makeCertificates } from "./certificates.ts";
import {
  answers,
  BACKEND_PORTS,
  type Cores,
  type Place,
  proxyCores,
  type TwoHops,
  type Way,
  WAYS,
  waysTo,
} from "./place.ts";

/** Added to a backend's port: where the application's side and the peers' side listen. */
const OUTBOUND_OFFSET = 10_000;
const INBOUND_OFFSET = 20_000;
/** Where `/ready` is answered. */
export const ENVOY_ADMIN_PORT = 9901;

/** One listener of one side and where it leads. */
export interface EnvoyHop {
  readonly side: "outbound" | "inbound";
  readonly way: Way;
  readonly port: number;
  readonly upstream: { readonly ip: string; readonly port: number };
}

/** The listeners of an application's side, which lead to another node's proxy. */
export function outboundHop(way: Way, to: Node): EnvoyHop {
  const port = BACKEND_PORTS[way];
  const upstream = { ip: to.ip, port: port + INBOUND_OFFSET };
  return { side: "outbound", way, port: port + OUTBOUND_OFFSET, upstream };
}

/** The listener for peers, which leads to the node's own backend. */
export function inboundHop(way: Way, node: Node): EnvoyHop {
  const port = BACKEND_PORTS[way];
  return { side: "inbound", way, port: port + INBOUND_OFFSET, upstream: { ip: node.ip, port } };
}

/** Starts both proxies; load goes to the outbound one by its loopback address. */
export async function startEnvoy(
  place: Place,
  program: string,
  cores: Cores,
): Promise<TwoHops> {
  const { client, server, lab } = place;
  const inbound = WAYS.map((way) => inboundHop(way, server));
  const outbound = WAYS.map((way) => outboundHop(way, server));
  const serverProxy = place.keep(startEnvoyProcess(lab, server, program, inbound, cores));
  const clientProxy = place.keep(startEnvoyProcess(lab, client, program, outbound, cores));
  const ways = waysTo((way) => `127.0.0.1:${outboundHop(way, server).port}`);
  for (const way of WAYS) await answers(client, way, ways[way]);
  return { name: "envoy", place, ways, proxies: [clientProxy, serverProxy] };
}

/** Starts one Envoy in a node. */
export function startEnvoyProcess(
  lab: Lab,
  node: Node,
  program: string,
  hops: readonly EnvoyHop[],
  cores: Cores,
): Program {
  const folder = `${lab.home}/envoy`;
  if (!existsSync(folder)) {
    mkdirSync(folder);
    makeCertificates(folder, ["peer"]);
  }
  const config = `${folder}/${node.name}.json`;
  writeFileSync(config, JSON.stringify(bootstrap(hops, folder)));
  return node.start([
    ...[program, "-c", config, "--concurrency", String(cores), "--log-level", "error"],
    "--disable-hot-restart",
  ], { core: proxyCores(cores) });
}

function bootstrap(hops: readonly EnvoyHop[], folder: string): unknown {
  return {
    admin: { address: socketAddress("0.0.0.0", ENVOY_ADMIN_PORT) },
    static_resources: {
      listeners: hops.map((hop) => listener(hop, folder)),
      clusters: hops.map((hop) => cluster(hop, folder)),
    },
  };
}

function listener(hop: EnvoyHop, folder: string): unknown {
  const address = hop.side === "outbound" ? "127.0.0.1" : "0.0.0.0";
  const chain = { filters: [hop.way === "opaque" ? tcpProxy(hop) : httpManager(hop)] };
  const secured = {
    transport_socket: tls("Downstream", hop, folder, { require_client_certificate: true }),
  };
  return {
    name: nameOf(hop),
    address: socketAddress(address, hop.port),
    filter_chains: [hop.side === "inbound" ? { ...chain, ...secured } : chain],
  };
}

function tcpProxy(hop: EnvoyHop): unknown {
  const config = {
    "@type": type("filters.network.tcp_proxy.v3.TcpProxy"),
    stat_prefix: "hop",
    cluster: nameOf(hop),
  };
  return { name: "envoy.filters.network.tcp_proxy", typed_config: config };
}

function httpManager(hop: EnvoyHop): unknown {
  const router = {
    name: "envoy.filters.http.router",
    typed_config: { "@type": type("filters.http.router.v3.Router") },
  };
  const routes = [{ match: { prefix: "/" }, route: { cluster: nameOf(hop), timeout: "0s" } }];
  const config = {
    "@type": type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "hop",
    route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
    http_filters: [router],
  };
  return { name: "envoy.filters.network.http_connection_manager", typed_config: config };
}

function cluster(hop: EnvoyHop, folder: string): unknown {
  const endpoint = { address: socketAddress(hop.upstream.ip, hop.upstream.port) };
  const speaksHttp2 = hop.way === "http2" || (hop.way === "http1" && hop.side === "outbound");
  const protocol = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
  return {
    name: nameOf(hop),
    type: "STATIC",
    connect_timeout: "5s",
    circuit_breakers: {
      thresholds: [{ max_connections: 8192, max_requests: 8192, max_pending_requests: 8192 }],
    },
    load_assignment: {
      cluster_name: nameOf(hop),
      endpoints: [{ lb_endpoints: [{ endpoint }] }],
    },
    ...(speaksHttp2
      ? {
        typed_extension_protocol_options: {
          [protocol]: {
            "@type": type("upstreams.http.v3.HttpProtocolOptions"),
            explicit_http_config: { http2_protocol_options: {} },
          },
        },
      }
      : {}),
    ...(hop.side === "outbound"
      ? { transport_socket: tls("Upstream", hop, folder, { sni: "peer" }) }
      : {}),
  };
}

function tls(side: "Upstream" | "Downstream", hop: EnvoyHop, folder: string, extras: object) {
  const common = {
    tls_params: {
      tls_minimum_protocol_version: "TLSv1_3",
      tls_maximum_protocol_version: "TLSv1_3",
    },
    ...(hop.way === "opaque" ? {} : { alpn_protocols: ["h2"] }),
    tls_certificates: [{
      certificate_chain: { filename: `${folder}/peer.crt` },
      private_key: { filename: `${folder}/peer.key` },
    }],
    validation_context: { trusted_ca: { filename: `${folder}/ca.crt` } },
  };
  return {
    name: "envoy.transport_sockets.tls",
    typed_config: {
      "@type": type(`transport_sockets.tls.v3.${side}TlsContext`),
      common_tls_context: common,
      ...extras,
    },
  };
}

function nameOf({ side, way }: EnvoyHop): string {
  return `${side}-${way}`;
}

function type(name: string): string {
  return `type.googleapis.com/envoy.extensions.${name}`;
}

function socketAddress(address: string, port: number): unknown {
  return { socket_address: { address, port_value: port } };
}
