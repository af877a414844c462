import { describe, expect, test } from "bun:test";
import { RETRIES_MAX } from "../base/limits.ts";
import { serviceReliability } from "./reliability.ts";

const RETRY = "retry.linkerd.io";
const TIMEOUT = "timeout.linkerd.io";
const BALANCER = "balancer.linkerd.io";
const ALPHA = "balancer.alpha.linkerd.io";

test("a Service without annotations asks for nothing", () => {
  expect(serviceReliability({ "linkerd.io/inject": "enabled" })).toEqual({ problems: [] });
});

test("retries, with what the contract leaves to us", () => {
  const { retry, problems } = serviceReliability({
    [`${RETRY}/http`]: "5xx, 404,500-504 ,gateway-error",
    [`${RETRY}/grpc`]: "unavailable, internal",
  });
  expect(problems).toEqual([]);
  expect(retry).toEqual({
    statuses: [[500, 599], [404, 404], [500, 504], [502, 504]],
    grpcStatuses: [14, 13],
    retriesMax: 1,
    requestBytesMax: 65_536,
    tryTimeoutMs: 0,
    backoff: { minMs: 25, maxMs: 250, jitter: 1 },
  });
  const more = { [`${RETRY}/http`]: "503", [`${RETRY}/limit`]: "3", [`${RETRY}/timeout`]: "300ms" };
  expect(serviceReliability(more).retry).toMatchObject({ retriesMax: 3, tryTimeoutMs: 300 });
});

test("timeouts", () => {
  const { timeouts } = serviceReliability({
    [`${TIMEOUT}/request`]: "5s",
    [`${TIMEOUT}/idle`]: "1m",
  });
  expect(timeouts).toEqual({ requestMs: 5_000, responseMs: 0, idleMs: 60_000 });
});

test("failure accrual, consecutive and unified, and penalties", () => {
  const consecutive = serviceReliability({
    [`${BALANCER}/failure-accrual`]: "consecutive",
    [`${BALANCER}/failure-accrual-consecutive-max-failures`]: "3",
    [`${BALANCER}/failure-accrual-consecutive-max-penalty`]: "10s",
  });
  expect(consecutive.accrual).toEqual({
    failuresMax: 3,
    backoff: { minMs: 1_000, maxMs: 10_000, jitter: 0.5 },
    endpointsMin: 1,
  });
  const unified = serviceReliability({
    [`${BALANCER}/failure-accrual`]: "unified",
    [`${ALPHA}/failure-accrual-success-rate-threshold`]: "0.9",
    [`${ALPHA}/penalize-failures`]: "true",
    [`${ALPHA}/load-biaser-penalty`]: "2s",
  });
  expect(unified.accrual?.successRate).toEqual({
    threshold: 0.9,
    windowMs: 10_000,
    requestsMin: 5,
  });
  expect(unified.penalty).toEqual({ penaltyMs: 2_000, retryAfterMaxMs: 0 });
});

describe("a wrong value is named and left out, and the others hold", () => {
  test.each([
    [`${RETRY}/http`, "often", "5xx, gateway-error"],
    [`${RETRY}/http`, "504-500", "5xx, gateway-error"],
    [`${RETRY}/grpc`, "unknown", "cancelled, deadline-exceeded"],
    [`${RETRY}/limit`, "1000000", `a whole number from 0 to ${RETRIES_MAX}`],
    [`${RETRY}/timeout`, "0s", "above 0"],
    [`${TIMEOUT}/request`, "0s", "above 0"],
    [`${RETRY}/limit`, "-1", `a whole number from 0 to ${RETRIES_MAX}`],
    [`${TIMEOUT}/request`, "10", "a duration with its unit"],
    [`${BALANCER}/failure-accrual`, "always", "consecutive or unified"],
    [`${ALPHA}/failure-accrual-success-rate-threshold`, "1.5", "a number from 0 to 1"],
    [`${ALPHA}/penalize-failures`, "yes", "true or false"],
  ])("%s: %s", (name, value, expected) => {
    const good = { [`${RETRY}/http`]: "503", [`${TIMEOUT}/response`]: "1s" };
    const { problems, timeouts } = serviceReliability({ ...good, [name]: value });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toStartWith(`Annotation ${name} is "${value}": expected `);
    expect(problems[0]).toContain(expected);
    expect(timeouts?.responseMs).toBe(1_000);
  });

  test("bounds that contradict each other", () => {
    const { accrual, problems } = serviceReliability({
      [`${BALANCER}/failure-accrual`]: "consecutive",
      [`${BALANCER}/failure-accrual-consecutive-min-penalty`]: "5m",
    });
    expect(problems).toHaveLength(1);
    expect(accrual?.backoff).toEqual({ minMs: 300_000, maxMs: 300_000, jitter: 0.5 });
  });
});

test("a second attempt, after a time or a share of the latency", () => {
  const read = (text: string) => serviceReliability({ "retry.malla.dev/hedge-after": text });
  const requestBytesMax = 65_536;
  expect(read("50ms").hedge).toEqual({ delayMs: 50, quantile: 0, requestBytesMax });
  expect(read("p95").hedge).toEqual({ delayMs: 0, quantile: 0.95, requestBytesMax });
  expect(read("p99.9").hedge?.quantile).toBeCloseTo(0.999);
  for (const bad of ["p20", "p100", "95", "0s", "soon"]) {
    const { hedge, problems } = read(bad);
    expect(hedge).toBeUndefined();
    expect(problems[0]).toContain(`retry.malla.dev/hedge-after is "${bad}"`);
  }
});
