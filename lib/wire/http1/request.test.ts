import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { asciiBytes } from "../../base/bytes.ts";
import { HEADER_BYTES_MAX, HEADER_COUNT_MAX } from "../../base/limits.ts";
import { Method, RequestHead, TargetForm } from "../http/mod.ts";
import { parseRequestHead } from "./mod.ts";

const CURL = "GET /a?b=c HTTP/1.1\r\nHost: web:8080\r\nUser-Agent: curl/8.5\r\nAccept: */*\r\n\r\n";

const VALID = [
  CURL,
  "GET / HTTP/1.0\r\n\r\n",
  "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
  "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
  "POST /up HTTP/1.1\r\nhost:a\r\ntransfer-encoding:chunked\r\n\r\n",
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
  "CONNECT db.example:5432 HTTP/1.1\r\nHost: db.example:5432\r\n\r\n",
  "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "GET http://other:81/x?y HTTP/1.1\r\nHost: web\r\nl5d-client-id: me\r\n\r\n",
  "M-SEARCH /\xc3\xa9 HTTP/1.1\r\nHost: [::1]:80\r\nX-Raw:\t\xe9\xff \t\r\nX-Empty:\r\n\r\n",
];

function parse(text: string): { head: RequestHead; bytes: Uint8Array; result: number } {
  const bytes = asciiBytes(text);
  const head = new RequestHead();
  return { head, bytes, result: parseRequestHead(bytes, 0, bytes.length, head) };
}

/** Everything that a head tells, in a form that does not depend on where the bytes stand. */
function facts(head: RequestHead): Record<string, unknown> {
  const { versionMinor, contentLength, chunked, connectionClose, connectionKeepAlive } = head;
  const { connectionUpgrade, connectionNames, hasUpgrade, upgradeH2c, expectContinue } = head;
  const { hasMeshHeaders, hasHopByHop, method, targetForm } = head;
  const headers: [string, string][] = [];
  for (let i = 0; i < head.count; i++) {
    headers.push([head.headerName(i), head.headerText(i)]);
  }
  return {
    ...{ versionMinor, contentLength, chunked, connectionClose, connectionKeepAlive },
    ...{ connectionUpgrade, connectionNames, hasUpgrade, upgradeH2c, expectContinue },
    ...{ hasMeshHeaders, hasHopByHop, method, targetForm, headers },
    methodText: head.methodText(),
    target: head.targetText(),
    authority: head.authorityText(),
    length: head.end - head.start,
    fields: head.fieldsStart - head.start,
  };
}

test("a head's parts are found in place", () => {
  const { head, result } = parse(CURL + "next");
  expect(result).toBe(CURL.length);
  expect(facts(head)).toMatchObject({
    method: Method.GET,
    methodText: "GET",
    target: "/a?b=c",
    targetForm: TargetForm.ORIGIN,
    authority: "web:8080",
    versionMinor: 1,
    contentLength: -1,
    chunked: false,
    headers: [["Host", "web:8080"], ["User-Agent", "curl/8.5"], ["Accept", "*/*"]],
  });
  expect(head.persistent()).toBe(true);
  expect(head.find(asciiBytes("user-agent"))).toBe(1);
  expect(head.find(asciiBytes("user-agent"), 2)).toBe(-1);
});

test("what decides framing and forwarding is noted", () => {
  const length = parse(VALID[3]!);
  expect(length.head.contentLength).toBe(12);
  expect(length.head.expectContinue).toBe(true);
  expect(parse(VALID[4]!).head.chunked).toBe(true);
  const upgrade = parse(VALID[5]!).head;
  expect(upgrade.upgrades()).toBe(true);
  expect(upgrade.hasHopByHop).toBe(true);
  expect(upgrade.connectionNames).toBe(false);
  expect(parse(VALID[8]!).head.hasMeshHeaders).toBe(true);
  expect(parse(CURL).head.hasMeshHeaders).toBe(false);
});

describe("targets", () => {
  const cases: readonly [string, TargetForm, string][] = [
    [VALID[6]!, TargetForm.AUTHORITY, "db.example:5432"],
    [VALID[7]!, TargetForm.ASTERISK, "a"],
    [VALID[8]!, TargetForm.ABSOLUTE, "other:81"],
    ["GET http://a HTTP/1.0\r\n\r\n", TargetForm.ABSOLUTE, "a"],
    ["GET http://a?q HTTP/1.0\r\n\r\n", TargetForm.ABSOLUTE, "a"],
    ["GET / HTTP/1.0\r\n\r\n", TargetForm.ORIGIN, ""],
  ];
  for (const [text, form, authority] of cases) {
    test(JSON.stringify(text), () => {
      const { head, result } = parse(text);
      expect(result).toBe(text.length);
      expect(head.targetForm).toBe(form);
      expect(head.authorityText()).toBe(authority);
    });
  }
});

test("persistence follows version and Connection", () => {
  const persistent = (version: string, connection: string) =>
    parse(`GET / HTTP/${version}\r\nHost: a\r\n${connection}\r\n`).head.persistent();
  expect(persistent("1.1", "")).toBe(true);
  expect(persistent("1.1", "Connection: Close\r\n")).toBe(false);
  expect(persistent("1.1", "connection: foo ,\tclose\r\n")).toBe(false);
  expect(persistent("1.1", "connection: ,foo,close,\r\n")).toBe(false);
  expect(persistent("1.0", "")).toBe(false);
  expect(persistent("1.0", "Connection: keep-alive\r\n")).toBe(true);
  expect(persistent("1.0", "Connection: keep-alive\r\nConnection: close\r\n")).toBe(false);
  expect(persistent("1.1", "X-Connection: close\r\n")).toBe(true);
  expect(persistent("1.1", "Connection: not-close, closed\r\n")).toBe(true);
});

test("an upgrade needs both headers, HTTP/1.1, and something else than h2c", () => {
  const upgrades = (version: string, lines: string) =>
    parse(`GET / HTTP/${version}\r\nHost: a\r\n${lines}\r\n`).head.upgrades();
  expect(upgrades("1.1", "Connection: Upgrade\r\nUpgrade: WebSocket\r\n")).toBe(true);
  expect(upgrades("1.1", "Upgrade: websocket\r\n")).toBe(false);
  expect(upgrades("1.1", "Connection: upgrade\r\n")).toBe(false);
  expect(upgrades("1.0", "Connection: upgrade\r\nUpgrade: websocket\r\n")).toBe(false);
  expect(upgrades("1.1", "Connection: upgrade\r\nUpgrade: websocket, H2C\r\n")).toBe(false);
  expect(upgrades("1.1", "Connection: upgrade\r\nUpgrade: websocket,h2c\r\n")).toBe(false);
  expect(upgrades("1.1", "Connection: upgrade\r\nUpgrade: h2c-like\r\n")).toBe(true);
});

test("every method has its code, and only in capitals", () => {
  const code = (method: string) =>
    parse(`${method} ${method === "CONNECT" ? "a:1" : "/"} HTTP/1.1\r\nHost: a\r\n\r\n`).head
      .method;
  for (const [name, value] of Object.entries(Method)) {
    expect([name, code(name)]).toEqual([name, value]);
    expect([name, code(name.toLowerCase())]).toEqual([name, Method.OTHER]);
  }
});

test("every split of the bytes gives the same head", () => {
  for (const text of VALID) {
    const whole = parse(text);
    expect(whole.result).toBe(text.length);
    const expected = facts(whole.head);
    const head = new RequestHead();
    for (let split = 1; split < text.length; split++) {
      expect(parseRequestHead(whole.bytes, 0, split, head)).toBe(0);
      expect(parseRequestHead(whole.bytes, 0, text.length, head, head.scanned)).toBe(text.length);
      expect(facts(head)).toEqual(expected);
    }
  }
});

test("nothing behind the end is looked at", () => {
  for (const text of VALID) {
    const head = new RequestHead();
    for (const poison of ["\0", "\r", "\n", " ", "x"]) {
      for (let split = 0; split < text.length; split++) {
        const bytes = asciiBytes(text.slice(0, split) + poison.repeat(20));
        expect([text, split, poison, parseRequestHead(bytes, 0, split, head)])
          .toEqual([text, split, poison, 0]);
      }
    }
  }
});

test("bytes may come one by one, each time in another array at another offset", () => {
  for (const text of VALID) {
    const whole = parse(text);
    const head = new RequestHead();
    let result = 0;
    let moved = new Uint8Array(0);
    for (let length = 1; length <= text.length; length++) {
      expect(result).toBe(0);
      const at = (length * 7) % 50;
      moved = new Uint8Array(text.length + 50);
      moved.set(whole.bytes.subarray(0, length), at);
      result = parseRequestHead(moved, at, at + length, head, head.scanned);
    }
    expect(result).toBe(text.length);
    expect(facts(head)).toEqual(facts(whole.head));
  }
});

test("any head of tokens and values survives any split", () => {
  const token = fc.stringMatching(/^[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,20}$/);
  const value = fc.stringMatching(/^[!-~]([\t -~]{0,30}[!-~])?$/);
  const plain = (name: string) =>
    !/^(host|connection|content-length|transfer-encoding|expect|upgrade)$/i.test(name);
  const headers = fc.array(fc.tuple(token.filter(plain), value), { maxLength: 40 });
  fc.assert(
    fc.property(headers, fc.array(fc.nat(2_000), { maxLength: 4 }), (lines, cuts) => {
      const text = `GET / HTTP/1.1\r\nHost: a\r\n${
        lines.map(([name, text]) => `${name}: ${text}\r\n`).join("")
      }\r\n`;
      const bytes = asciiBytes(text);
      const head = new RequestHead();
      for (const cut of cuts.filter((cut) => cut < text.length).sort((a, b) => a - b)) {
        expect(parseRequestHead(bytes, 0, cut, head, head.scanned)).toBe(0);
      }
      expect(parseRequestHead(bytes, 0, bytes.length, head, head.scanned)).toBe(text.length);
      const seen = Array.from(
        { length: head.count },
        (_, i) => [head.headerName(i), head.headerText(i)],
      );
      expect(seen).toEqual([["Host", "a"], ...lines]);
    }),
    { seed: 1, numRuns: 200 },
  );
});

test("a head that was refused or left does not taint the next one", () => {
  const head = new RequestHead();
  const bad = asciiBytes(
    "CONNECT a:1 HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nUpgrade: x, h2c\r\nl5d-a: b\r\n" +
      "Expect: 100-continue\r\nConnection: close, keep-alive, upgrade, x\r\n" +
      "Transfer-Encoding: chunked\r\n bad",
  );
  expect(parseRequestHead(bad, 0, bad.length, head)).toBeLessThan(0);
  const good = asciiBytes(CURL);
  expect(parseRequestHead(good, 0, good.length, head)).toBe(good.length);
  expect(facts(head)).toEqual(facts(parse(CURL).head));
});

test("as many headers and bytes as the limits allow are taken", () => {
  const lines = "a: b\r\n".repeat(HEADER_COUNT_MAX - 1);
  expect(parse(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`).head.count).toBe(HEADER_COUNT_MAX);
  expect(parse("ABCDEFGHIJKLMNOP / HTTP/1.0\r\n\r\n").result).toBeGreaterThan(0);
  expect(parse(`GET /${"x".repeat(HEADER_BYTES_MAX - 5)}`).result).toBe(0);
  expect(parse(`GET /${"x".repeat(HEADER_BYTES_MAX - 4)}`).result).toBeLessThan(0);
  const start = "GET / HTTP/1.1\r\nHost: a\r\nx: ";
  const filler = "y".repeat(HEADER_BYTES_MAX - start.length - 4);
  expect(parse(`${start}${filler}\r\n\r\n`).result).toBe(HEADER_BYTES_MAX);
});
