/** Figures of several threads come out as one exposition. */

import { expect, test } from "bun:test";
import { prometheusText } from "./prometheus.ts";
import { Registry } from "./registry.ts";
import { snapshotOf, sumOf } from "./snapshot.ts";

interface Values {
  readonly requests: Readonly<Record<string, number>>;
  readonly open: number;
  readonly latencies: readonly number[];
}

function registryWith({ requests, open, latencies }: Values): Registry {
  const registry = new Registry();
  const counter = registry.counter("requests_total", "Requests");
  for (const [to, count] of Object.entries(requests)) counter.with({ to }).add(count);
  registry.gauge("open", "Open connections").with({}).set(open);
  const histogram = registry.histogram("latency_ms", "Latency", [1, 10]);
  for (const latency of latencies) histogram.with({ to: "a" }).observe(latency);
  return registry;
}

test("counters, gauges and histograms are added up by their labels", () => {
  const one = registryWith({ requests: { a: 2, b: 1 }, open: 3, latencies: [0.5, 5] });
  const two = registryWith({ requests: { a: 5, c: 7 }, open: 4, latencies: [5, 50] });
  const sum = sumOf([one, two].map((registry) => structuredClone(snapshotOf(registry))));
  const together = registryWith({
    requests: { a: 7, b: 1, c: 7 },
    open: 7,
    latencies: [0.5, 5, 5, 50],
  });
  expect(prometheusText(sum)).toBe(prometheusText(together));
});

test("a histogram that only a later part has seen keeps its bounds", () => {
  const one = registryWith({ requests: {}, open: 0, latencies: [] });
  const two = registryWith({ requests: {}, open: 0, latencies: [5] });
  const text = prometheusText(sumOf([snapshotOf(one), snapshotOf(two)]));
  expect(text).toContain('latency_ms_bucket{to="a",le="10"} 1\n');
});

test("a snapshot does not change any more", () => {
  const registry = registryWith({ requests: { a: 1 }, open: 1, latencies: [5] });
  const before = snapshotOf(registry);
  const text = prometheusText(sumOf([before]));
  for (const { family } of registry.families()) {
    for (const { metric } of family.series()) {
      if ("observe" in metric) metric.observe(1);
      else metric.value++;
    }
  }
  expect(prometheusText(sumOf([before]))).toBe(text);
  expect(prometheusText(sumOf([snapshotOf(registry)]))).not.toBe(text);
});
