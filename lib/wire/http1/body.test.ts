import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { asciiBytes } from "../../base/bytes.ts";
import {
  CHUNK_EXTENSION_BYTES_MAX,
  CHUNK_EXTENSION_TOTAL_BYTES_MAX,
  HEADER_COUNT_MAX,
  TRAILER_BYTES_MAX,
} from "../../base/limits.ts";
import { FieldName } from "../http/mod.ts";
import { BodyFramer, BodyMode } from "./mod.ts";

const CHUNKED = [
  "0\r\n\r\n",
  "5\r\nhello\r\n0\r\n\r\n",
  '5;name=value;q="a b"\r\nhello\r\n0;last\r\n\r\n',
  "00000a\r\n0\r\n\r\n1\r\n\r\r\r\n0\r\nChecksum: abc\r\nExpires:\r\n\r\n",
  `${"1F".padStart(16, "0")}\r\n${"x".repeat(31)}\r\n0\r\n\r\n`,
];

/** Feeds pieces; how many bytes were taken in all, and where the framer then stands. */
function feed(framer: BodyFramer, bytes: Uint8Array, cuts: readonly number[]): number {
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    if (cut <= at) continue;
    while (at < cut && !framer.done) {
      const taken = framer.advance(bytes, at, cut);
      if (taken < 0) return taken;
      at += taken;
    }
    if (framer.done) break;
  }
  return at;
}

test("no body takes nothing and is done at once", () => {
  const framer = new BodyFramer();
  expect([framer.done, framer.mode]).toEqual([true, BodyMode.NONE]);
  framer.beginNone();
  expect([framer.done, framer.mode]).toEqual([true, BodyMode.NONE]);
  expect(framer.advance(asciiBytes("GET"), 0, 3)).toBe(0);
});

test("a body of a length takes exactly that many bytes", () => {
  const framer = new BodyFramer();
  framer.beginLength(5);
  const bytes = asciiBytes("helloGET /");
  expect(framer.advance(bytes, 0, 2)).toBe(2);
  expect([framer.done, framer.endsWithClose(), framer.remaining]).toEqual([false, false, 3]);
  expect(framer.advance(bytes, 2, bytes.length)).toBe(3);
  expect([framer.done, framer.bytes]).toEqual([true, 5]);
  expect(framer.advance(bytes, 5, bytes.length)).toBe(0);
  framer.beginLength(0);
  expect(framer.done).toBe(true);
});

test("a body until close takes everything and is never done", () => {
  const framer = new BodyFramer();
  framer.beginUntilClose();
  expect(framer.advance(new Uint8Array(1_000), 0, 1_000)).toBe(1_000);
  expect([framer.done, framer.endsWithClose(), framer.bytes]).toEqual([false, true, 1_000]);
});

test("lengths beyond 32 bits are counted exactly", () => {
  const framer = new BodyFramer();
  framer.beginLength(2 ** 40 + 1);
  const chunk = new Uint8Array(1 << 20);
  for (let i = 0; i < 1 << 20; i++) framer.advance(chunk, 0, chunk.length);
  expect([framer.done, framer.remaining]).toEqual([false, 1]);
  expect(framer.advance(chunk, 0, 2)).toBe(1);
  expect(framer.done).toBe(true);
});

describe("chunked", () => {
  const payloads = [0, 5, 5, 10, 31];

  for (const [index, text] of CHUNKED.entries()) {
    test(`every split ends the body at the same byte: ${JSON.stringify(text)}`, () => {
      const bytes = asciiBytes(`${text}GET / HTTP/1.1\r\n`);
      const framer = new BodyFramer();
      for (let split = 0; split <= text.length; split++) {
        framer.beginChunked();
        expect(feed(framer, bytes, [split])).toBe(text.length);
        expect([framer.done, framer.bytes]).toEqual([true, payloads[index]!]);
      }
      framer.beginChunked();
      expect(feed(framer, bytes, Array.from(bytes, (_, at) => at))).toBe(text.length);
      expect(framer.done).toBe(true);
    });
  }

  test("an unfinished body is not done, and a close then cuts it off", () => {
    const text = CHUNKED[3]!;
    const bytes = asciiBytes(text);
    for (let end = 0; end < text.length; end++) {
      const framer = new BodyFramer();
      framer.beginChunked();
      expect(framer.advance(bytes, 0, end)).toBe(end);
      expect([framer.done, framer.endsWithClose()]).toEqual([false, false]);
    }
  });

  test("any payload in any chunks is counted and ended, in any pieces", () => {
    const chunks = fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 10 });
    const cuts = fc.array(fc.nat(500), { maxLength: 6 });
    fc.assert(
      fc.property(chunks, cuts, fc.boolean(), (chunks, cuts, capital) => {
        const parts: number[] = [];
        for (const chunk of chunks) {
          const size = chunk.length.toString(16);
          parts.push(...asciiBytes(`${capital ? size.toUpperCase() : size}\r\n`), ...chunk, 13, 10);
        }
        parts.push(...asciiBytes("0\r\n\r\n"));
        const length = parts.length;
        const bytes = Uint8Array.from([...parts, 0x47, 0x45, 0x54]);
        const framer = new BodyFramer();
        framer.beginChunked();
        expect(feed(framer, bytes, cuts.sort((a, b) => a - b))).toBe(length);
        expect(framer.done).toBe(true);
        expect(framer.bytes).toBe(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("as much framing as the limits allow is taken", () => {
    const extension = `;${"e".repeat(CHUNK_EXTENSION_BYTES_MAX)}`;
    const chunks = CHUNK_EXTENSION_TOTAL_BYTES_MAX / CHUNK_EXTENSION_BYTES_MAX;
    const trailer = `A: ${"b".repeat(TRAILER_BYTES_MAX - 7)}\r\n\r\n`;
    const trailers = "a:\r\n".repeat(HEADER_COUNT_MAX);
    for (
      const text of [
        `${`1${extension}\r\nx\r\n`.repeat(chunks)}0\r\n\r\n`,
        `0\r\n${trailer}`,
        `0\r\n${trailers}\r\n`,
      ]
    ) {
      const framer = new BodyFramer();
      framer.beginChunked();
      expect(feed(framer, asciiBytes(text), [])).toBe(text.length);
      expect(framer.done).toBe(true);
    }
    const framer = new BodyFramer();
    framer.beginChunked();
    expect(framer.advance(asciiBytes("001fffffffffffff\r\n"), 0, 18)).toBe(18);
    expect(framer.remaining).toBe(Number.MAX_SAFE_INTEGER);
  });

  test("a framer that failed is as new for the next message", () => {
    const framer = new BodyFramer();
    framer.beginChunked();
    expect(framer.advance(asciiBytes("5;ext\r\nhell\n"), 0, 12)).toBe(12);
    expect(framer.advance(asciiBytes("xx"), 0, 2)).toBeLessThan(0);
    framer.beginChunked();
    const bytes = asciiBytes(CHUNKED[1]!);
    expect(framer.advance(bytes, 0, bytes.length)).toBe(bytes.length);
    expect([framer.done, framer.bytes]).toEqual([true, 5]);
  });
});

test("payload and trailers are told apart from the framing, in any pieces", () => {
  const text =
    "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nChecksum:  abc \r\nGrpc-Status: 0\r\nE:\r\n\r\n";
  const bytes = asciiBytes(text);
  fc.assert(
    fc.property(fc.array(fc.nat(text.length), { maxLength: 20 }), (cuts) => {
      const framer = new BodyFramer();
      framer.beginChunked();
      let payload = "";
      let at = 0;
      for (const cut of [...cuts.sort((a, b) => a - b), bytes.length]) {
        while (at < cut && !framer.done) {
          at += framer.advance(bytes, at, cut);
          payload += text.slice(framer.payloadStart, framer.payloadEnd);
        }
      }
      expect([framer.done, payload, at]).toEqual([true, "hello world", bytes.length]);
      const { trailers } = framer;
      const lines = Array.from(
        { length: trailers?.count ?? 0 },
        (_, i) => [trailers?.headerName(i), trailers?.headerText(i)],
      );
      expect(lines).toEqual([["Checksum", "abc"], ["Grpc-Status", "0"], ["E", ""]]);
      expect(trailers?.findName(FieldName.GRPC_STATUS)).toBe(1);
    }),
    { seed: 1, numRuns: 300 },
  );
});

test("a body without trailers has none, though one before it had some", () => {
  const framer = new BodyFramer();
  framer.beginChunked();
  feed(framer, asciiBytes("0\r\na: b\r\n\r\n"), []);
  expect(framer.trailers?.count).toBe(1);
  framer.beginChunked();
  feed(framer, asciiBytes("0\r\n\r\n"), []);
  expect(framer.trailers).toBeNull();
});
