import { expect, test } from "bun:test";
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "./prometheus.ts";
import { Registry } from "./registry.ts";

test("an empty family is not written", () => {
  const registry = new Registry();
  registry.counter("a_total", "Nothing yet");
  expect(prometheusText(registry)).toBe("");
  expect(PROMETHEUS_CONTENT_TYPE).toStartWith("text/plain; version=0.0.4");
});

test("counters and gauges have HELP, TYPE and one line for each series", () => {
  const registry = new Registry();
  const requests = registry.counter("request_total", "Total of requests\nin two lines \\o/");
  requests.with({ direction: "inbound", tls: "true" }).add(3);
  requests.with({ direction: "outbound" }).add(1);
  registry.gauge("open", "Open").with({}).set(-2.5);
  expect(prometheusText(registry)).toBe(
    "# HELP request_total Total of requests\\nin two lines \\\\o/\n" +
      "# TYPE request_total counter\n" +
      'request_total{direction="inbound",tls="true"} 3\n' +
      'request_total{direction="outbound"} 1\n' +
      "# HELP open Open\n# TYPE open gauge\nopen -2.5\n",
  );
});

test("label values are escaped", () => {
  const registry = new Registry();
  registry.gauge("g", "G").with({ a: 'say "x"\\\nnext' }).set(1);
  expect(prometheusText(registry)).toContain('g{a="say \\"x\\"\\\\\\nnext"} 1\n');
});

test("histogram buckets are cumulative and end with +Inf, sum and count", () => {
  const registry = new Registry();
  const latency = registry.histogram("latency_ms", "Latency", [1, 5, 10]);
  const series = latency.with({ status_code: "200" });
  for (const value of [0.5, 1, 4, 11, 100]) series.observe(value);
  expect(prometheusText(registry)).toBe(
    "# HELP latency_ms Latency\n# TYPE latency_ms histogram\n" +
      'latency_ms_bucket{status_code="200",le="1"} 2\n' +
      'latency_ms_bucket{status_code="200",le="5"} 3\n' +
      'latency_ms_bucket{status_code="200",le="10"} 3\n' +
      'latency_ms_bucket{status_code="200",le="+Inf"} 5\n' +
      'latency_ms_sum{status_code="200"} 116.5\n' +
      'latency_ms_count{status_code="200"} 5\n',
  );
});

test("infinities have the format's own spelling", () => {
  const registry = new Registry();
  registry.gauge("g", "G").with({}).set(Infinity);
  registry.gauge("h", "H").with({}).set(-Infinity);
  expect(prometheusText(registry)).toContain("g +Inf\n");
  expect(prometheusText(registry)).toContain("h -Inf\n");
});
