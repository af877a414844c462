import { expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import { FieldName } from "./field-name.ts";
import { ResponseHead } from "./head.ts";

function headOf(status: number, count: number): ResponseHead {
  const head = new ResponseHead();
  head.status = status;
  head.http2 = true;
  addFields(head, count);
  return head;
}

function addFields(head: ResponseHead, count: number): void {
  for (let i = 0; i < count; i++) {
    const line = asciiBytes(`x-${i}: ${head.status}-${i}\r\n`);
    head.append(line, 0, `x-${i}`.length, line.length - 2, FieldName.OTHER);
  }
}

function textOf(head: ResponseHead): string {
  const fields = Array.from(
    { length: head.count },
    (_, i) => `${head.headerName(i)}: ${head.headerText(i)}`,
  );
  return [`${head.status} ${head.http2}`, ...fields].join("\n");
}

test("a copy is like its head, whatever was copied into it before", () => {
  const copy = new ResponseHead();
  for (const count of [0, 3, 200, 17, 16, 1, 0, 33]) {
    const head = headOf(200 + count, count);
    const expected = textOf(head);
    head.copyTo(copy);
    head.reset();
    addFields(head, 50);
    expect(textOf(copy)).toBe(expected);
  }
});
