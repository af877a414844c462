/** The figures of routes: names, labels, buckets, and that idle ones are retired. */

import { expect, test } from "bun:test";
import type { FieldLines, RequestHead, ResponseHead } from "../wire/http/mod.ts";
import { RequestHead as Request, ResponseHead as Response } from "../wire/http/mod.ts";
import { HandClock } from "../../test/support/path-environment.ts";
import type { PathContext } from "./context.ts";
import type { Downstream, HttpSide, Refusal } from "./http-parts.ts";
import { ProxyMetrics } from "./metrics.ts";
import type { Outcome, Recorder } from "./outcome.ts";
import { IDLE_TIMEOUT } from "./refusals.ts";
import { Witness } from "./witness.ts";

const ROUTE = { parent_name: "web", route_name: "http" };

function metricsOn(clock: HandClock): ProxyMetrics {
  return new ProxyMetrics({ clock, retainIdleMs: 600_000 });
}

function lines(metrics: ProxyMetrics, name: string): string[] {
  return metrics.text().split("\n").filter((line) => line.startsWith(name));
}

/** Each bucket's upper bound and count. */
function buckets(metrics: ProxyMetrics, name: string): (string | undefined)[] {
  return lines(metrics, `${name}_bucket`)
    .map((line) => /le="(.+?)"} (\d+)/.exec(line)?.slice(1).join(":"));
}

test("a route counts what its clients got: a status, or an error without one", () => {
  const metrics = metricsOn(new HandClock());
  const figures = metrics.route("outbound_http_route", ROUTE);
  figures.ended(200, -1, "", 70);
  figures.ended(200, -1, "", 5);
  figures.ended(503, -1, "FAIL_FAST", 3_000);
  figures.ended(504, -1, "FAIL_FAST", 3_000);
  expect(lines(metrics, "outbound_http_route_request_statuses_total")).toEqual([
    'outbound_http_route_request_statuses_total{parent_name="web",route_name="http",' +
    'http_status="200",error=""} 2',
    'outbound_http_route_request_statuses_total{parent_name="web",route_name="http",' +
    'http_status="",error="FAIL_FAST"} 2',
  ]);
  expect(buckets(metrics, "outbound_http_route_request_duration_seconds")).toEqual([
    "0.05:1",
    "0.5:2",
    "1:2",
    "10:4",
    "+Inf:4",
  ]);
});

test.each(
  [
    ["inbound_http", "inbound_http_request_duration_seconds"],
    ["inbound_grpc", "inbound_grpc_request_duration_seconds"],
    ["outbound_http_route_backend", "outbound_http_route_backend_response_duration_seconds"],
  ] as const,
)("%s: durations at an application's side have finer buckets", (kind, name) => {
  const metrics = metricsOn(new HandClock());
  for (const durationMs of [20, 30, 300]) metrics.route(kind, ROUTE).ended(200, 0, "", durationMs);
  expect(buckets(metrics, name)).toEqual([
    "0.025:1",
    "0.05:2",
    "0.1:2",
    "0.25:2",
    "0.5:3",
    "1:3",
    "10:3",
    "+Inf:3",
  ]);
});

test("calls are counted by gRPC's status, in families of their own", () => {
  const metrics = metricsOn(new HandClock());
  metrics.route("outbound_grpc_route_backend", ROUTE).ended(200, 14, "", 1);
  metrics.route("inbound_grpc", ROUTE).ended(200, 0, "", 1);
  const [backend] = lines(metrics, "outbound_grpc_route_backend_response_statuses_total");
  expect(backend).toEndWith('grpc_status="14",error=""} 1');
  expect(lines(metrics, "inbound_grpc_requests_total")).toEqual([
    'inbound_grpc_requests_total{parent_name="web",route_name="http"} 1',
  ]);
});

test("a route that nobody used for a while is retired, and begins again from zero", () => {
  const clock = new HandClock();
  const metrics = metricsOn(clock);
  const figures = metrics.route("inbound_http", ROUTE);
  figures.ended(200, -1, "", 1);
  metrics.sweep();
  clock.advance(600_000);
  metrics.sweep();
  expect(lines(metrics, "inbound_http_")).toEqual([]);
  figures.ended(200, -1, "", 1);
  expect(lines(metrics, "inbound_http_statuses_total")[0]).toEndWith(" 1");
  expect(metrics.route("inbound_http", ROUTE)).toBe(figures);
});

/** A client that takes everything. */
class Client implements Downstream {
  readonly blocked = false;
  readonly hasCodes = true;
  interim(_head: ResponseHead): void {}
  respond(): void {}
  data(): void {}
  trailers(_fields: FieldLines): void {}
  refuse(_refusal: Refusal): void {}
  cutOff(_code: number): void {}
  done(): void {}
  resumeRequest(): void {}
  tunnel(): void {}
}

/** A witness on a clock that the test moves, and what a recorder was told in the end. */
function witnessed(head: RequestHead = new Request()) {
  const clock = new HandClock();
  const metrics = metricsOn(clock);
  const told: Outcome[] = [];
  const recorders: Recorder[] = [
    { begin: () => ({ ended: (outcome) => void told.push({ ...outcome, ...picked(outcome) }) }) },
    { begin: () => null },
  ];
  const side = { figures: () => metrics.route("inbound_http", ROUTE) } as unknown as HttpSide;
  const context = {
    env: { recorders },
    nowMs: () => clock.monotonicMs(),
  } as unknown as PathContext;
  return { witness: new Witness(context, side, new Client(), head), clock, told, metrics };
}

function picked({ status, error, headMs, totalMs, responseBytes }: Outcome) {
  return { status, error, headMs, totalMs, responseBytes };
}

test("a recorder learns of bytes, times and status once, when all is over", () => {
  const { witness, clock, told } = witnessed();
  const head = new Response();
  head.status = 200;
  clock.advance(5);
  witness.respond(head, new Uint8Array(10), 2, 10, false);
  clock.advance(7);
  witness.data(new Uint8Array(100), 0, 100, true);
  expect(told).toEqual([]);
  witness.done();
  witness.abandoned();
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({ status: 200, error: "", headMs: 5, totalMs: 12 });
  expect(told[0]?.responseBytes).toBe(108);
});

test("what is refused, cut off and left is told apart", () => {
  const refused = witnessed();
  refused.witness.refuse({ status: 503, kind: "failfast", message: "no endpoint" });
  refused.witness.done();
  expect(refused.told[0]).toMatchObject({ status: 503, error: "FAIL_FAST" });

  const cut = witnessed();
  cut.witness.cutOff(11, "ENHANCE_YOUR_CALM");
  expect(cut.told[0]).toMatchObject({ status: 0, error: "ENHANCE_YOUR_CALM" });

  const late = witnessed();
  late.witness.endCall(IDLE_TIMEOUT);
  expect(late.told[0]).toMatchObject({ error: "IDLE_TIMEOUT" });

  const left = witnessed();
  left.witness.abandoned();
  left.witness.done();
  expect(left.told).toHaveLength(1);
  expect(left.told[0]).toMatchObject({ error: "CANCEL" });
  expect(lines(left.metrics, "inbound_http_statuses_total")[0]).toContain('error="CANCEL"');
});
