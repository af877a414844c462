import { expect, test } from "bun:test";
import fc from "fast-check";
import { asciiBytes, asciiText, ByteBuffer } from "../../base/bytes.ts";
import { MeshFields, RequestHead, ResponseHead } from "../http/mod.ts";
import {
  NO_LINES,
  parseRequestHead,
  parseResponseHead,
  writeRequestHead,
  writeResponseHead,
} from "./mod.ts";

/** The header lines of a rewritten GET, without request line, Host and blank line. */
function rewritten(lines: string, added = "", fields: MeshFields = MeshFields.DROP): string {
  const start = "GET / HTTP/1.1\r\nHost: a\r\n";
  const bytes = asciiBytes(`--${start}${lines}\r\nbody`);
  const head = new RequestHead();
  const length = start.length + lines.length + 2;
  expect(parseRequestHead(bytes, 2, bytes.length, head)).toBe(length);
  head.meshFields = fields;
  const out = new ByteBuffer();
  writeRequestHead(head, added === "" ? NO_LINES : asciiBytes(added), null, null, out);
  const text = asciiText(out.bytes, out.start, out.end);
  expect(text.startsWith(start)).toBe(true);
  expect(text.endsWith("\r\n")).toBe(true);
  return text.slice(start.length, -2);
}

test("a head in which nothing changes is copied as it is", () => {
  const lines = "Accept: */*\r\nX-A:  spaced \t\r\nX-a: again\r\n";
  expect(rewritten(lines)).toBe(lines);
  expect(rewritten("")).toBe("");
});

test("lines are added behind the others", () => {
  expect(rewritten("Accept: */*\r\n", "l5d-client-id: me\r\n"))
    .toBe("Accept: */*\r\nl5d-client-id: me\r\n");
  expect(rewritten("Connection: close\r\n", "x: y\r\n")).toBe("x: y\r\n");
});

test("hop-by-hop headers and those that Connection names are dropped", () => {
  expect(rewritten("A: 1\r\nConnection: close\r\nB: 2\r\n")).toBe("A: 1\r\nB: 2\r\n");
  expect(rewritten("Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nB: 2\r\n")).toBe("B: 2\r\n");
  expect(rewritten("X-One: 1\r\nconnection: x-one ,X-TWO\r\nX-Two: 2\r\nX-Three: 3\r\n"))
    .toBe("X-Three: 3\r\n");
  expect(rewritten("Connection: a\r\nA: 1\r\nConnection: b\r\nB: 2\r\nAB: 3\r\n"))
    .toBe("AB: 3\r\n");
});

test("Connection cannot take away what frames or addresses the message", () => {
  const framing = "Content-Length: 5\r\n";
  expect(rewritten(`Connection: host, content-length\r\n${framing}`)).toBe(framing);
  const chunked = "Transfer-Encoding: chunked\r\n";
  expect(rewritten(`Connection: transfer-encoding\r\n${chunked}`)).toBe(chunked);
});

test("the mesh's own headers are dropped where they may be forged, else kept", () => {
  const lines = "L5D-Client-Id: root\r\nA: 1\r\nl5d-x: y\r\nl5dx: stays\r\n";
  expect(rewritten(lines)).toBe("A: 1\r\nl5dx: stays\r\n");
  expect(rewritten(lines, "", MeshFields.KEEP)).toBe(lines);
  const canonical = "l5d-dst-canonical: a:80\r\n";
  expect(rewritten(canonical + lines)).toBe("A: 1\r\nl5dx: stays\r\n");
  expect(rewritten(canonical + lines, "", MeshFields.KEEP_CANONICAL))
    .toBe(`${canonical}A: 1\r\nl5dx: stays\r\n`);
  expect(rewritten(lines, "l5d-client-id: real\r\n"))
    .toBe("A: 1\r\nl5dx: stays\r\nl5d-client-id: real\r\n");
});

test("names that only resemble the mesh's own are kept", () => {
  const lines = "Location: /\r\nLast-Modified: x\r\nx5d-a: 1\r\nl6d-a: 1\r\nl5e-a: 1\r\n" +
    "l5da-: 1\r\nabc-d: 1\r\na5d-b: 1\r\nl5d-: no name behind the prefix\r\n";
  expect(rewritten(lines)).toBe(lines);
});

test("an upgrade goes on as one, where it is complete", () => {
  const lines = "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nA: 1\r\n";
  expect(rewritten(lines)).toBe("Upgrade: websocket\r\nA: 1\r\nconnection: upgrade\r\n");
  expect(rewritten("Upgrade: websocket\r\nA: 1\r\n")).toBe("A: 1\r\n");
  expect(rewritten(
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nConnection: Upgrade, HTTP2-Settings\r\nA: 1\r\n",
  )).toBe("A: 1\r\n");
});

test("empty lines before the start line go", () => {
  const bytes = asciiBytes("\r\nGET http://a/b HTTP/1.1\r\nHost: a\r\nl5d-x: y\r\n\r\n");
  const head = new RequestHead();
  expect(parseRequestHead(bytes, 0, bytes.length, head)).toBe(bytes.length);
  const out = new ByteBuffer();
  writeRequestHead(head, NO_LINES, null, null, out);
  expect(asciiText(out.bytes, 0, 4)).toBe("GET ");
});

test("responses are rewritten in the same way", () => {
  const bytes = asciiBytes(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
  );
  const head = new ResponseHead();
  parseResponseHead(bytes, 0, bytes.length, head);
  const out = new ByteBuffer();
  writeResponseHead(head, false, NO_LINES, null, out);
  expect(asciiText(out.bytes, 0, out.end)).toBe(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nconnection: upgrade\r\n\r\n",
  );
});

test("what is written parses again, with the kept headers in their order", () => {
  const name = fc.constantFrom("A", "B", "Keep-Alive", "l5d-x", "Connection", "Te");
  const value = fc.constantFrom("1", "close", "a, b", "keep-alive", "te,upgrade", "");
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 12 }), (headers) => {
      const named = headers.filter(([name]) => name === "Connection")
        .flatMap(([, value]) => value.split(",").map((token) => token.trim().toLowerCase()));
      const kept = headers.filter(([name]) =>
        !["Keep-Alive", "l5d-x", "Connection"].includes(name) &&
        !named.includes(name.toLowerCase())
      );
      const lines = (list: typeof headers) =>
        list.map(([name, value]) => `${name}: ${value}\r\n`).join("");
      expect(rewritten(lines(headers))).toBe(lines(kept));
    }),
    { seed: 1, numRuns: 500 },
  );
});
