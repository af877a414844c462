// hot
/** The figures of the route that one connection's requests take, resolved anew when the route changes. */

import type { Labels } from "../telemetry/metric.ts";
import type { PathMetrics, RouteFigures } from "./environment.ts";
import type { RouteKind } from "./route-series.ts";

/** Of one connection; `S` is what a route's labels are made from. */
export class RouteFiguresOf<S extends object> {
  readonly #metrics: PathMetrics;
  readonly #http: RouteKind;
  readonly #grpc: RouteKind;
  readonly #labels: (source: S) => Labels;
  /** What the two below were made for. */
  #source: S | null = null;
  #ofHttp: RouteFigures | null = null;
  #ofGrpc: RouteFigures | null = null;

  constructor(
    metrics: PathMetrics,
    http: RouteKind,
    grpc: RouteKind,
    labels: (source: S) => Labels,
  ) {
    this.#metrics = metrics;
    this.#http = http;
    this.#grpc = grpc;
    this.#labels = labels;
  }

  /** The figures, the same ones while `source` is the same object. */
  of(source: S, isGrpc: boolean): RouteFigures {
    if (this.#source !== source) {
      this.#source = source;
      this.#ofHttp = null;
      this.#ofGrpc = null;
    }
    if (isGrpc) return this.#ofGrpc ??= this.#metrics.route(this.#grpc, this.#labels(source));
    return this.#ofHttp ??= this.#metrics.route(this.#http, this.#labels(source));
  }
}
