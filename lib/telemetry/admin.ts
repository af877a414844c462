/**
 * The admin endpoints of a control-plane process: `/live`, `/ready`, `/ping` and `/metrics`. A function
 * from request to response; where it listens is for the mode to say.
 */

import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "./prometheus.ts";
import type { Registry } from "./registry.ts";

/** What the endpoints tell. */
export interface AdminOptions {
  /** What the process still waits for, as phrases for people; empty when it is ready. */
  readonly waitingFor: () => readonly string[];
  readonly registry: Registry;
  /** Called before metrics are written, to set the gauges that are read on demand. */
  readonly refresh: () => void;
}

/** Answers the admin endpoints. */
export function adminHandler(options: AdminOptions): (request: Request) => Response {
  return (request) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return new Response("only GET is answered here\n", {
        status: 405,
        headers: { allow: "GET" },
      });
    }
    switch (new URL(request.url).pathname) {
      case "/live":
        return new Response("live\n");
      case "/ping":
        return new Response("pong\n");
      case "/ready": {
        const waiting = options.waitingFor();
        if (waiting.length === 0) return new Response("ready\n");
        return new Response(waiting.map((what) => `waiting for ${what}\n`).join(""), {
          status: 503,
        });
      }
      case "/metrics": {
        options.refresh();
        const headers = { "content-type": PROMETHEUS_CONTENT_TYPE };
        return new Response(prometheusText(options.registry), { headers });
      }
      default:
        return new Response("not found; there are /live, /ready, /ping and /metrics\n", {
          status: 404,
        });
    }
  };
}
