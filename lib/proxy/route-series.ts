// hot
/**
 * The figures of routes: how requests ended as their clients saw it, and how the attempts of a route
 * ended at its backends. One object per label set, resolved once per connection or endpoint.
 */

import type { Counter, Family, Histogram, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { RouteFigures } from "./environment.ts";
import type { PathSeries, SeriesKeeper } from "./path-series.ts";

/** Whose figures: the two directions as clients see them, and attempts at a backend. */
export type RouteKind =
  | `outbound_${"http" | "grpc"}_route`
  | `outbound_${"http" | "grpc"}_route_backend`
  | `inbound_${"http" | "grpc"}`;

/** The families of one kind. */
export interface RouteFamilies {
  readonly requests: Family<Counter> | null;
  readonly durations: Family<Histogram>;
  readonly statuses: Family<Counter>;
}

/** The contract's buckets, in seconds: few for what outbound clients see, more at an application's side. */
const OUTBOUND_BOUNDS = [0.05, 0.5, 1, 10];
const SERVER_BOUNDS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 10];

const KINDS: readonly RouteKind[] = [
  "outbound_http_route",
  "outbound_grpc_route",
  "outbound_http_route_backend",
  "outbound_grpc_route_backend",
  "inbound_http",
  "inbound_grpc",
];

/** Registers the families of all kinds. */
export function routeFamilies(registry: Registry): ReadonlyMap<RouteKind, RouteFamilies> {
  return new Map(KINDS.map((kind) => [kind, familiesOf(registry, kind)]));
}

const ROUTE_LABELS = ["parent_*", "route_*"];
const BACKEND_LABELS = [...ROUTE_LABELS, "backend_*"];

function familiesOf(registry: Registry, kind: RouteKind): RouteFamilies {
  const status = kind.includes("grpc") ? "grpc_status" : "http_status";
  const what = kind.includes("grpc") ? "gRPC calls" : "HTTP requests";
  if (kind.endsWith("backend")) {
    return {
      requests: registry.counter(
        `${kind}_requests_total`,
        `Ended attempts of ${what} at a backend`,
        BACKEND_LABELS,
      ),
      durations: registry.histogram(
        `${kind}_response_duration_seconds`,
        `Time from ${what} to the end of a backend's response, for each attempt`,
        SERVER_BOUNDS,
        BACKEND_LABELS,
      ),
      statuses: registry.counter(
        `${kind}_response_statuses_total`,
        `How a backend's responses to ${what} ended, each attempt counted`,
        [...BACKEND_LABELS, "error", status],
      ),
    };
  }
  const inbound = kind.startsWith("inbound");
  const labels = inbound ? ROUTE_LABELS : [...ROUTE_LABELS, "hostname"];
  return {
    requests: inbound
      ? registry.counter(`${kind}_requests_total`, `Ended ${what} of clients of this pod`, labels)
      : null,
    durations: registry.histogram(
      `${kind}_request_duration_seconds`,
      `Time from ${what} to the end of what the client got`,
      inbound ? SERVER_BOUNDS : OUTBOUND_BOUNDS,
      labels,
    ),
    statuses: registry.counter(
      inbound ? `${kind}_statuses_total` : `${kind}_request_statuses_total`,
      `How ${what} ended as their clients saw it, retries included`,
      [...labels, "error", status],
    ),
  };
}

/** What one outcome adds to. */
interface OutcomeCount {
  readonly labels: Labels;
  readonly total: Counter;
}

/** One label set of one kind. */
export class RouteSeries implements RouteFigures, PathSeries {
  readonly key: string;
  readonly busy = false;
  uses = 0;
  readonly #labels: Labels;
  readonly #isGrpc: boolean;
  readonly #families: RouteFamilies;
  readonly #keeper: SeriesKeeper;
  #durations: Histogram | null = null;
  #requests: Counter | null = null;
  /** Without an error, by status: a number, so that the usual outcome costs no string. */
  readonly #statuses = new Map<number, OutcomeCount>();
  readonly #failures = new Map<string, OutcomeCount>();

  constructor(key: string, kind: RouteKind, labels: Labels, keeper: SeriesKeeper) {
    this.key = key;
    this.#labels = labels;
    this.#isGrpc = kind.includes("grpc");
    this.#families = keeper.routes.get(kind) as RouteFamilies;
    this.#keeper = keeper;
  }

  ended(httpStatus: number, grpcStatus: number, error: string, durationMs: number): void {
    this.uses++;
    const durations = this.#durations ?? this.#list();
    durations.observe(durationMs / 1_000);
    if (this.#requests !== null) this.#requests.value++;
    const status = this.#isGrpc ? grpcStatus : httpStatus;
    const known = error === "" ? this.#statuses.get(status) : this.#failures.get(error);
    (known ?? this.#resolve(status, error)).total.value++;
  }

  unlist(): void {
    const { requests, durations, statuses } = this.#families;
    requests?.remove(this.#labels);
    durations.remove(this.#labels);
    for (const { labels } of this.#statuses.values()) statuses.remove(labels);
    for (const { labels } of this.#failures.values()) statuses.remove(labels);
    this.#statuses.clear();
    this.#failures.clear();
    this.#durations = null;
    this.#requests = null;
  }

  #list(): Histogram {
    this.#keeper.keep(this);
    const durations = this.#durations = this.#families.durations.with(this.#labels);
    this.#requests = this.#families.requests?.with(this.#labels) ?? null;
    return durations;
  }

  /** With an error there is no status: what the client then got is the proxy's own. */
  #resolve(status: number, error: string): OutcomeCount {
    const text = error === "" ? String(status) : "";
    const labels = {
      ...this.#labels,
      [this.#isGrpc ? "grpc_status" : "http_status"]: text,
      error,
    };
    const count = { labels, total: this.#families.statuses.with(labels) };
    if (error === "") this.#statuses.set(status, count);
    else this.#failures.set(error, count);
    return count;
  }
}
