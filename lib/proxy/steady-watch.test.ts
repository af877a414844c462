import { beforeEach, expect, test } from "bun:test";
import { FakeStreams, ManualClock } from "../../test/support/fake-control.ts";
import { Fault } from "../base/fault.ts";
import { isRefusal, SteadyWatch } from "./steady-watch.ts";

let clock: ManualClock;
let streams: FakeStreams<string>;
let told: string[];
let watch: SteadyWatch<string>;

beforeEach(() => {
  clock = new ManualClock();
  streams = new FakeStreams();
  told = [];
  const times = { initialMs: 3_000, idleMs: 300_000, lifetimeMs: 3_600_000 };
  watch = new SteadyWatch<string>({ clock, random: () => 0, times }, {
    open: (sink) => streams.watch("a", sink),
    next: (value, full) => void told.push(full ? `full ${value}` : value),
    failed: (fault) => void told.push(fault instanceof Fault ? fault.code : "?"),
    isFinal: isRefusal,
  }).start();
});

test("the first value of a stream is full state, the others are changes", () => {
  streams.next("a", "1");
  streams.next("a", "2");
  expect(told).toEqual(["full 1", "2"]);
});

test("a failed stream is opened again, later each time, and tells full state", () => {
  const waits = [100, 200, 400];
  for (const [index, wait] of waits.entries()) {
    streams.fail("a", new Fault("unavailable", "gone"));
    clock.advance(wait - 1);
    expect(streams.opened.length).toBe(index + 1);
    clock.advance(1);
    expect(streams.opened.length).toBe(index + 2);
  }
  streams.next("a", "1");
  expect(told).toEqual(["unavailable", "unavailable", "unavailable", "full 1"]);
  // The success begins the back-off anew.
  streams.fail("a", new Fault("unavailable", "gone"));
  clock.advance(100);
  expect(streams.opened.length).toBe(5);
});

test("a stream that says nothing at its start is given up and tried again", () => {
  clock.advance(2_999);
  expect(told).toEqual([]);
  clock.advance(1);
  expect(told).toEqual(["deadline_exceeded"]);
  expect(streams.count).toBe(0);
  clock.advance(100);
  expect(streams.count).toBe(1);
});

test("a refusal ends the watch", () => {
  streams.fail("a", new Fault("invalid_argument", "no such thing"));
  clock.advance(1_000_000);
  expect(told).toEqual(["invalid_argument"]);
  expect(streams.opened.length).toBe(1);
  expect(clock.pending).toBe(0);
});

test("a silent stream is opened anew without a fault", () => {
  streams.next("a", "1");
  clock.advance(200_000);
  streams.next("a", "2");
  clock.advance(299_999);
  expect(streams.opened.length).toBe(1);
  clock.advance(1);
  expect(streams.opened.length).toBe(2);
  expect(streams.count).toBe(1);
  streams.next("a", "3");
  expect(told).toEqual(["full 1", "2", "full 3"]);
});

test("an old stream is opened anew though it speaks", () => {
  for (let second = 0; second < 3_600; second += 100) {
    streams.next("a", "x");
    clock.advance(100_000);
  }
  expect(streams.opened.length).toBe(2);
});

test("a stopped watch leaves nothing behind and takes nothing more", () => {
  const [sink] = streams.open.get("a") ?? [];
  watch.stop();
  sink?.next("late");
  sink?.fail(new Fault("unavailable", "late"));
  expect(told).toEqual([]);
  expect(streams.count).toBe(0);
  expect(clock.pending).toBe(0);
});

test("what an abandoned stream says late is not heard", () => {
  const [old] = streams.open.get("a") ?? [];
  clock.advance(3_100);
  old?.next("late");
  streams.next("a", "new");
  expect(told).toEqual(["deadline_exceeded", "full new"]);
});

test("a stream may answer or fail before it is returned", () => {
  const values: string[] = [];
  let tries = 0;
  let unwatched = 0;
  new SteadyWatch<string>(
    { clock, random: () => 0, times: { initialMs: 1_000, idleMs: 1e6, lifetimeMs: 1e7 } },
    {
      open(sink) {
        if (tries++ === 0) sink.fail(new Fault("unavailable", "at once"));
        else sink.next("at once");
        return () => void unwatched++;
      },
      next: (value) => void values.push(value),
      failed: () => {},
      isFinal: isRefusal,
    },
  ).start();
  expect(unwatched).toBe(1);
  clock.advance(100);
  expect(values).toEqual(["at once"]);
  expect(unwatched).toBe(1);
});
