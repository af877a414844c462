/** An HTTP/1.1 server for pages and APIs, around a function from request to response. */

import { Fault } from "../base/fault.ts";

/** Answers one request. What it throws becomes a 500 without details. */
export type WebHandler = (request: Request) => Response | Promise<Response>;

/** Where to listen. */
export interface WebServerOptions {
  readonly ip: string;
  /** 0: any free port. */
  readonly port: number;
  readonly handler: WebHandler;
  /** Serve HTTPS with this certificate and key, both PEM. */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** Another server of this process may listen on the same port, as when certificates change. */
  readonly shared?: boolean;
}

/** A running server. */
export interface WebServer {
  readonly port: number;
  /** Stops listening; requests under way are answered. */
  drain(): Promise<void>;
  /** Stops listening and ends all connections, event streams included. */
  stop(): Promise<void>;
}

/** Starts to listen. Throws `already_exists` when the port is taken, else `failed_precondition`. */
export function serveWeb(options: WebServerOptions): WebServer {
  const { ip, port, handler, tls, shared } = options;
  try {
    const server = Bun.serve({
      hostname: ip,
      port,
      // Event streams speak at least once a second; whoever is silent for longer is gone.
      idleTimeout: 30,
      ...(tls === undefined ? {} : { tls }),
      reusePort: shared ?? false,
      fetch: (request) => handler(request),
      error: () => new Response("internal error\n", { status: 500 }),
    });
    return { port: server.port ?? port, drain: () => server.stop(), stop: () => server.stop(true) };
  } catch (cause) {
    const isTaken = cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE";
    throw new Fault(
      isTaken ? "already_exists" : "failed_precondition",
      `Cannot listen on ${ip}:${port}`,
      { cause },
    );
  }
}
