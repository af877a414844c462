import { beforeEach, expect, test } from "bun:test";
import { METRIC_SERIES_MAX } from "../base/limits.ts";
import type { Clock } from "../host/clock.ts";
import { ProxyMetrics } from "./metrics.ts";

let nowMs = 0;
const clock: Clock = {
  nowMs: () => nowMs,
  monotonicMs: () => nowMs,
  after: () => ({ cancel() {} }),
  every: () => ({ cancel() {} }),
  afterTurn() {},
};
let metrics: ProxyMetrics;

beforeEach(() => {
  nowMs = 0;
  metrics = new ProxyMetrics({ clock, retainIdleMs: 600_000 });
});

/** The lines of one metric, without comments. */
function lines(name: string): string[] {
  return metrics.text().split("\n").filter((line) => line.startsWith(name));
}

function sweepAfter(delayMs: number): void {
  metrics.sweep();
  nowMs += delayMs;
  metrics.sweep();
}

test("a request and its response count with the contract's names, labels and buckets", () => {
  const http = metrics.http({ direction: "inbound", tls: "true" });
  http.request();
  http.response(200, true, 3.5, "", -1);
  http.request();
  http.response(503, false, 25_000, "", -1);
  http.request();
  http.response(0, false, 1, "i/o", -1);
  expect(lines("request_total")).toEqual(['request_total{direction="inbound",tls="true"} 3']);
  expect(lines("response_total")).toEqual([
    'response_total{direction="inbound",tls="true",classification="success",status_code="200"} 1',
    'response_total{direction="inbound",tls="true",classification="failure",status_code="503"} 1',
    'response_total{direction="inbound",tls="true",classification="failure",error="i/o"} 1',
  ]);
  const buckets = lines("response_latency_ms_bucket");
  const ok = buckets.filter((line) => line.includes('status_code="200"'));
  expect(ok.map((line) => /,le="([^"]+)"/.exec(line)?.[1]).join(",")).toBe(
    "1,2,3,4,5,10,20,30,40,50,100,200,300,400,500,1000,2000,3000,4000,5000," +
      "10000,20000,30000,40000,50000,+Inf",
  );
  expect(ok.filter((line) => line.endsWith(" 0")).length).toBe(3);
});

test("connections, bytes and closes of a side are counted", () => {
  const labels = { direction: "outbound", peer: "dst" };
  const tcp = metrics.transport(labels);
  tcp.opened();
  tcp.opened();
  tcp.read(10);
  tcp.wrote(7);
  tcp.closed("");
  expect(lines("tcp_open_total")).toEqual(['tcp_open_total{direction="outbound",peer="dst"} 2']);
  expect(lines("tcp_open_connections")[0]).toEndWith(" 1");
  expect(lines("tcp_read_bytes_total")[0]).toEndWith(" 10");
  expect(lines("tcp_write_bytes_total")[0]).toEndWith(" 7");
  metrics.transport({ peer: "dst", direction: "outbound" }).closed("ECONNRESET");
  expect(lines("tcp_close_total")).toEqual([
    'tcp_close_total{direction="outbound",peer="dst",errno=""} 1',
    'tcp_close_total{direction="outbound",peer="dst",errno="ECONNRESET"} 1',
  ]);
  expect(lines("tcp_open_connections")[0]).toEndWith(" 0");
});

test("a connection that was refused does not make the number of open ones negative", () => {
  const tcp = metrics.transport({ direction: "outbound" });
  tcp.closed("ECONNREFUSED");
  expect(lines("tcp_open_connections")).toEqual(['tcp_open_connections{direction="outbound"} 0']);
});

test("authorizations and errors have their families", () => {
  const labels = { direction: "inbound", srv_name: "x" };
  metrics.authorized("http", true, labels);
  metrics.authorized("http", true, labels);
  metrics.authorized("tcp", false, labels);
  metrics.failed("outbound", "http", "failfast");
  metrics.failed("inbound", "tcp", "tls detection timeout");
  expect(lines("inbound_http_authz_allow_total")).toEqual([
    'inbound_http_authz_allow_total{direction="inbound",srv_name="x"} 2',
  ]);
  expect(lines("inbound_tcp_authz_deny_total")[0]).toEndWith(" 1");
  expect(lines("outbound_http_errors_total")).toEqual([
    'outbound_http_errors_total{error="failfast"} 1',
  ]);
  expect(lines("inbound_tcp_errors_total")[0]).toContain("tls detection timeout");
});

test("an unused series is retired, and its holder lists it again by using it", () => {
  const http = metrics.http({ direction: "outbound" });
  http.request();
  http.response(200, true, 1, "", -1);
  sweepAfter(599_000);
  expect(lines("request_total").length).toBe(1);
  sweepAfter(600_000);
  expect(metrics.text()).toBe("");
  http.request();
  expect(lines("request_total")).toEqual(['request_total{direction="outbound"} 1']);
  expect(lines("response_total")).toEqual([]);
  metrics.http({ direction: "outbound" }).request();
  expect(lines("request_total")[0]).toEndWith(" 2");
});

test("use and open connections keep a series listed", () => {
  const http = metrics.http({ direction: "outbound" });
  const tcp = metrics.transport({ direction: "outbound" });
  tcp.opened();
  for (let round = 0; round < 3; round++) {
    http.request();
    sweepAfter(400_000);
  }
  expect(lines("request_total")[0]).toEndWith(" 3");
  expect(lines("tcp_open_connections")[0]).toEndWith(" 1");
  tcp.closed("");
  sweepAfter(600_000);
  expect(lines("tcp_open")).toEqual([]);
});

test("two holders of one label set share a series before its first use and after", () => {
  const [one, two] = [metrics.http({ a: "1", b: "2" }), metrics.http({ b: "2", a: "1" })];
  expect(one).toBe(two);
  one.request();
  expect(metrics.http({ a: "1", b: "2" })).toBe(one);
});

test("label sets above the limit are counted together", () => {
  for (let number = 0; number < METRIC_SERIES_MAX; number++) {
    metrics.http({ direction: "outbound", target_addr: String(number) }).request();
  }
  metrics.http({ direction: "outbound", target_addr: "one more" }).request();
  metrics.http({ direction: "outbound", target_addr: "another" }).request();
  const text = metrics.text();
  expect(text).toContain('request_total{direction="outbound",overflow="true"} 2\n');
  expect(text).not.toContain("another");
});
