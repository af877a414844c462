import { expect, test } from "bun:test";
import { fieldLinesOf, ResponseHead } from "../wire/http/mod.ts";
import { HeldHeads } from "./held-heads.ts";

function headOf(status: number, count: number): ResponseHead {
  const head = new ResponseHead();
  head.status = status;
  head.http2 = true;
  const names = Array.from({ length: count }, (_, i) => [`x-${i}`, `${status}-${i}`] as const);
  head.appendAll(fieldLinesOf(names));
  return head;
}

function textOf(head: ResponseHead): string {
  const fields = Array.from(
    { length: head.count },
    (_, i) => `${head.headerName(i)}: ${head.headerText(i)}`,
  );
  return [`${head.status} ${head.http2}`, ...fields].join("\n");
}

test("a copy is like its head, whatever was copied into it before", () => {
  const heads = new HeldHeads();
  for (const count of [0, 3, 200, 17, 16, 1, 0, 33]) {
    const head = headOf(200 + count, count);
    const expected = textOf(head);
    const held = heads.hold(head);
    head.reset();
    head.appendAll(headOf(500, 50));
    expect(textOf(held)).toBe(expected);
    heads.giveBack(held);
  }
});

test("two that wait at a time are two", () => {
  const heads = new HeldHeads();
  const [a, b] = [heads.hold(headOf(200, 2)), heads.hold(headOf(503, 4))];
  expect([a.status, a.count, b.status, b.count]).toEqual([200, 2, 503, 4]);
  heads.giveBack(a);
  expect(heads.hold(headOf(404, 1))).toBe(a);
});
