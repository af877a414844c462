import { expect, test } from "bun:test";
import fc from "fast-check";
import { Deadline, TimerWheel } from "./wheel.ts";

test("a deadline expires once, at the first tick at or after it", () => {
  const expired: string[] = [];
  const wheel = new TimerWheel(0, 10, 8);
  const entry = new Deadline("a", (owner: string) => expired.push(owner));
  wheel.schedule(entry, 25);
  wheel.tick(20);
  expect(expired).toEqual([]);
  wheel.tick(30);
  expect(expired).toEqual(["a"]);
  expect(wheel.size).toBe(0);
  wheel.tick(1_000);
  expect(expired).toEqual(["a"]);
});

test("a postponed deadline does not expire early, an advanced one not late", () => {
  const expired: string[] = [];
  const record = (owner: string) => expired.push(owner);
  const wheel = new TimerWheel(0, 10, 8);
  const later = new Deadline("later", record);
  const sooner = new Deadline("sooner", record);
  wheel.schedule(later, 20);
  wheel.schedule(later, 55);
  wheel.schedule(sooner, 75);
  wheel.schedule(sooner, 40);
  wheel.tick(50);
  expect(expired).toEqual(["sooner"]);
  wheel.tick(60);
  expect(expired).toEqual(["sooner", "later"]);
});

test("a cancelled deadline never expires, and can be used again", () => {
  const expired: string[] = [];
  const wheel = new TimerWheel(0, 10, 8);
  const entry = new Deadline("a", (owner: string) => expired.push(owner));
  wheel.cancel(entry);
  wheel.schedule(entry, 20);
  wheel.cancel(entry);
  expect(wheel.size).toBe(0);
  wheel.tick(100);
  expect(expired).toEqual([]);
  wheel.schedule(entry, 110);
  wheel.tick(110);
  expect(expired).toEqual(["a"]);
});

test("an expiry may cancel its neighbours and schedule itself again", () => {
  const expired: number[] = [];
  const wheel = new TimerWheel(0, 10, 4);
  const entries: Deadline<number>[] = [];
  for (let i = 0; i < 6; i++) {
    entries.push(
      new Deadline(i, (owner) => {
        expired.push(owner);
        for (const other of entries) if (other.owner !== owner) wheel.cancel(other);
        wheel.schedule(entries[owner]!, 10);
      }),
    );
  }
  for (const entry of entries) wheel.schedule(entry, 5);
  wheel.tick(10);
  expect(expired.length).toBe(1);
  expect(wheel.size).toBe(1);
  wheel.tick(20);
  expect(expired).toEqual([expired[0]!, expired[0]!]);
});

test("an expiry may cancel just the entry that would be next", () => {
  const expired: number[] = [];
  const wheel = new TimerWheel(0, 10, 4);
  const entries: Deadline<number>[] = [0, 1, 2, 3, 4, 5].map((owner) =>
    new Deadline(owner, (owner: number) => {
      expired.push(owner);
      const neighbour = entries[owner - 1];
      if (neighbour !== undefined) wheel.cancel(neighbour);
    })
  );
  for (const entry of entries) wheel.schedule(entry, 5);
  wheel.tick(10);
  expect(expired).toEqual([5, 3, 1]);
  expect(wheel.size).toBe(0);
});

test("a wheel that sleeps for many turns expires everything that is due", () => {
  const expired: number[] = [];
  const wheel = new TimerWheel(0, 10, 4);
  for (let at = 5; at <= 500; at += 5) {
    wheel.schedule(new Deadline(at, (owner: number) => expired.push(owner)), at);
  }
  wheel.tick(250);
  expect(expired.length).toBe(50);
  expect(Math.max(...expired)).toBe(250);
  for (let now = 260; now <= 500; now += 10) wheel.tick(now);
  expect(expired.length).toBe(100);
});

test("any mix of schedules, cancels and ticks expires what a list would", () => {
  const step = fc.record({
    kind: fc.constantFrom("schedule", "schedule", "cancel", "tick", "tick"),
    entry: fc.nat(7),
    by: fc.nat(300),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const wheel = new TimerWheel(0, 10, 8);
      const expired = new Set<number>();
      const entries = Array.from(
        { length: 8 },
        (_, owner) => new Deadline(owner, (o: number) => expired.add(o)),
      );
      const model = new Map<number, number>();
      let now = 0;
      for (const { kind, entry, by } of steps) {
        if (kind === "schedule") {
          wheel.schedule(entries[entry]!, now + by);
          model.set(entry, now + by);
        } else if (kind === "cancel") {
          wheel.cancel(entries[entry]!);
          model.delete(entry);
        } else {
          // One tick at a time, as the owner drives it: then nothing is late.
          const target = now - (now % 10) + 10 * (1 + (by % 5));
          while (now < target) {
            now = Math.min(target, now - (now % 10) + 10);
            expired.clear();
            wheel.tick(now);
            for (const owner of expired) {
              expect(model.get(owner)!).toBeLessThanOrEqual(now);
              model.delete(owner);
            }
            for (const due of model.values()) expect(due).toBeGreaterThan(now - 10);
          }
        }
        expect(wheel.size).toBe(model.size);
      }
    }),
    { seed: 1, numRuns: 200 },
  );
});
