import { expect, test } from "bun:test";
import { ManualClock } from "../../test/support/fake-control.ts";
import { Fault } from "../base/fault.ts";
import { type Logger, silentLogger } from "../telemetry/logger.ts";
import { StreamHealth } from "./stream-health.ts";

test("many failing streams are one line every now and then, and one more when it is over", () => {
  const lines: string[] = [];
  const log: Logger = {
    ...silentLogger,
    warn: (message, fields) => void lines.push(`${message} ${fields?.["error"]}`),
    info: (message) => void lines.push(message),
  };
  const clock = new ManualClock();
  const health = new StreamHealth("policy", clock, log);
  health.answered();
  expect(lines).toEqual([]);
  for (let stream = 0; stream < 40; stream++) health.failed(new Fault("unavailable", "gone"));
  expect(lines).toEqual(["control plane does not answer, using what is known gone"]);
  clock.advance(15_000);
  health.failed(new Fault("unavailable", "still gone"));
  expect(lines.length).toBe(2);
  health.answered();
  health.answered();
  expect(lines.slice(2)).toEqual(["control plane answers again"]);
  health.failed(new Fault("unavailable", "gone again"));
  expect(lines.length).toBe(4);
});
