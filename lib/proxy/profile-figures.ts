// hot
/** Where the requests of a ServiceProfile's route are counted, resolved at the first of them. */

import type { Labels } from "../telemetry/metric.ts";
import type { HttpMetrics, PathMetrics, RouteFigures } from "./environment.ts";
import { hostless } from "./labels.ts";

/** Counters of one route. */
export class ProfileFigures {
  readonly #labels: Labels;
  readonly #own: Labels;
  readonly #skipped: Labels;
  #requests: HttpMetrics | null = null;
  #attempts: HttpMetrics | null = null;
  #http: RouteFigures | null = null;
  #grpc: RouteFigures | null = null;

  /** `labels`: `parent_*` and `route_*`; `own`: `direction`, `dst` and `rt_*`. */
  constructor(labels: Labels, own: Labels) {
    this.#labels = labels;
    this.#own = own;
    this.#skipped = Object.assign({ skipped: "no_budget" }, own);
  }

  /** `route_*`: as clients see it. */
  requests(metrics: PathMetrics): HttpMetrics {
    return this.#requests ??= metrics.profileRoute("route", this.#own);
  }

  /** `route_actual_*`: each attempt. */
  attempts(metrics: PathMetrics): HttpMetrics {
    return this.#attempts ??= metrics.profileRoute("route_actual", this.#own);
  }

  /** `outbound_http_route_*` and `outbound_grpc_route_*`. */
  ended(metrics: PathMetrics, isGrpc: boolean): RouteFigures {
    if (isGrpc) {
      return this.#grpc ??= metrics.route("outbound_grpc_route", hostless(this.#labels));
    }
    return this.#http ??= metrics.route("outbound_http_route", hostless(this.#labels));
  }

  /** A failure could be asked for again, and was, or the budget did not allow it. */
  retryable(metrics: PathMetrics, isRetried: boolean): void {
    metrics.retryable(this.#own);
    if (!isRetried) metrics.retryable(this.#skipped);
  }
}
