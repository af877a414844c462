// hot
/** The figures of the route that one connection's requests take, resolved anew when the route changes. */

import type { Labels } from "../telemetry/metric.ts";
import type { PathMetrics, RouteFigures } from "./environment.ts";
import type { RouteKind } from "./route-series.ts";

/** Of one connection. */
export class RouteFiguresOf {
  readonly #metrics: PathMetrics;
  readonly #http: RouteKind;
  readonly #grpc: RouteKind;
  /** What the two below were made for. */
  #source: object | null = null;
  #ofHttp: RouteFigures | null = null;
  #ofGrpc: RouteFigures | null = null;

  constructor(metrics: PathMetrics, http: RouteKind, grpc: RouteKind) {
    this.#metrics = metrics;
    this.#http = http;
    this.#grpc = grpc;
  }

  /** The figures while `source` is the same object; `labels` makes the label set from it. */
  of<S extends object>(source: S, isGrpc: boolean, labels: (source: S) => Labels): RouteFigures {
    if (this.#source !== source) {
      this.#source = source;
      this.#ofHttp = null;
      this.#ofGrpc = null;
    }
    if (isGrpc) return this.#ofGrpc ??= this.#metrics.route(this.#grpc, labels(source));
    return this.#ofHttp ??= this.#metrics.route(this.#http, labels(source));
  }
}
