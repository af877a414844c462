/**
 * The admin port: probes, metrics, the proxy's settings, its log level, its end. Probes are for everyone;
 * metrics and settings for whom the port's inbound policy admits without TLS, which this port does not
 * speak; what changes the proxy is for clients on loopback only.
 */

import { ADMIN_BODY_BYTES_MAX } from "../base/limits.ts";
import type { Environment, Setting } from "../config/mod.ts";
import {
  type HttpAnswer,
  type HttpRequest,
  type HttpServer,
  serveHttp,
} from "../host/http-server.ts";
import { isLoopback, type SocketAddress } from "../mesh/address.ts";
import { authorize } from "../mesh/authorize.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import type { Logger } from "../telemetry/logger.ts";
import { PROMETHEUS_CONTENT_TYPE } from "../telemetry/prometheus.ts";
import { logLevelOf } from "./log-filter.ts";
import { proxySettings } from "./settings.ts";
import { acceptedSettings } from "./settings-accepted.ts";

/** What the admin port shows and does. */
export interface AdminOptions {
  /** Certified and listening. */
  readonly isReady: () => boolean;
  readonly metricsText: () => Promise<string>;
  readonly env: Environment;
  readonly log: Logger;
  /** The inbound policy of the admin port at this moment. */
  readonly policy: () => ServerPolicy;
  /** Ends the proxy; null where the endpoint is not enabled. */
  readonly shutdown: (() => void) | null;
}

type Handler = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

/** What a path answers. */
interface AdminRoute {
  readonly methods: readonly string[];
  /** Who may ask, besides clients on loopback. */
  readonly audience: "everyone" | "admitted" | "nobody";
  readonly handle: Handler;
}

const IDLE_TIMEOUT_MS = 30_000;

/** Variables that are not shown though they are the proxy's: long, or somebody's secret. */
const HIDDEN: ReadonlySet<string> = new Set(["LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"]);

/** Serves the admin port. Throws `unavailable` when the address is taken. */
export function serveAdmin(address: SocketAddress, options: AdminOptions): HttpServer {
  return serveHttp({
    address,
    bodyBytesMax: ADMIN_BODY_BYTES_MAX,
    idleTimeoutMs: IDLE_TIMEOUT_MS,
    handle: adminHandler(options),
  });
}

/** The admin port without its socket. */
export function adminHandler(options: AdminOptions): Handler {
  const routes = adminRoutes(options);
  return (request) => {
    const route = routes.get(request.path);
    if (route === undefined) return plain(404, "not found");
    if (!mayAsk(route, request.remoteIp, options)) {
      return plain(403, "this client may not do this");
    }
    if (!route.methods.includes(request.method)) {
      return plain(405, `expected ${route.methods.join(" or ")}`);
    }
    return route.handle(request);
  };
}

function adminRoutes(options: AdminOptions): ReadonlyMap<string, AdminRoute> {
  const { isReady, metricsText, env, log, shutdown } = options;
  const read = (audience: AdminRoute["audience"], handle: Handler): AdminRoute => {
    return { methods: ["GET", "HEAD"], audience, handle };
  };
  const metrics = async () => answer(200, PROMETHEUS_CONTENT_TYPE, await metricsText());
  const routes = new Map<string, AdminRoute>([
    ["/live", read("everyone", () => plain(200, "live"))],
    ["/ready", read("everyone", () => isReady() ? plain(200, "ready") : plain(503, "not ready"))],
    ["/metrics", read("admitted", metrics)],
    ["/env.json", read("admitted", ({ query }) => json(shownEnvironment(env, query)))],
    ["/proxy-log-level", {
      methods: ["GET", "PUT"],
      audience: "nobody",
      handle: (request) => logLevel(request, log),
    }],
  ]);
  if (shutdown !== null) {
    const handle = () => {
      log.info("asked to shut down by the admin port");
      shutdown();
      return plain(200, "shutting down");
    };
    routes.set("/shutdown", { methods: ["POST"], audience: "nobody", handle });
  }
  return routes;
}

function mayAsk({ audience }: AdminRoute, ip: string, options: AdminOptions): boolean {
  if (audience === "everyone" || isLoopback(ip)) return true;
  if (audience === "nobody") return false;
  return authorize(options.policy(), { ip: unmapped(ip), tls: false, identity: null }) !== null;
}

/** A listener on `[::]` shows IPv4 clients as IPv6. */
function unmapped(ip: string): string {
  return ip.replace(/^::ffff:(?=\d+\.)/, "");
}

async function logLevel(request: HttpRequest, log: Logger): Promise<HttpAnswer> {
  if (request.method === "PUT") {
    const filter = (await request.body()).trim();
    const level = filter === "" ? undefined : logLevelOf(filter);
    if (level === undefined) {
      return plain(400, "expected off, error, warn, info, debug, trace or a filter such as info");
    }
    log.setLevel(level);
    // Not named `level`: that is the line's own.
    log.info("log level changed", { to: level });
  }
  return plain(200, log.level());
}

/** The proxy's own variables that were given; with a query, those that it names. */
function shownEnvironment(env: Environment, query: URLSearchParams): Record<string, string> {
  const known = [proxySettings, acceptedSettings]
    .flatMap(({ settings }) => Object.values<Setting>(settings))
    .flatMap(({ env }) => [env ?? []].flat());
  const wanted = [...query.keys()];
  const shown: Record<string, string> = {};
  for (const name of known.sort()) {
    const value = env[name];
    if (value === undefined || HIDDEN.has(name)) continue;
    if (wanted.length === 0 || wanted.includes(name)) shown[name] = value;
  }
  return shown;
}

function json(value: unknown): HttpAnswer {
  return answer(200, "application/json", `${JSON.stringify(value, null, 2)}\n`);
}

function plain(status: number, text: string): HttpAnswer {
  return answer(status, "text/plain; charset=utf-8", `${text}\n`);
}

function answer(status: number, contentType: string, body: string): HttpAnswer {
  return { status, contentType, body };
}
