import { expect, test } from "bun:test";
import { isFailure } from "./failure.ts";

test("HTTP fails from 500 on", () => {
  expect([0, 200, 404, 499, 500, 503, 599].filter((status) => isFailure(status, -1)))
    .toEqual([500, 503, 599]);
});

test("gRPC fails by what says that the server has, whatever HTTP says", () => {
  const statuses = Array.from({ length: 18 }, (_, i) => i - 1);
  expect(statuses.filter((status) => isFailure(200, status))).toEqual([2, 4, 7, 13, 14, 15]);
  expect(isFailure(503, 0)).toBe(true);
});
