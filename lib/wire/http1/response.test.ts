import { expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import { ResponseHead } from "../http/mod.ts";
import { parseResponseHead } from "./mod.ts";

const OK =
  "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Length: 615\r\nConnection: keep-alive\r\n\r\n";

function parse(text: string): { head: ResponseHead; bytes: Uint8Array; result: number } {
  const bytes = asciiBytes(text);
  const head = new ResponseHead();
  return { head, bytes, result: parseResponseHead(bytes, 0, bytes.length, head) };
}

test("status, version and headers are found", () => {
  const { head, result } = parse(OK + "body");
  expect(result).toBe(OK.length);
  expect(head.status).toBe(200);
  expect(head.versionMinor).toBe(1);
  expect(head.contentLength).toBe(615);
  expect(head.headerText(0)).toBe("nginx");
  expect(head.persistent()).toBe(true);
});

test("the reason is free text, may be empty, and its space may be missing", () => {
  for (const line of ["HTTP/1.1 404 Not \xe9 Found!", "HTTP/1.0 404 ", "HTTP/1.1 404"]) {
    const { head, result } = parse(`${line}\r\n\r\n`);
    expect([line, result, head.status]).toEqual([line, line.length + 4, 404]);
  }
});

test("any three digits from 100 on are a status", () => {
  for (const status of [100, 109, 190, 900, 999]) {
    expect(parse(`HTTP/1.1 ${status} x\r\n\r\n`).head.status).toBe(status);
  }
});

test("interim responses are told apart from final ones", () => {
  const interim = (status: number) => parse(`HTTP/1.1 ${status} x\r\n\r\n`).head.interim();
  expect([100, 103, 101, 200, 404].map(interim)).toEqual([true, true, false, false, false]);
});

test("chunked may be the last of several codings of a response", () => {
  const coding = (value: string) => {
    const { head, result } = parse(`HTTP/1.1 200 OK\r\nTransfer-Encoding: ${value}\r\n\r\n`);
    return result > 0 && head.chunked;
  };
  expect(coding("chunked")).toBe(true);
  expect(coding("gzip, Chunked")).toBe(true);
  expect(coding("gzip,chunked")).toBe(true);
  expect(coding("gzip , chunked")).toBe(true);
  for (
    const bad of [
      "chunked, gzip",
      "chunked,",
      "chunked ,",
      "chunked\t",
      "gzip,\tchunked",
      "gzip",
      "identity",
      "chunked, chunked",
      "",
      "xchunked",
    ]
  ) {
    expect([bad, coding(bad)]).toEqual([bad, false]);
  }
});

test("nothing behind the end is looked at", () => {
  const head = new ResponseHead();
  for (const text of [OK, "HTTP/1.0 404\r\n\r\n"]) {
    for (const poison of ["\0", "\r", "\n", " ", "x"]) {
      for (let split = 0; split < text.length; split++) {
        const bytes = asciiBytes(text.slice(0, split) + poison.repeat(20));
        expect([text, split, poison, parseResponseHead(bytes, 0, split, head)])
          .toEqual([text, split, poison, 0]);
      }
    }
  }
});

test("every split of the bytes gives the same head", () => {
  const bytes = asciiBytes(OK);
  const head = new ResponseHead();
  for (let split = 1; split < OK.length; split++) {
    expect(parseResponseHead(bytes, 0, split, head)).toBe(0);
    expect(parseResponseHead(bytes, 0, OK.length, head, head.scanned)).toBe(OK.length);
    expect([head.status, head.count, head.contentLength]).toEqual([200, 3, 615]);
  }
  for (let length = 1; length <= OK.length; length++) {
    const moved = new Uint8Array(OK.length + 9);
    moved.set(bytes.subarray(0, length), length % 9);
    const at = length % 9;
    const scanned = length === 1 ? 0 : head.scanned;
    const result = parseResponseHead(moved, at, at + length, head, scanned);
    expect(result).toBe(length === OK.length ? OK.length : 0);
    if (result > 0) expect(head.headerText(1)).toBe("615");
  }
});
