import { expect, test } from "bun:test";
import { systemClock } from "./clock.ts";

test("a time that is over already comes soon, and nobody is warned", async () => {
  const warnings: Error[] = [];
  const heard = (warning: Error) => void warnings.push(warning);
  process.on("warning", heard);
  try {
    await new Promise<void>((resolve) => systemClock.after(-0.3, resolve));
    // A warning is told in a turn of its own.
    await new Promise<void>((resolve) => systemClock.afterTurn(resolve));
    expect(warnings).toEqual([]);
  } finally {
    process.off("warning", heard);
  }
});
