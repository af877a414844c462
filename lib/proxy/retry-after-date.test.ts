/** The forms of `Retry-After`, seconds and dates, by a clock that stands. */

import { expect, test } from "bun:test";
import { HandClock } from "../../test/support/path-environment.ts";
import { asciiBytes } from "../base/bytes.ts";
import { ResponseHead } from "../wire/http/mod.ts";
import { parseResponseHead } from "../wire/http1/mod.ts";
import { retryAfterMs } from "./retry-after.ts";

const NOW = "Wed, 21 Oct 2026 07:28:00 GMT";

/** What a response with this field asks for, half a second after `NOW`. */
function askedFor(field: string): number {
  const bytes = asciiBytes(`HTTP/1.1 503 X\r\n${field}content-length: 0\r\n\r\n`);
  const head = new ResponseHead();
  expect(parseResponseHead(bytes, 0, bytes.length, head)).toBe(bytes.length);
  const clock = new HandClock();
  // Only the time of day is to be compared with a date.
  clock.nowMs = () => Date.parse(NOW) + 500;
  return retryAfterMs(head, clock);
}

test.each([
  ["20", 20_000],
  ["Wed, 21 Oct 2026 07:28:20 GMT", 19_500],
  ["Thu, 22 Oct 2026 07:28:00 GMT", 86_399_500],
  // The name of the day says nothing more.
  ["Mon, 21 Oct 2026 07:28:20 GMT", 19_500],
])("%s is so far away", (value, ms) => {
  expect(askedFor(`Retry-After: ${value}\r\n`)).toBe(ms);
  expect(askedFor(`x-first: 1\r\nretry-after:   ${value}  \r\n`)).toBe(ms);
});

test.each([
  NOW,
  "Wed, 21 Oct 1926 07:28:00 GMT",
  "0",
  "-20",
  "soon",
  "2026-10-21T07:28:20Z",
  "Wed Oct 21 07:28:20 2026",
  "Wed, 21 Oct 2026 07:28:20 CET",
  "Wed, 21 Oct 2026 07:28:61 GMT",
  "Wed, 99 Oct 2026 07:28:20 GMT",
  "Wed, 21 Foo 2026 07:28:20 GMT",
  "Wed, 21 Oct 2026 07:28:20 GMT, 5",
  "",
])("%s asks for nothing", (value) => {
  expect(askedFor(`retry-after: ${value}\r\n`)).toBe(0);
});

test("nor does a response without the field", () => {
  expect(askedFor("")).toBe(0);
});
