import { expect, test } from "bun:test";
import { Prng, seededRandom } from "./prng.ts";

test("a seed gives the same numbers on every runtime", () => {
  const prng = new Prng(42);
  const golden = [145076852, 3246010591, 4141225530, 2162305750];
  expect(golden.map(() => prng.uint32())).toEqual(golden);
});

test("seeds that differ anywhere in 53 bits give different numbers", () => {
  const seeds = [0, 1, -1, 2 ** 32, 2 ** 52, Number.MAX_SAFE_INTEGER];
  expect(new Set(seeds.map((seed) => new Prng(seed).uint32())).size).toBe(seeds.length);
});

test("numbers are spread evenly over the range", () => {
  const prng = new Prng(7);
  const counts = new Array<number>(16).fill(0);
  for (let i = 0; i < 16_000; i++) counts[prng.below(16)]!++;
  for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150);
});

test("bounds hold", () => {
  const prng = new Prng(3);
  const random = seededRandom(3);
  for (let i = 0; i < 2_000; i++) {
    const float = random();
    expect(float >= 0 && float < 1).toBe(true);
    const value = prng.between(5, 7);
    expect(value >= 5 && value <= 7).toBe(true);
    expect(["a", "b"]).toContain(prng.pick(["a", "b"]));
  }
  expect(prng.chance(0)).toBe(false);
  expect(prng.chance(1)).toBe(true);
  expect(new Set(prng.bytes(4_096)).size).toBe(256);
});
