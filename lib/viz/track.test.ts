/** History of one number: windows, resets, the ring's limit; and quantiles by Prometheus' rule. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { HISTORY_SAMPLES_MAX } from "../base/limits.ts";
import { Buckets } from "./quantile.ts";
import { Track } from "./track.ts";

test("an increase is counted from the value at the window's begin", () => {
  const track = new Track("counter", 10);
  [[1, 12], [2, 15], [3, 15], [4, 20]].forEach(([time = 0, value = 0]) => track.push(time, value));
  expect(track.increaseSince(0)).toBe(10);
  expect(track.increaseSince(1)).toBe(8);
  expect(track.increaseSince(2.5)).toBe(5);
  expect(track.increaseSince(4)).toBe(0);
  expect(track.at(0.5)).toBe(10);
});

test("a counter that starts again goes on from where it was", () => {
  const track = new Track("counter", 0);
  track.push(1, 100);
  track.push(2, 3);
  track.push(3, 5);
  expect(track.latest()).toBe(105);
  expect(track.increaseSince(1)).toBe(5);
});

test("a gauge may fall", () => {
  const track = new Track("gauge", 0);
  track.push(1, 5);
  track.push(2, 2);
  expect(track.latest()).toBe(2);
});

test("beyond the limit the oldest changes are folded into the base", () => {
  const track = new Track("counter", 0);
  for (let time = 1; time <= HISTORY_SAMPLES_MAX + 50; time++) track.push(time, time);
  expect(track.at(50)).toBe(50);
  expect(track.at(10)).toBe(50);
  expect(track.increaseSince(HISTORY_SAMPLES_MAX)).toBe(50);
});

test("a track answers as a plain list of all readings would", () => {
  const steps = fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(5)), { maxLength: 300 });
  fc.assert(fc.property(steps, fc.nat(900), (pairs, wanted) => {
    const track = new Track("counter", 0);
    let time = 0;
    let value = 0;
    let expected = 0;
    for (const [pause, growth] of pairs) {
      time += pause;
      value += growth;
      track.push(time, value);
      if (time <= wanted) expected = value;
    }
    expect(track.at(wanted)).toBe(expected);
  }));
});

/** Counts below each bound, as the exposition has them. */
function buckets(...counts: [number, number][]): Buckets {
  const made = new Buckets();
  for (const [bound, count] of counts) made.add(bound, count);
  return made;
}

test.each([
  // The first three are worked examples of linear interpolation; the last finite bound ends it.
  [buckets([10, 100], [20, 100], [Infinity, 100]), 0.5, 5],
  [buckets([10, 50], [20, 100], [Infinity, 100]), 0.75, 15],
  [buckets([10, 50], [20, 90], [50, 100], [Infinity, 100]), 0.95, 35],
  [buckets([10, 50], [20, 90], [Infinity, 100]), 0.99, 20],
  [buckets([10, 0], [20, 0], [Infinity, 4]), 0.5, 20],
  [buckets([10, 0], [20, 10], [Infinity, 10]), 1, 20],
  [buckets([10, 10], [20, 10], [Infinity, 10]), 0, 0],
])("a worked quantile", (made, q, expected) => {
  expect(made.quantile(q)).toBeCloseTo(expected, 9);
});

test("no observations have no quantile", () => {
  expect(new Buckets().quantile(0.5)).toBeNull();
  expect(buckets([10, 0], [Infinity, 0]).quantile(0.5)).toBeNull();
});

test("buckets of several proxies add up", () => {
  const sum = buckets([10, 50], [20, 100], [Infinity, 100]);
  sum.addAll(buckets([10, 0], [20, 100], [Infinity, 100]));
  expect(sum.quantile(0.25)).toBeCloseTo(10, 9);
});
