/** The metrics of one process: a list of families, made once at start. No module holds them globally. */

import { Counter, Family, Gauge, Histogram } from "./metric.ts";

/** The type that the exposition format names. */
export type MetricType = "counter" | "gauge" | "histogram";

/** A family and its type. */
export interface Registered {
  readonly type: MetricType;
  readonly family: Family<Counter | Gauge | Histogram>;
  /** A histogram's buckets. */
  readonly bounds?: readonly number[];
}

/** Holds families in the order in which they were made. */
export class Registry {
  readonly #families: Registered[] = [];

  /** `labels`: see `Family.labels`; they are for the reference, and held by tests. */
  counter(name: string, help: string, labels: readonly string[] = []): Family<Counter> {
    return this.#register("counter", new Family(name, help, labels, () => new Counter()));
  }

  gauge(name: string, help: string, labels: readonly string[] = []): Family<Gauge> {
    return this.#register("gauge", new Family(name, help, labels, () => new Gauge()));
  }

  /** `bounds` are the buckets' upper bounds in rising order, without +Inf. */
  histogram(
    name: string,
    help: string,
    bounds: readonly number[],
    labels: readonly string[] = [],
  ): Family<Histogram> {
    const family = new Family(name, help, labels, () => new Histogram(bounds));
    return this.#register("histogram", family, bounds);
  }

  families(): readonly Registered[] {
    return this.#families;
  }

  #register<M extends Counter | Gauge | Histogram>(
    type: MetricType,
    family: Family<M>,
    bounds?: readonly number[],
  ): Family<M> {
    this.#families.push({
      type,
      family: family as Family<Counter | Gauge | Histogram>,
      ...bounds === undefined ? {} : { bounds },
    });
    return family;
  }
}
