// hot
/**
 * The series that the byte path adds to: one object per label set, resolved once per connection or
 * endpoint. A series that nobody used for a while is taken out of the exposition; its holder does not
 * notice, and the next use lists it again from zero, which Prometheus takes for a restart.
 */

import { assert } from "../base/assert.ts";
import type { Counter, Gauge, Histogram, Labels } from "../telemetry/metric.ts";
import type { HttpMetrics, TransportMetrics } from "./environment.ts";
import {
  closeLabels,
  type CountName,
  type HttpFamilies,
  latencyLabels,
  type PathFamilies,
  responseLabels,
} from "./path-families.ts";
import type { RouteFamilies, RouteKind } from "./route-series.ts";

/** What the sweep sees of a series. */
export interface PathSeries {
  readonly key: string;
  /** Grows with each use. */
  readonly uses: number;
  /** A series in the middle of something (an open connection) is never retired. */
  readonly busy: boolean;
  /** Takes everything out of the families. */
  unlist(): void;
}

/** Is told when a retired series is used again. */
export interface SeriesKeeper {
  readonly families: PathFamilies;
  readonly routes: ReadonlyMap<RouteKind, RouteFamilies>;
  keep(series: PathSeries): void;
}

/** What one status and class of responses adds to. */
interface ResponseCounts {
  readonly status: number;
  readonly success: boolean;
  readonly error: string;
  readonly grpcStatus: number;
  readonly total: Counter;
  readonly latency: Histogram | null;
}

/** One number for the three; gRPC's codes are 0–16, and what is above counts as unknown. */
function responseKey(status: number, success: boolean, grpcStatus: number): number {
  return (status * 2 + (success ? 1 : 0)) * 32 + grpcStatus + 1;
}

/** Requests and responses of one label set. */
export class HttpSeries implements HttpMetrics, PathSeries {
  readonly key: string;
  readonly busy = false;
  uses = 0;
  readonly #labels: Labels;
  readonly #keeper: SeriesKeeper;
  readonly #families: HttpFamilies;
  #requests: Counter | null = null;
  readonly #responses = new Map<number, ResponseCounts>();
  /** Responses with an error, by class, status and reason: rare, so a string key is affordable. */
  readonly #failures = new Map<string, ResponseCounts>();

  constructor(key: string, labels: Labels, keeper: SeriesKeeper, families: HttpFamilies) {
    this.key = key;
    this.#labels = labels;
    this.#keeper = keeper;
    this.#families = families;
  }

  request(): void {
    this.uses++;
    if (this.#requests === null) this.#requests = this.#list();
    this.#requests.value++;
  }

  response(
    status: number,
    success: boolean,
    latencyMs: number,
    error: string,
    grpcStatus: number,
  ): void {
    this.uses++;
    if (this.#requests === null) this.#requests = this.#list();
    const known = error === ""
      ? this.#responses.get(responseKey(status, success, grpcStatus))
      : this.#failures.get(`${status} ${success} ${error}`);
    const counts = known ?? this.#resolve(status, success, error, grpcStatus);
    counts.total.value++;
    counts.latency?.observe(latencyMs);
  }

  unlist(): void {
    const families = this.#families;
    families.requests.remove(this.#labels);
    for (const byKey of [this.#responses, this.#failures]) {
      for (const { status, success, error, grpcStatus } of byKey.values()) {
        families.responses.remove(
          responseLabels(this.#labels, status, success, error, grpcStatus),
        );
        families.latency?.remove(latencyLabels(this.#labels, status));
      }
      byKey.clear();
    }
    this.#requests = null;
  }

  #list(): Counter {
    this.#keeper.keep(this);
    return this.#families.requests.with(this.#labels);
  }

  #resolve(
    status: number,
    success: boolean,
    error: string,
    grpcStatus: number,
  ): ResponseCounts {
    const families = this.#families;
    const counts: ResponseCounts = {
      status,
      success,
      error,
      grpcStatus,
      total: families.responses.with(
        responseLabels(this.#labels, status, success, error, grpcStatus),
      ),
      latency: families.latency?.with(latencyLabels(this.#labels, status)) ?? null,
    };
    if (error === "") this.#responses.set(responseKey(status, success, grpcStatus), counts);
    else this.#failures.set(`${status} ${success} ${error}`, counts);
    return counts;
  }
}

/** What a connection side adds to. */
interface TransportCounts {
  readonly opens: Counter;
  readonly open: Gauge;
  readonly read: Counter;
  readonly wrote: Counter;
}

/** Connections and bytes of one label set. */
export class TransportSeries implements TransportMetrics, PathSeries {
  readonly key: string;
  uses = 0;
  readonly #labels: Labels;
  readonly #keeper: SeriesKeeper;
  #counts: TransportCounts | null = null;
  readonly #closes = new Map<string, Counter>();
  #open = 0;

  constructor(key: string, labels: Labels, keeper: SeriesKeeper) {
    this.key = key;
    this.#labels = labels;
    this.#keeper = keeper;
  }

  get busy(): boolean {
    return this.#open > 0;
  }

  opened(): void {
    this.uses++;
    this.#open++;
    const counts = this.#counts ?? this.#list();
    counts.opens.value++;
    counts.open.value++;
  }

  read(bytes: number): void {
    this.uses++;
    const counts = this.#counts ?? this.#list();
    counts.read.value += bytes;
  }

  wrote(bytes: number): void {
    this.uses++;
    const counts = this.#counts ?? this.#list();
    counts.wrote.value += bytes;
  }

  closed(errno: string): void {
    this.uses++;
    const counts = this.#counts ?? this.#list();
    // One that could not be made is closed without having been open.
    if (this.#open > 0) {
      this.#open--;
      counts.open.value--;
    }
    let closes = this.#closes.get(errno);
    if (closes === undefined) {
      closes = this.#keeper.families.closes.with(closeLabels(this.#labels, errno));
      this.#closes.set(errno, closes);
    }
    closes.value++;
  }

  unlist(): void {
    assert(this.#open === 0, "a series of open connections is not retired");
    const { opens, open, read, wrote, closes } = this.#keeper.families;
    opens.remove(this.#labels);
    open.remove(this.#labels);
    read.remove(this.#labels);
    wrote.remove(this.#labels);
    for (const errno of this.#closes.keys()) closes.remove(closeLabels(this.#labels, errno));
    this.#closes.clear();
    this.#counts = null;
  }

  #list(): TransportCounts {
    this.#keeper.keep(this);
    const { opens, open, read, wrote } = this.#keeper.families;
    this.#counts = {
      opens: opens.with(this.#labels),
      open: open.with(this.#labels),
      read: read.with(this.#labels),
      wrote: wrote.with(this.#labels),
    };
    return this.#counts;
  }
}

/** A plain counter of one label set. */
export class CountSeries implements PathSeries {
  readonly key: string;
  readonly busy = false;
  uses = 0;
  readonly #name: CountName;
  readonly #labels: Labels;
  readonly #keeper: SeriesKeeper;
  #counter: Counter | null = null;

  constructor(key: string, name: CountName, labels: Labels, keeper: SeriesKeeper) {
    this.key = key;
    this.#name = name;
    this.#labels = labels;
    this.#keeper = keeper;
  }

  add(): void {
    this.uses++;
    if (this.#counter === null) {
      this.#keeper.keep(this);
      this.#counter = this.#keeper.families.counts.get(this.#name)?.with(this.#labels) ?? null;
      assert(this.#counter !== null, `metric ${this.#name} is registered`);
    }
    this.#counter.value++;
  }

  unlist(): void {
    this.#keeper.families.counts.get(this.#name)?.remove(this.#labels);
    this.#counter = null;
  }
}
