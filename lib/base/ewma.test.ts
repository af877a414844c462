import { expect, test } from "bun:test";
import { PeakEwma } from "./ewma.ts";

test("the default stands until there are samples, and fades", () => {
  const ewma = new PeakEwma(30, 10_000, 0);
  expect(ewma.value(0)).toBe(30);
  expect(ewma.value(10_000)).toBeCloseTo(30 / Math.E);
});

test("a slower sample counts at once, a faster one by the time that has passed", () => {
  const ewma = new PeakEwma(30, 10_000, 0);
  ewma.observe(500, 100);
  expect(ewma.value(100)).toBe(500);
  ewma.observe(10, 100);
  expect(ewma.value(100)).toBe(500);
  ewma.observe(10, 10_100);
  expect(ewma.value(10_100)).toBeCloseTo(500 / Math.E + 10 * (1 - 1 / Math.E));
});

test("many samples bring the estimate to their level", () => {
  const ewma = new PeakEwma(1_000, 10_000, 0);
  for (let now = 0; now <= 100_000; now += 100) ewma.observe(20, now);
  expect(ewma.value(100_000)).toBeGreaterThan(19.9);
  expect(ewma.value(100_000)).toBeLessThan(20.2);
});

test("looking does not change, and a clock that stands still or goes back does no harm", () => {
  const ewma = new PeakEwma(30, 1_000, 5_000);
  expect(ewma.value(9_000)).toBe(ewma.value(9_000));
  ewma.observe(40, 4_000);
  expect(ewma.value(4_000)).toBe(40);
  expect(ewma.value(6_000)).toBeCloseTo(40 / Math.E);
});
