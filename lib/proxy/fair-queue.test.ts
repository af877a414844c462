import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FairQueue, type Queued } from "./fair-queue.ts";

const item = (caller: string, beganAtMs = 0): Queued => ({ caller, beganAtMs });

describe("a queue of several callers", () => {
  test("serves callers in turn, each one's oldest", () => {
    const queue = new FairQueue<Queued>();
    const [a1, a2, a3, b1] = [item("a"), item("a"), item("a"), item("b")];
    for (const one of [a1, a2, a3, b1]) queue.push(one);
    expect([queue.take(), queue.take(), queue.take(), queue.take(), queue.take()])
      .toEqual([a1, b1, a2, a3, undefined]);
  });

  test("makes room at who has most, and never for who has as many", () => {
    const queue = new FairQueue<Queued>();
    const items = [item("a"), item("a"), item("a"), item("b")];
    for (const one of items) queue.push(one);
    expect(queue.displace("a")).toBeUndefined();
    expect(queue.displace("c")).toBe(items[2]!);
    expect(queue.displace("b")).toBeUndefined();
    expect(queue.length).toBe(3);
  });

  test("gives out whoever has waited too long, and forgets who leaves", () => {
    const queue = new FairQueue<Queued>();
    const [old, young, other] = [item("a", 10), item("a", 20), item("b", 15)];
    for (const one of [old, young, other]) queue.push(one);
    expect(queue.takeOlder(15)).toBe(old);
    expect(queue.remove(other)).toBe(true);
    expect(queue.remove(other)).toBe(false);
    expect(queue.takeOlder(15)).toBeUndefined();
    expect([queue.take(), queue.length]).toEqual([young, 0]);
  });

  test("whatever is done, it holds what came and did not leave", () => {
    const step = fc.record({
      does: fc.constantFrom("push", "take", "remove", "displace", "older"),
      caller: fc.constantFrom("a", "b", "c", "d"),
    });
    fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new FairQueue<Queued>();
      const held = new Set<Queued>();
      for (const [now, { does, caller }] of steps.entries()) {
        const mine = [...held].find((one) => one.caller === caller);
        let gone: Queued | undefined;
        if (does === "push") {
          const one = item(caller, now);
          queue.push(one);
          held.add(one);
        } else if (does === "take") gone = queue.take();
        else if (does === "displace") gone = queue.displace(caller);
        else if (does === "older") gone = queue.takeOlder(now - 10);
        else if (mine !== undefined && queue.remove(mine)) gone = mine;
        if (gone !== undefined) expect(held.delete(gone)).toBe(true);
        expect(queue.length).toBe(held.size);
      }
      for (let left = held.size; left > 0; left--) expect(held.delete(queue.take()!)).toBe(true);
      expect(queue.take()).toBeUndefined();
    }));
  });
});
