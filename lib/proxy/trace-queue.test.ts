/** Spans on their way: in time, in portions, again after a failure, and never more than fit. */

import { beforeEach, expect, test } from "bun:test";
import { HandClock } from "../../test/support/path-environment.ts";
import { TRACE_SPANS_PENDING_MAX, TRACE_SPANS_PER_EXPORT_MAX } from "../base/limits.ts";
import type { TraceSpan } from "../contract/trace-export.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { prometheusText } from "../telemetry/prometheus.ts";
import { Registry } from "../telemetry/registry.ts";
import { TraceQueue } from "./trace-queue.ts";

let clock: HandClock;
let registry: Registry;
let sent: string[][];
let answer: () => Promise<number>;
let queue: TraceQueue;

beforeEach(() => {
  clock = new HandClock();
  registry = new Registry();
  sent = [];
  answer = () => Promise.resolve(0);
  queue = new TraceQueue({
    clock,
    registry,
    random: () => 0,
    log: silentLogger,
    send(spans) {
      sent.push(spans.map(({ name }) => name));
      return answer();
    },
  });
});

function span(name: string): TraceSpan {
  const id = new Uint8Array(8);
  return {
    traceId: new Uint8Array(16),
    spanId: id,
    parentId: id,
    traceState: "",
    name,
    kind: "server",
    startMs: 0,
    durationMs: 1,
    attributes: {},
    error: null,
  };
}

function figure(name: string): number {
  const line = prometheusText(registry).split("\n").find((text) => text.startsWith(name));
  return Number(line?.split(" ").at(-1));
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test("are gathered for a second, then sent together", async () => {
  queue.add(span("a"));
  clock.advance(999);
  queue.add(span("b"));
  expect(sent).toEqual([]);
  clock.advance(1);
  await settled();
  expect(sent).toEqual([["a", "b"]]);
  expect(figure("opentelemetry_span_export_spans_total")).toBe(2);
  expect(figure("opentelemetry_span_export_requests_total")).toBe(1);
});

test("a full portion goes at once; one call at a time", async () => {
  const taken = Promise.withResolvers<number>();
  answer = () => taken.promise;
  for (let i = 0; i < TRACE_SPANS_PER_EXPORT_MAX * 2; i++) queue.add(span(`${i}`));
  expect(sent.length).toBe(1);
  taken.resolve(3);
  await settled();
  clock.advance(1_000);
  expect(sent.map(({ length }) => length)).toEqual([512, 512]);
  await settled();
  expect(figure('malla_trace_spans_dropped_total{reason="refused"}')).toBe(6);
});

test("while the collector is away they wait, up to the bound, and are tried again", async () => {
  answer = () => Promise.reject(new Error("away"));
  for (let i = 0; i < TRACE_SPANS_PENDING_MAX + 10; i++) queue.add(span(`${i}`));
  await settled();
  const dropped = 'malla_trace_spans_dropped_total{reason="full"}';
  const lost = figure(dropped);
  expect(lost).toBeGreaterThan(0);
  queue.add(span("one more"));
  expect(figure(dropped)).toBe(lost + 1);
  for (const waitMs of [1_000, 2_000, 4_000]) {
    const calls = sent.length;
    clock.advance(waitMs - 1);
    expect(sent.length).toBe(calls);
    clock.advance(1);
    await settled();
    expect(sent.length).toBe(calls + 1);
    expect(sent.at(-1)?.[0]).toBe("0");
  }
  answer = () => Promise.resolve(0);
  for (let i = 0; i < 20; i++) {
    clock.advance(8_000);
    await settled();
  }
  const all = TRACE_SPANS_PENDING_MAX + 11;
  expect(figure("opentelemetry_span_export_spans_total") + figure(dropped)).toBe(all);
});

test("at the end what waits is sent, and no longer waited for than a second", async () => {
  queue.add(span("last"));
  await queue.close();
  expect(sent).toEqual([["last"]]);
  answer = () => new Promise(() => {});
  queue = new TraceQueue({
    clock,
    registry: new Registry(),
    random: () => 0,
    log: silentLogger,
    send: () => answer(),
  });
  queue.add(span("never taken"));
  let isClosed = false;
  const closing = queue.close().then(() => isClosed = true);
  await settled();
  expect(isClosed).toBe(false);
  clock.advance(1_000);
  await closing;
});
