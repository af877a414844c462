/**
 * A small HTTP/1.1 server for a process's own affairs: probes, metrics, switches. Tells who asks, bounds
 * what is read, and speaks no TLS. Pages and event streams are served by `web-server.ts`.
 */

import { Fault } from "../base/fault.ts";
import type { SocketAddress } from "../mesh/address.ts";

/** One request. */
export interface HttpRequest {
  readonly method: string;
  /** Begins with a slash; without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly remoteIp: string;
  /** The whole body; at most `bodyBytesMax`. */
  body(): Promise<string>;
}

/** The answer to one request. */
export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** How to serve. */
export interface HttpServerOptions {
  readonly address: SocketAddress;
  readonly bodyBytesMax: number;
  /** A connection that is silent for so long is closed; at most 255 s. */
  readonly idleTimeoutMs: number;
  /** What it throws becomes a 500 without details. */
  handle(request: HttpRequest): HttpAnswer | Promise<HttpAnswer>;
}

/** A running server. */
export interface HttpServer {
  readonly address: SocketAddress;
  /** Stops listening and closes all connections. */
  stop(): Promise<void>;
}

/** Starts to listen. Throws `unavailable` when the address is taken or cannot be bound. */
export function serveHttp(options: HttpServerOptions): HttpServer {
  const { address, bodyBytesMax, idleTimeoutMs } = options;
  try {
    const server = Bun.serve({
      hostname: address.ip,
      port: address.port,
      maxRequestBodySize: bodyBytesMax,
      idleTimeout: Math.ceil(idleTimeoutMs / 1_000),
      async fetch(request, server) {
        const url = new URL(request.url);
        const { status, contentType, body } = await options.handle({
          method: request.method,
          path: url.pathname,
          query: url.searchParams,
          remoteIp: server.requestIP(request)?.address ?? "",
          body: () => request.text(),
        });
        return new Response(request.method === "HEAD" ? null : body, {
          status,
          headers: { "content-type": contentType },
        });
      },
      error: () => new Response("internal error\n", { status: 500 }),
    });
    return {
      address: { ip: address.ip, port: server.port ?? address.port },
      stop: () => server.stop(true),
    };
  } catch (cause) {
    throw new Fault("unavailable", `Cannot listen on ${address.ip} port ${address.port}`, {
      cause,
    });
  }
}
