// hot
/** What hangs on an endpoint of a balancer for HTTP: its connections and its counters. */

import type { RequestHead } from "../wire/http/mod.ts";
import type { EndpointResource, EndpointState } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import { type HopSettings, hopTo } from "./hop.ts";
import type { RequestPool } from "./http-parts.ts";
import { endpointLabels } from "./labels.ts";
import { PoolHttp1 } from "./pool-http1.ts";
import { PoolHttp2 } from "./pool-http2.ts";

/** Pools and counters of one endpoint. */
export class OutboundEndpoint implements EndpointResource {
  readonly #context: PathContext;
  readonly #state: EndpointState;
  readonly #settings: HopSettings;
  #http1: PoolHttp1 | null = null;
  #http2: PoolHttp2 | null = null;
  /** Nearly always one: an endpoint belongs to one destination. */
  readonly #metrics = new Map<string, HttpMetrics>();
  #lastAuthority = "";
  #last: HttpMetrics | null = null;

  constructor(context: PathContext, state: EndpointState, authority: string) {
    const { env } = context;
    this.#context = context;
    this.#state = state;
    this.#settings = {
      timeoutMs: env.settings.outboundConnectTimeoutMs,
      mark: env.settings.socketMark,
      metrics: env.metrics.transport({
        ...endpointLabels(state), // cold: once per endpoint
        authority,
        peer: "dst",
      }),
    };
  }

  /**
   * The connections for a request: its own protocol's, but HTTP/1 rides on HTTP/2 to a peer's proxy
   * that takes it, unless it wants a connection for itself.
   */
  poolFor(head: RequestHead): RequestPool {
    const { hint, identity } = this.#state.endpoint;
    const meshed = identity !== undefined;
    if (head.http2 || (meshed && hint === "h2" && !head.wantsConnection())) {
      return this.#http2 ??= new PoolHttp2(this.#context, this.#hop("http2"), meshed);
    }
    return this.#http1 ??= new PoolHttp1(this.#context, this.#hop("http1"), meshed);
  }

  /** The counters of requests that were addressed to that authority. */
  metrics(authority: string): HttpMetrics {
    if (this.#last !== null && this.#lastAuthority === authority) return this.#last;
    let found = this.#metrics.get(authority);
    if (found === undefined) {
      const labels = endpointLabels(this.#state);
      found = this.#context.env.metrics.http({ ...labels, authority }); // cold: once
      this.#metrics.set(authority, found);
    }
    this.#lastAuthority = authority;
    this.#last = found;
    return found;
  }

  close(): void {
    this.#http1?.close();
    this.#http2?.close();
  }

  #hop(protocol: "http1" | "http2") {
    return hopTo(this.#state.endpoint, protocol, this.#settings);
  }
}
