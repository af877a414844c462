import { describe, expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import { Method, RequestHead, ResponseHead } from "../http/mod.ts";
import {
  BodyFramer,
  BodyMode,
  frameRequest,
  frameResponse,
  parseRequestHead,
  parseResponseHead,
  startsTunnel,
} from "./mod.ts";

const CHUNKED = "Transfer-Encoding: chunked\r\n";
const LENGTH = "Content-Length: 7\r\n";

describe("requests", () => {
  const cases: readonly [string, BodyMode][] = [
    ["", BodyMode.NONE],
    ["Content-Length: 0\r\n", BodyMode.NONE],
    [LENGTH, BodyMode.LENGTH],
    [CHUNKED, BodyMode.CHUNKED],
  ];
  for (const [lines, mode] of cases) {
    test(JSON.stringify(lines), () => {
      const bytes = asciiBytes(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`);
      const head = new RequestHead();
      expect(parseRequestHead(bytes, 0, bytes.length, head)).toBe(bytes.length);
      const framer = new BodyFramer();
      frameRequest(framer, head);
      expect(framer.mode).toBe(mode);
      expect(framer.done).toBe(mode === BodyMode.NONE);
      expect(framer.remaining).toBe(mode === BodyMode.LENGTH ? 7 : 0);
    });
  }
});

describe("responses", () => {
  const { GET, HEAD, CONNECT } = Method;
  const cases: readonly [Method, number, string, BodyMode, boolean][] = [
    [GET, 200, LENGTH, BodyMode.LENGTH, false],
    [GET, 200, "Content-Length: 0\r\n", BodyMode.LENGTH, false],
    [GET, 200, CHUNKED, BodyMode.CHUNKED, false],
    [GET, 200, "", BodyMode.UNTIL_CLOSE, false],
    [GET, 500, "", BodyMode.UNTIL_CLOSE, false],
    [HEAD, 200, LENGTH, BodyMode.NONE, false],
    [HEAD, 200, CHUNKED, BodyMode.NONE, false],
    [HEAD, 404, "", BodyMode.NONE, false],
    [GET, 100, "", BodyMode.NONE, false],
    [GET, 103, "Content-Length: 0\r\n", BodyMode.NONE, false],
    [GET, 101, "", BodyMode.NONE, true],
    [GET, 204, LENGTH, BodyMode.NONE, false],
    [GET, 304, LENGTH, BodyMode.NONE, false],
    [CONNECT, 200, LENGTH, BodyMode.NONE, true],
    [CONNECT, 299, CHUNKED, BodyMode.NONE, true],
    [CONNECT, 300, LENGTH, BodyMode.LENGTH, false],
    [CONNECT, 403, LENGTH, BodyMode.LENGTH, false],
    [CONNECT, 502, "", BodyMode.UNTIL_CLOSE, false],
  ];
  for (const [method, status, lines, mode, tunnel] of cases) {
    test(`${status} to method ${method} with ${JSON.stringify(lines)}`, () => {
      const bytes = asciiBytes(`HTTP/1.1 ${status} x\r\n${lines}\r\n`);
      const head = new ResponseHead();
      expect(parseResponseHead(bytes, 0, bytes.length, head)).toBe(bytes.length);
      const framer = new BodyFramer();
      frameResponse(framer, head, method);
      expect(framer.mode).toBe(mode);
      expect(startsTunnel(head, method)).toBe(tunnel);
      if (lines === "Content-Length: 0\r\n") expect(framer.done).toBe(true);
    });
  }
});
