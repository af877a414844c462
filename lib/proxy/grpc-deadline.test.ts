import { expect, test } from "bun:test";
import fc from "fast-check";
import { asciiBytes } from "../base/bytes.ts";
import { FieldLines, FieldName, RequestHead } from "../wire/http/mod.ts";
import { addGrpcTimeout, grpcTimeoutMs } from "./grpc-deadline.ts";

function headWith(value: string): RequestHead {
  const head = new RequestHead();
  const line = asciiBytes(`grpc-timeout: ${value}\r\n`);
  head.append(line, 0, "grpc-timeout".length, line.length - 2, FieldName.GRPC_TIMEOUT);
  return head;
}

test.each([
  ["1H", 3_600_000],
  ["2M", 120_000],
  ["3S", 3_000],
  ["40m", 40],
  ["5000u", 5],
  ["99999999n", 99.999_999],
  ["00000001S", 1_000],
])("%s is %d ms", (text, ms) => {
  expect(grpcTimeoutMs(headWith(text))).toBeCloseTo(ms, 9);
});

test("none, and what is none of gRPC's, is no timeout", () => {
  expect(grpcTimeoutMs(new RequestHead())).toBe(0);
  for (const text of ["", "S", "5", "5s", "-1S", "1.5S", " 1S", "100000000S", "5SS", "٣S"]) {
    expect(grpcTimeoutMs(headWith(text))).toBe(0);
  }
});

test("a time that is over is over", () => {
  for (const text of ["0S", "0n"]) expect(grpcTimeoutMs(headWith(text))).toBeWithin(1e-9, 1e-3);
});

test("what is left is written so that it reads the same, and never as more", () => {
  fc.assert(fc.property(fc.double({ min: 0.001, max: 9e10, noNaN: true }), (leftMs) => {
    const fields = new FieldLines();
    addGrpcTimeout(leftMs, fields);
    const text = fields.headerText(fields.findName(FieldName.GRPC_TIMEOUT));
    expect(text).toMatch(/^\d{1,8}[umS]$/);
    const read = grpcTimeoutMs(headWith(text));
    expect(read).toBeLessThanOrEqual(leftMs * (1 + 1e-9));
    expect(read).toBeGreaterThan(leftMs * 0.9899 - 0.001);
  }));
});

test.each([
  [-5, "1u"],
  [0, "1u"],
  [9.9999, "9999u"],
  [999.999_9, "999999u"],
  [1_000, "1000m"],
  [9_999.93, "9999m"],
  [99_999_998.5, "99999998m"],
  [1e8, "100000S"],
  [1e300, "99999999S"],
])("%d ms left is %s", (leftMs, text) => {
  const fields = new FieldLines();
  addGrpcTimeout(leftMs, fields);
  expect(fields.headerText(0)).toBe(text);
});
