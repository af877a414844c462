import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteBuffer } from "../../base/bytes.ts";
import { SendQueue } from "./send-queue.ts";

/** Pushes so many bytes, lasting or not, or takes a part of what waits. */
const step = fc.oneof(
  fc.record({ push: fc.nat(200), lasting: fc.boolean() }),
  fc.record({ take: fc.nat(300) }),
  fc.constant({ clear: true }),
);

test("what is taken is what was pushed, in its order, however both are cut", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new SendQueue();
      const out = new ByteBuffer();
      let next = 0;
      let model: number[] = [];
      for (const each of steps) {
        if ("push" in each) {
          const bytes = Uint8Array.from({ length: each.push }, () => next++ & 0xff);
          // Something stands around it in the array.
          const array = Uint8Array.of(1, 2, 3, ...bytes, 4);
          queue.push(array, 3, 3 + bytes.length, each.lasting);
          if (!each.lasting) array.fill(0xee);
          model.push(...bytes);
        } else if ("take" in each) {
          const count = Math.min(each.take, queue.length);
          out.clear();
          queue.take(count, out);
          expect([...out.bytes.subarray(out.start, out.end)]).toEqual(model.splice(0, count));
        } else {
          queue.clear();
          model = [];
        }
        expect(queue.length).toBe(model.length);
      }
      out.clear();
      queue.take(queue.length, out);
      expect([...out.bytes.subarray(out.start, out.end)]).toEqual(model);
    }),
    { seed: 3, numRuns: 500 },
  );
});

test("a lasting chunk is not copied until it is taken, and what was taken is appended", () => {
  const queue = new SendQueue();
  const array = Uint8Array.of(1, 2, 3, 4);
  queue.push(array, 1, 4, true);
  array[1] = 9;
  const out = new ByteBuffer();
  out.append(Uint8Array.of(7), 0, 1);
  queue.take(2, out);
  expect([...out.bytes.subarray(out.start, out.end)]).toEqual([7, 9, 3]);
  expect(queue.length).toBe(1);
});
