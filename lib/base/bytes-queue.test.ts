import { expect, test } from "bun:test";
import fc from "fast-check";
import { ByteBuffer } from "./bytes.ts";
import { BytesQueue } from "./bytes-queue.ts";

/** Pushes ranges of one array, lasting or not, or takes a part of what waits. */
const step = fc.oneof(
  fc.record({ push: fc.array(fc.nat(200), { maxLength: 3 }), lasting: fc.boolean() }),
  fc.record({ take: fc.nat(300) }),
  fc.constant({ clear: true }),
);

test("what is taken is what was pushed, in its order, however both are cut", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = new BytesQueue();
      const out = new ByteBuffer();
      let next = 0;
      let model: number[] = [];
      for (const each of steps) {
        if ("push" in each) {
          const ranges = each.push.map((size) => Array.from({ length: size }, () => next++ & 0xff));
          // Something stands around each in the array, unless it is empty.
          const gap = (size: number) => size === 0 ? [] : [1, 2, 3];
          const array = Uint8Array.from(
            ranges.flatMap((range) => [...gap(range.length), ...range]),
          );
          let at = 0;
          for (const range of ranges) {
            at += gap(range.length).length;
            queue.push(array, at, at + range.length, each.lasting);
            at += range.length;
          }
          if (!each.lasting) array.fill(0xee);
          model.push(...ranges.flat());
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

test("few arrays are kept alive, however many ranges of them wait", () => {
  const queue = new BytesQueue();
  const arrays = [1, 2, 3].map((value) => new Uint8Array(6).fill(value));
  for (const array of arrays) {
    queue.push(array, 0, 2, true);
    queue.push(array, 2, 4, true);
    queue.push(array, 5, 6, true);
  }
  for (const array of arrays) array.fill(9);
  const out = new ByteBuffer();
  queue.take(15, out);
  // Two are as they are now, the third is as it was.
  expect([...out.bytes.subarray(0, 15)]).toEqual([...Array(10).fill(9), ...Array(5).fill(3)]);
});

test("a lasting chunk is not copied until it is taken, and what was taken is appended", () => {
  const queue = new BytesQueue();
  const array = Uint8Array.of(1, 2, 3, 4);
  queue.push(array, 1, 4, true);
  array[1] = 9;
  const out = new ByteBuffer();
  out.append(Uint8Array.of(7), 0, 1);
  queue.take(2, out);
  expect([...out.bytes.subarray(out.start, out.end)]).toEqual([7, 9, 3]);
  expect(queue.length).toBe(1);
});
