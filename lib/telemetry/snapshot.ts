/**
 * Figures as plain values, to be sent from one thread to another, and the sum of several. Counters,
 * gauges and histograms with the same name and labels are added up, so a gauge that is not a count (a
 * time, a version) belongs into one thread's registry only.
 */

import { assert } from "../base/assert.ts";
import { Histogram, type Labels } from "./metric.ts";
import { type MetricType, Registry } from "./registry.ts";

/** One family with all its series. */
export interface FamilySnapshot {
  readonly type: MetricType;
  readonly name: string;
  readonly help: string;
  readonly series: readonly SeriesSnapshot[];
}

/** One series: a number, or the counts of a histogram. */
export interface SeriesSnapshot {
  readonly labels: Labels;
  readonly value: number | HistogramSnapshot;
}

/** A histogram's figures; `counts` has one more than `bounds`. */
export interface HistogramSnapshot {
  readonly bounds: readonly number[];
  readonly counts: Float64Array;
  readonly sum: number;
  readonly count: number;
}

/** The figures of a registry now; later changes do not show in them. */
export function snapshotOf(registry: Registry): FamilySnapshot[] {
  return registry.families().map(({ type, family }) => ({
    type,
    name: family.name,
    help: family.help,
    series: Array.from(family.series(), ({ labels, metric }) => ({
      labels,
      value: metric instanceof Histogram ? histogramValue(metric) : metric.value,
    })),
  }));
}

/** A registry with the sums of all parts, its families in the order in which they first come. */
export function sumOf(parts: readonly (readonly FamilySnapshot[])[]): Registry {
  const sum = new Registry();
  const add = new Map<string, (series: SeriesSnapshot) => void>();
  for (const family of parts.flat()) {
    // Nothing to add, and a histogram's bounds are those of its series.
    if (family.series.length === 0) continue;
    let into = add.get(family.name);
    if (into === undefined) add.set(family.name, into = adder(sum, family));
    for (const series of family.series) into(series);
  }
  return sum;
}

function adder(sum: Registry, family: FamilySnapshot): (series: SeriesSnapshot) => void {
  const { type, name, help } = family;
  if (type !== "histogram") {
    const into = sum[type](name, help);
    return ({ labels, value }) => {
      assert(typeof value === "number", `${name} is a ${type} in every part`);
      into.with(labels).value += value;
    };
  }
  const first = family.series[0]?.value;
  const bounds = typeof first === "object" ? first.bounds : [];
  const into = sum.histogram(name, help, bounds);
  return ({ labels, value }) => {
    assert(typeof value === "object", `${name} is a histogram in every part`);
    assert(value.bounds.length === into.with(labels).bounds.length, `${name} has the same bounds`);
    addHistogram(into.with(labels), value);
  };
}

function histogramValue({ bounds, counts, sum, count }: Histogram): HistogramSnapshot {
  return { bounds, counts: counts.slice(), sum, count };
}

function addHistogram(into: Histogram, { counts, sum, count }: HistogramSnapshot): void {
  for (const [index, more] of counts.entries()) {
    into.counts[index] = (into.counts[index] ?? 0) + more;
  }
  into.sum += sum;
  into.count += count;
}
