// hot
/** What hangs on an endpoint of a balancer for HTTP: its connections and its counters. */

import type { Labels } from "../telemetry/metric.ts";
import type { EndpointResource, EndpointState } from "./balance.ts";
import type { PathContext } from "./context.ts";
import type { HttpMetrics } from "./environment.ts";
import type { Hop } from "./hop.ts";
import { HttpPool } from "./pool.ts";

/** Pool and counters of one endpoint. */
export class OutboundEndpoint implements EndpointResource {
  readonly pool: HttpPool;
  readonly #context: PathContext;
  readonly #labels: Labels;
  /** Nearly always one: an endpoint belongs to one destination. */
  readonly #metrics = new Map<string, HttpMetrics>();
  #lastAuthority = "";
  #last: HttpMetrics | null = null;

  constructor(context: PathContext, hop: Hop, state: EndpointState, labels: Labels) {
    this.#context = context;
    this.#labels = labels;
    this.pool = new HttpPool(context, hop, state.endpoint.identity !== undefined);
  }

  /** The counters of requests that were addressed to that authority. */
  metrics(authority: string): HttpMetrics {
    if (this.#last !== null && this.#lastAuthority === authority) return this.#last;
    let found = this.#metrics.get(authority);
    if (found === undefined) {
      found = this.#context.env.metrics.http({ ...this.#labels, authority }); // cold: once
      this.#metrics.set(authority, found);
    }
    this.#lastAuthority = authority;
    this.#last = found;
    return found;
  }

  close(): void {
    this.pool.close();
  }
}
