import { describe, expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import { DETECT_BYTES_MAX } from "../../base/limits.ts";
import { Detected, detectProtocol } from "./mod.ts";

function detect(text: string): Detected {
  return detectProtocol(asciiBytes(text), 0, text.length);
}

/** How many bytes it takes until there is an answer. */
function decidedAfter(text: string): number {
  for (let end = 0; end <= text.length; end++) {
    if (detect(text.slice(0, end)) !== Detected.MORE) return end;
  }
  return Infinity;
}

describe("HTTP/1 is known by its version", () => {
  for (
    const text of [
      "GET / HTTP/1.1\r\n",
      "get /x HTTP/1.0\r\n",
      "CONNECT a:80 HTTP/1.",
      "OPTIONS * HTTP/1.1",
      "VERSION-CONTROL /\xe9?q HTTP/1.1",
      "PRIVATE / HTTP/1.1",
      "PRI / HTTP/1.1",
      "P * HTTP/1.1",
      `GET /${"x".repeat(DETECT_BYTES_MAX - 20)} HTTP/1.1`,
    ]
  ) {
    test(JSON.stringify(text.slice(0, 40)), () => {
      expect(detect(text)).toBe(Detected.HTTP1);
      expect(decidedAfter(text)).toBe(text.indexOf("HTTP/1.") + 7);
    });
  }
});

test("HTTP/2 is known by its preface", () => {
  expect(detect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).toBe(Detected.HTTP2);
  expect(decidedAfter("PRI * HTTP/2.0\r\n")).toBe(14);
});

describe("anything else is opaque, from the first byte that tells", () => {
  const cases: readonly [string, number][] = [
    ["\x16\x03\x01\x02\x00", 1],
    ["*1\r\n$4\r\nPING\r\n", 1],
    ["\x00\x00\x00\x08\x04\xd2\x16\x2f", 1],
    ["PING\r\n", 5],
    ["SSH-2.0-OpenSSH_9.6\r\n", 5],
    ["get key\r\n", 8],
    ["GET  / HTTP/1.1", 5],
    ["GET / HTTP/2.0", 12],
    ["GET / http/1.1", 7],
    ["GET /\r\n", 6],
    [" GET / HTTP/1.1", 1],
    ["\r\nGET / HTTP/1.1", 1],
    ["ABCDEFGHIJKLMNOPQRST / HTTP/1.1", 17],
    ["PRI * HTTP/3.0", 12],
    ["POST /\x00 HTTP/1.1", 7],
    ["GET /#f HTTP/1.1", 6],
  ];
  for (const [text, after] of cases) {
    test(JSON.stringify(text), () => {
      expect(detect(text)).toBe(Detected.OPAQUE);
      expect(decidedAfter(text)).toBe(after);
    });
  }
});

test("nothing yet is undecided", () => {
  for (const text of ["", "P", "PRI * HTTP/", "GET", "GET ", "GET /", "GET / HTT"]) {
    expect([text, detect(text)]).toEqual([text, Detected.MORE]);
  }
});

test("a target without an end is given up at the limit, whatever follows", () => {
  const text = `GET /${"x".repeat(2 * DETECT_BYTES_MAX)}`;
  expect(decidedAfter(text)).toBe(DETECT_BYTES_MAX);
  expect(detect(`${text} HTTP/1.1\r\n`)).toBe(Detected.OPAQUE);
});
