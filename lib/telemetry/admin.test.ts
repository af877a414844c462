/** The admin endpoints as a function. */

import { expect, test } from "bun:test";
import { adminHandler } from "./admin.ts";
import { Registry } from "./registry.ts";

test("live, ready with its reasons, metrics that are fresh, and nothing else", async () => {
  const registry = new Registry();
  const gauge = registry.gauge("test_value", "A value.");
  let waiting: readonly string[] = ["a certificate", "objects"];
  let value = 0;
  const handler = adminHandler({
    registry,
    waitingFor: () => waiting,
    refresh: () => gauge.with({}).set(++value),
  });
  const ask = async (path: string, method = "GET"): Promise<[number, string]> => {
    const response = handler(new Request(`http://localhost${path}`, { method }));
    return [response.status, await response.text()];
  };
  expect(await ask("/live")).toEqual([200, "live\n"]);
  expect(await ask("/ready")).toEqual([503, "waiting for a certificate\nwaiting for objects\n"]);
  waiting = [];
  expect(await ask("/ready?verbose")).toEqual([200, "ready\n"]);
  expect((await ask("/metrics"))[1]).toContain("test_value 1\n");
  expect((await ask("/metrics"))[1]).toContain("test_value 2\n");
  expect((await ask("/shutdown"))[0]).toBe(404);
  expect((await ask("/ready", "POST"))[0]).toBe(405);
});
