import { expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { readProcessStats } from "./process-stats.ts";

test("the figures agree with what the process knows of itself", () => {
  const stats = readProcessStats();
  const uptime = process.uptime();
  expect(Math.abs(Date.now() / 1000 - uptime - stats.startTimeSeconds)).toBeLessThan(5);
  expect(stats.residentBytes).toBeGreaterThan(10 * 1024 * 1024);
  expect(stats.residentBytes).toBeLessThan(stats.virtualBytes);
  expect(stats.threads).toBeGreaterThan(0);
  expect(stats.maxFds).toBeGreaterThan(stats.openFds);
});

test("an open file is counted", () => {
  const before = readProcessStats().openFds;
  const fd = openSync("/proc/self/stat", "r");
  const during = readProcessStats().openFds;
  closeSync(fd);
  expect(during).toBe(before + 1);
});
