import { expect, test } from "bun:test";
import { Prng } from "./prng.ts";
import { SlidingPair } from "./sliding-pair.ts";

test("counts what happened within the span, less at most the oldest tenth", () => {
  const prng = new Prng(3);
  const pair = new SlidingPair(1_000, 500);
  const firsts: number[] = [];
  const seconds: number[] = [];
  let now = 500;
  for (let i = 0; i < 20_000; i++) {
    now += prng.chance(0.001) ? prng.below(5_000) : prng.below(10);
    if (prng.chance(0.3)) {
      pair.addSecond(now);
      seconds.push(now);
    } else {
      pair.addFirst(now);
      firsts.push(now);
    }
    if (i % 100 > 0) continue;
    const within = (times: readonly number[], ms: number) =>
      times.filter((at) => at > now - ms && at <= now).length;
    expect(pair.first).toBeGreaterThanOrEqual(within(firsts, 900));
    expect(pair.first).toBeLessThanOrEqual(within(firsts, 1_000));
    expect(pair.second).toBeGreaterThanOrEqual(within(seconds, 900));
    expect(pair.second).toBeLessThanOrEqual(within(seconds, 1_000));
  }
  pair.turn(now + 1_000);
  expect([pair.first, pair.second]).toEqual([0, 0]);
});
