/** Traces in heads: what is continued, what is not, and what the next hop gets. */

import { describe, expect, test } from "bun:test";
import { asciiBytes, asciiText } from "../base/bytes.ts";
import { RequestHead } from "../wire/http/mod.ts";
import { parseRequestHead } from "../wire/http1/mod.ts";
import { replaceSpan, traceOf } from "./trace-context.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const SHORT_TRACE = "a3ce929d0e0e4736";
const SPAN = "00f067aa0ba902b7";
const OWN = new Uint8Array([1, 2, 3, 4, 5, 6, 0xab, 0xff]);
const OWN_TEXT = "010203040506abff";

function headOf(...fields: readonly string[]): RequestHead {
  const head = new RequestHead();
  const bytes = asciiBytes(["GET / HTTP/1.1", "host: web", ...fields, "", ""].join("\r\n"));
  expect(parseRequestHead(bytes, 0, bytes.length, head, 0)).toBe(bytes.length);
  return head;
}

const hex = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("hex");

describe("is continued", () => {
  const single = `b3: ${TRACE}-${SPAN}-1`;
  test.each([
    [[`traceparent: 00-${TRACE}-${SPAN}-01`], TRACE],
    [[`Traceparent: 00-${TRACE}-${SPAN}-03`], TRACE],
    [[`traceparent: cc-${TRACE}-${SPAN}-01-what-comes-later`], TRACE],
    [[single], TRACE],
    [[`b3: ${SHORT_TRACE}-${SPAN}-d-05e3ac9a4f6e3b90`], SHORT_TRACE.padStart(32, "0")],
    [[`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`, "x-b3-sampled: 1"], TRACE],
    [[`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`, "x-b3-flags: 1"], TRACE],
  ])("%p", (fields, trace) => {
    const found = traceOf(headOf(...fields));
    expect([hex(found?.traceId), hex(found?.parentId)]).toEqual([trace, SPAN]);
  });

  test("with the caller's state", () => {
    const head = headOf(`traceparent: 00-${TRACE}-${SPAN}-01`, "tracestate: a=b");
    expect(traceOf(head)?.traceState).toBe("a=b");
  });
});

test.each([
  [["x-request-id: 1"]],
  [[`traceparent: 00-${TRACE}-${SPAN}-00`]],
  [[`traceparent: ff-${TRACE}-${SPAN}-01`]],
  [[`traceparent: 00-${TRACE}-${SPAN}-01-more`]],
  [[`traceparent: 00-${"0".repeat(32)}-${SPAN}-01`]],
  [[`traceparent: 00-${TRACE}-${"0".repeat(16)}-01`]],
  [[`traceparent: 00-${TRACE.replace("4", "x")}-${SPAN}-01`]],
  [["traceparent: 00-1-2-01"]],
  [["b3: 0"]],
  [[`b3: ${TRACE}-${SPAN}`]],
  [[`b3: ${TRACE}-${SPAN}-0`]],
  [[`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`]],
  [[`x-b3-traceid: ${TRACE}`, `x-b3-spanid: ${SPAN}`, "x-b3-sampled: 0"]],
  [["x-b3-traceid: 123", `x-b3-spanid: ${SPAN}`, "x-b3-sampled: 1"]],
])("is no sampled trace: %p", (fields) => {
  expect(traceOf(headOf(...fields))).toBeNull();
});

test("the next hop gets our span in the place of the caller's, in every form", () => {
  const head = headOf(
    `traceparent: 00-${TRACE}-${SPAN}-01`,
    `b3: ${TRACE}-${SPAN}-1`,
    `x-b3-traceid: ${TRACE}`,
    `x-b3-spanid: ${SPAN}`,
    "x-b3-parentspanid: 05e3ac9a4f6e3b90",
  );
  const before = asciiText(head.bytes, head.start, head.end);
  replaceSpan(head, OWN, new Uint8Array(Buffer.from(SPAN, "hex")));
  const after = asciiText(head.bytes, head.start, head.end);
  expect(after).toBe(
    before.replaceAll(SPAN, OWN_TEXT).replace("05e3ac9a4f6e3b90", SPAN),
  );
});
