/**
 * The proxy's metrics: the byte path's `PathMetrics`, the certificate's and the process's figures, and
 * the exposition. Series that were not used for `retainIdleMs` are retired, so that a proxy that meets
 * many short-lived peers does not grow; while somebody holds a retired series, the same label set keeps
 * giving that one object, so that two objects never fight over one counter.
 */

import { METRIC_SERIES_MAX } from "../base/limits.ts";
import type { Clock } from "../host/clock.ts";
import { type Labels, labelsKey } from "../telemetry/metric.ts";
import { prometheusText } from "../telemetry/prometheus.ts";
import { Registry } from "../telemetry/registry.ts";
import { type FamilySnapshot, snapshotOf, sumOf } from "../telemetry/snapshot.ts";
import type {
  ConnectionCount,
  DetectResult,
  ErrorKind,
  HedgeOutcome,
  HttpMetrics,
  PathMetrics,
  ProfileKind,
  RetryOutcome,
  RouteFigures,
  TransportMetrics,
} from "./environment.ts";
import type { GateFigures } from "./gate.ts";
import { type CountName, type PathFamilies, pathFamilies } from "./path-families.ts";
import {
  CountSeries,
  HttpSeries,
  type PathSeries,
  type SeriesKeeper,
  TransportSeries,
} from "./path-series.ts";
import { type RouteFamilies, routeFamilies, type RouteKind, RouteSeries } from "./route-series.ts";

/** How the metrics come to be. */
export interface ProxyMetricsOptions {
  readonly clock: Clock;
  /** How long an unused series stays listed. */
  readonly retainIdleMs: number;
}

/** A listed series and when the sweep last saw that it had been used. */
interface Listed {
  readonly series: PathSeries;
  uses: number;
  usedAtMs: number;
}

const NO_LABELS: Labels = {};

/** All metrics of one proxy. */
export class ProxyMetrics implements PathMetrics, SeriesKeeper {
  readonly registry = new Registry();
  readonly families: PathFamilies;
  readonly routes: ReadonlyMap<RouteKind, RouteFamilies>;
  readonly #options: ProxyMetricsOptions;
  readonly #listed = new Map<string, Listed>();
  /** Series that nobody has used (lately), for as long as somebody holds them. */
  readonly #unlisted = new Map<string, WeakRef<PathSeries>>();
  /** Callers keep their label objects: no text key per authorized request. */
  readonly #countsByLabels = new WeakMap<Labels, Map<CountName, CountSeries>>();
  readonly #beforeText: (() => void)[] = [];

  constructor(options: ProxyMetricsOptions) {
    this.#options = options;
    this.families = pathFamilies(this.registry);
    this.routes = routeFamilies(this.registry);
  }

  transport(labels: Labels): TransportMetrics {
    return this.#series(
      TransportSeries,
      "tcp",
      labels,
      (key, kept) => new TransportSeries(key, kept, this),
    );
  }

  http(labels: Labels): HttpMetrics {
    return this.#series(
      HttpSeries,
      "http",
      labels,
      (key, kept) => new HttpSeries(key, kept, this, this.families.http),
    );
  }

  authorized(protocol: "http" | "tcp", allowed: boolean, labels: Labels): void {
    this.#countOf(`inbound_${protocol}_authz_${allowed ? "allow" : "deny"}_total`, labels).add();
  }

  retried(protocol: "http" | "grpc", outcome: RetryOutcome, labels: Labels): void {
    this.#countOf(`outbound_${protocol}_route_retry_${outcome}_total`, labels).add();
  }

  counted(name: ConnectionCount, labels: Labels): void {
    this.#count(name, labels).add();
  }

  detected(direction: "inbound" | "outbound", result: DetectResult, durationMs: number): void {
    this.#count(`${direction}_tcp_detect_http_results_total`, { result }).add();
    this.families.detections[direction].with(NO_LABELS).observe(durationMs / 1_000);
  }

  profileRoute(kind: ProfileKind, labels: Labels): HttpMetrics {
    const families = this.families.profiles[kind];
    return this.#series(
      HttpSeries,
      kind,
      labels,
      (key, kept) => new HttpSeries(key, kept, this, families),
    );
  }

  retryable(labels: Labels): void {
    this.#countOf("route_retryable_total", labels).add();
  }

  hedged(outcome: HedgeOutcome, labels: Labels): void {
    this.#countOf(`malla_outbound_http_route_hedge_${outcome}_total`, labels).add();
  }

  gate(port: string): GateFigures {
    const labels = { target_port: port };
    const { limit, inFlight, waiting } = this.families.gates;
    const gauges = [limit.with(labels), inFlight.with(labels), waiting.with(labels)] as const;
    return {
      show(limit, inFlight, waiting) {
        gauges[0].value = limit;
        gauges[1].value = inFlight;
        gauges[2].value = waiting;
      },
    };
  }

  route(kind: RouteKind, labels: Labels): RouteFigures {
    return this.#series(
      RouteSeries,
      kind,
      labels,
      (key, kept) => new RouteSeries(key, kind, kept, this),
    );
  }

  failed(direction: "inbound" | "outbound", protocol: "http" | "tcp", error: ErrorKind): void {
    this.#count(`${direction}_${protocol}_errors_total`, { error }).add();
  }

  /** The counter for a label object that its caller keeps. */
  #countOf(name: CountName, labels: Labels): CountSeries {
    let byName = this.#countsByLabels.get(labels);
    if (byName === undefined) this.#countsByLabels.set(labels, byName = new Map());
    let series = byName.get(name);
    if (series === undefined) byName.set(name, series = this.#count(name, labels));
    return series;
  }

  keep(series: PathSeries): void {
    this.#unlisted.delete(series.key);
    const usedAtMs = this.#options.clock.monotonicMs();
    this.#listed.set(series.key, { series, uses: series.uses, usedAtMs });
  }

  /** Retires what was not used for a while; to be called every now and then. */
  sweep(): void {
    const now = this.#options.clock.monotonicMs();
    for (const [key, listed] of this.#listed) {
      const { series } = listed;
      if (series.busy || series.uses !== listed.uses) {
        listed.uses = series.uses;
        listed.usedAtMs = now;
      } else if (now - listed.usedAtMs >= this.#options.retainIdleMs) {
        series.unlist();
        this.#listed.delete(key);
        this.#unlisted.set(key, new WeakRef(series));
      }
    }
    for (const [key, ref] of this.#unlisted) {
      if (ref.deref() === undefined) this.#unlisted.delete(key);
    }
  }

  /** Registers a call that brings gauges up to date before each exposition. */
  beforeText(call: () => void): void {
    this.#beforeText.push(call);
  }

  /** The exposition for a scrape, with the figures of other cores added. */
  text(others: readonly (readonly FamilySnapshot[])[] = []): string {
    for (const call of this.#beforeText) call();
    if (others.length === 0) return prometheusText(this.registry);
    return prometheusText(sumOf([snapshotOf(this.registry), ...others]));
  }

  #count(name: CountName, labels: Labels): CountSeries {
    return this.#series(
      CountSeries,
      name,
      labels,
      (key, kept) => new CountSeries(key, name, kept, this),
    );
  }

  /** The object of a kind and label set: the listed one, one that is still held, or a new one. */
  #series<S extends PathSeries>(
    kind: new (...args: never[]) => S,
    prefix: string,
    labels: Labels,
    make: (key: string, labels: Labels) => S,
  ): S {
    const key = `${prefix} ${labelsKey(labels)}`;
    const known = this.#listed.get(key)?.series ?? this.#unlisted.get(key)?.deref();
    if (known instanceof kind) return known;
    if (this.#listed.size >= METRIC_SERIES_MAX && labels["overflow"] === undefined) {
      const shared = { direction: labels["direction"] ?? "", overflow: "true" };
      return this.#series(kind, prefix, shared, make);
    }
    const series = make(key, labels);
    this.#unlisted.set(key, new WeakRef(series));
    return series;
  }
}
