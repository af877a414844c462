/** Which deadline of an exchange is over, and when. */

import { afterEach, expect, test } from "bun:test";
import { TestEnvironment } from "../../test/support/path-environment.ts";
import type { Net } from "../host/net.ts";
import type { RouteTimeouts } from "../mesh/reliability.ts";
import { PathContext } from "./context.ts";
import { ExchangeTimers } from "./exchange-timers.ts";

const contexts: PathContext[] = [];
afterEach(() => {
  for (const context of contexts.splice(0)) context.stop();
});

/** Timers of an exchange that begins at 0 and ends at its first timeout, and what they have told. */
function timed(timeouts: Partial<RouteTimeouts>, tryMs = 0) {
  const environment = new TestEnvironment({} as Net);
  const context = new PathContext(environment);
  contexts.push(context);
  const told: string[] = [];
  const exchange = {
    timedOut({ error }: { readonly error: string }) {
      told.push(error);
      timers.stop();
    },
    tryTimedOut: ({ error }: { readonly error: string }) => void told.push(error),
    headHeldTooLong: () => void told.push("head"),
  };
  const whole = { requestMs: 0, responseMs: 0, idleMs: 0, ...timeouts };
  const timers = new ExchangeTimers(context, exchange, whole, tryMs);
  timers.requestBegan(whole.requestMs, false, 0);
  /** What is told within so long; ticks are of 5 ms. */
  const within = (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5) environment.clock.advance(5);
    return told.splice(0);
  };
  return { timers, within, nowMs: () => context.nowMs() };
}

test("request: from its head on, whatever comes", () => {
  const { timers, within } = timed({ requestMs: 100 });
  expect(within(50)).toEqual([]);
  timers.requestCame(true);
  timers.responseBegan();
  expect(within(45)).toEqual([]);
  expect(within(10)).toEqual(["REQUEST_TIMEOUT"]);
  expect(within(500)).toEqual([]);
});

test("response: from the request's end on, or from the response's head", () => {
  const asked = timed({ responseMs: 100 });
  expect(asked.within(500)).toEqual([]);
  asked.timers.requestCame(true);
  expect(asked.within(50)).toEqual([]);
  asked.timers.responseBegan();
  expect(asked.within(60)).toEqual(["RESPONSE_STREAM_TIMEOUT"]);

  const early = timed({ responseMs: 100 });
  early.timers.responseBegan();
  early.timers.requestCame(true);
  expect(early.within(95)).toEqual([]);
  expect(early.within(10)).toEqual(["RESPONSE_STREAM_TIMEOUT"]);
});

test("idle: since the last piece of either side", () => {
  const { timers, within } = timed({ idleMs: 100 });
  for (const piece of ["requestCame", "responseBegan", "responseCame", "responseCame"] as const) {
    expect(within(90)).toEqual([]);
    timers[piece](false);
  }
  expect(within(95)).toEqual([]);
  expect(within(10)).toEqual(["IDLE_TIMEOUT"]);
});

test("try: until its response's head, and each anew", () => {
  const { timers, within, nowMs } = timed({}, 50);
  timers.tryBegan(0);
  expect(within(45)).toEqual([]);
  expect(within(10)).toEqual(["RESPONSE_HEADERS_TIMEOUT"]);
  expect(within(200)).toEqual([]);
  timers.tryBegan(nowMs());
  expect(within(45)).toEqual([]);
  timers.responseBegan();
  expect(within(200)).toEqual([]);
});

test.each([
  [{ requestMs: 50, responseMs: 60, idleMs: 70 }, "REQUEST_TIMEOUT"],
  [{ requestMs: 70, responseMs: 50, idleMs: 60 }, "RESPONSE_STREAM_TIMEOUT"],
  [{ requestMs: 60, responseMs: 70, idleMs: 50 }, "IDLE_TIMEOUT"],
  [{ requestMs: 50, responseMs: 50, idleMs: 50 }, "REQUEST_TIMEOUT"],
])("of several the first one is told: %o", (timeouts, error) => {
  const { timers, within } = timed(timeouts, 100);
  timers.requestCame(true);
  timers.tryBegan(0);
  expect(within(200)).toEqual([error]);
});
