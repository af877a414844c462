// hot
/**
 * Counters, gauges and histograms, and the families that hold them by labels. A caller resolves the
 * series once (per connection, per endpoint) and then only adds to a field: no map look-up, no string
 * per event. Text output is in `prometheus.ts`.
 */

/** Label names and values of one series; a series is told apart by all of them, in any order. */
export type Labels = Readonly<Record<string, string>>;

/** A number that only grows. */
export class Counter {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }
}

/** A number that goes up and down. */
export class Gauge {
  value = 0;

  add(amount: number): void {
    this.value += amount;
  }

  set(value: number): void {
    this.value = value;
  }
}

/** Observations counted in buckets by upper bound; the last count is of those above every bound. */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.bounds;
    let bucket = 0;
    while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
    this.counts[bucket] = (this.counts[bucket] as number) + 1;
    this.sum += value;
    this.count++;
  }
}

/** One series of a family. */
export interface Series<M> {
  readonly labels: Labels;
  readonly metric: M;
}

/** All series of one metric name. */
export class Family<M> {
  readonly name: string;
  readonly help: string;
  /** The names that its series may have; one that ends in `*` stands for all that begin so. */
  readonly labels: readonly string[];
  readonly #make: () => M;
  readonly #series = new Map<string, Series<M>>();

  constructor(name: string, help: string, labels: readonly string[], make: () => M) {
    this.name = name;
    this.help = help;
    this.labels = labels;
    this.#make = make;
  }

  /** The series with exactly these labels, made when it is new. Costs a string: not per request. */
  with(labels: Labels): M {
    const key = labelsKey(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, metric: this.#make() };
      this.#series.set(key, series);
    }
    return series.metric;
  }

  /** Forgets a series; its holder may go on adding, but nobody sees it any more. */
  remove(labels: Labels): void {
    this.#series.delete(labelsKey(labels));
  }

  series(): IterableIterator<Series<M>> {
    return this.#series.values();
  }
}

/** One text for one label set, whatever the order of its names. */
export function labelsKey(labels: Labels): string {
  let key = "";
  for (const name of Object.keys(labels).sort()) key += `${name}=${labels[name]}\u0000`;
  return key;
}
