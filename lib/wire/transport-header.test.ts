import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { seedOf } from "../../test/support/fuzz.ts";
import { asciiBytes } from "../base/bytes.ts";
import { TRANSPORT_HEADER_BYTES_MAX } from "../base/limits.ts";
import { Prng } from "../base/prng.ts";
import {
  decodeTransportHeader,
  encodeTransportHeader,
  type SessionProtocol,
  type TransportHeader,
} from "./transport-header.ts";

const PREFACE = asciiBytes("transport.l5d.io/v1\r\n\r\n");

function framed(message: readonly number[]): Uint8Array {
  return Uint8Array.from([
    ...PREFACE,
    ...[0, 0, message.length >> 8, message.length & 255],
    ...message,
  ]);
}

function decode(bytes: Uint8Array) {
  return decodeTransportHeader(bytes, 0, bytes.length);
}

/** The header, or the reason for which it was refused. */
function outcome(message: readonly number[]): TransportHeader | string {
  const decoded = decode(framed(message));
  if (decoded.kind === "header") return decoded.header;
  return decoded.kind === "invalid" ? decoded.reason : "more";
}

describe("the bytes are those of the contract", () => {
  const cases: readonly [TransportHeader, number[]][] = [
    [{ port: 80, name: "", protocol: "opaque" }, [0x08, 80]],
    [{ port: 127, name: "", protocol: "opaque" }, [0x08, 127]],
    [{ port: 128, name: "", protocol: "opaque" }, [0x08, 0x80, 1]],
    [{ port: 8080, name: "", protocol: "http1" }, [0x08, 0x90, 0x3f, 0x1a, 2, 0x0a, 0]],
    [{ port: 65_535, name: "", protocol: "http2" }, [0x08, 0xff, 0xff, 3, 0x1a, 2, 0x12, 0]],
    [{ port: 1, name: "a:1", protocol: "opaque" }, [0x08, 1, 0x12, 3, 0x61, 0x3a, 0x31]],
  ];
  for (const [header, message] of cases) {
    test(`port ${header.port}, ${header.protocol}, "${header.name}"`, () => {
      const bytes = encodeTransportHeader(header);
      expect(bytes).toEqual(framed(message));
      expect(decode(bytes)).toEqual({ kind: "header", header, consumed: bytes.length });
    });
  }
});

test("any header is read back, from any offset, with anything behind it", () => {
  const header = fc.record({
    port: fc.integer({ min: 1, max: 65_535 }),
    name: fc.string({ unit: "grapheme", maxLength: 100 }),
    protocol: fc.constantFrom<SessionProtocol>("http1", "http2", "opaque"),
  });
  fc.assert(
    fc.property(header, fc.nat(20), (header, offset) => {
      const encoded = encodeTransportHeader(header);
      const bytes = new Uint8Array(offset + encoded.length + 5).fill(0x55);
      bytes.set(encoded, offset);
      const view = bytes.subarray(1);
      expect(decodeTransportHeader(bytes, offset, bytes.length))
        .toEqual({ kind: "header", header, consumed: encoded.length });
      if (offset > 0) {
        expect(decodeTransportHeader(view, offset - 1, view.length))
          .toEqual({ kind: "header", header, consumed: encoded.length });
      }
    }),
    { seed: 1 },
  );
});

test("every shorter piece asks for more", () => {
  const bytes = encodeTransportHeader({ port: 8080, name: "web.ns:80", protocol: "http2" });
  for (let end = 0; end < bytes.length; end++) {
    expect(decodeTransportHeader(bytes, 0, end)).toEqual({ kind: "more" });
  }
});

test("unknown fields of every wire type are skipped", () => {
  const unknown = [
    ...[0x20, 0x80, 1], // field 4, varint
    ...[0x29, 1, 2, 3, 4, 5, 6, 7, 8], // field 5, 64 bits
    ...[0x32, 2, 0xff, 0xff], // field 6, bytes
    ...[0x3d, 1, 2, 3, 4], // field 7, 32 bits
    ...[0x82, 0x80, 1, 0], // field 2048, bytes, empty
  ];
  expect(outcome([...unknown, 0x08, 80, ...unknown, 0x1a, 4, 0x18, 7, 0x12, 0, ...unknown]))
    .toEqual({ port: 80, name: "", protocol: "http2" });
});

test("of repeated fields the last counts; a session protocol without a member is opaque", () => {
  expect(outcome([0x08, 1, 0x08, 2, 0x1a, 4, 0x0a, 0, 0x12, 0]))
    .toEqual({ port: 2, name: "", protocol: "http2" });
  expect(outcome([0x08, 1, 0x1a, 0])).toEqual({ port: 1, name: "", protocol: "opaque" });
});

describe("refused", () => {
  const malformed = "transport header is malformed protobuf";
  const noPort = (port: number) => `transport header's port ${port} is none`;
  const cases: readonly [string, number[], string][] = [
    ["no port", [], noPort(0)],
    ["port 0", [0x08, 0], noPort(0)],
    ["port 65536", [0x08, 0x80, 0x80, 4], noPort(65_536)],
    ["a negative port", [0x08, ...new Array<number>(9).fill(0xff), 1], noPort(2 ** 64)],
    ["a varint without an end", [0x08, 0x80], malformed],
    ["a varint of eleven bytes", [0x08, ...new Array<number>(10).fill(0x80), 0], malformed],
    ["a key alone", [0x08, 80, 0x12], malformed],
    ["a name beyond the end", [0x08, 80, 0x12, 5, 0x61], malformed],
    ["a fixed field beyond the end", [0x08, 80, 0x29, 1], malformed],
    ["field number 0", [0x08, 80, 0x02, 0], malformed],
    ["a group", [0x08, 80, 0x23], malformed],
    ["a name that is no UTF-8", [0x08, 80, 0x12, 1, 0xff], "transport header's name is not UTF-8"],
    [
      "a session protocol cut short",
      [0x08, 80, 0x1a, 2, 0x0a, 5],
      "transport header's session protocol is malformed",
    ],
  ];
  for (const [title, message, reason] of cases) {
    test(title, () => expect(outcome(message)).toBe(reason));
  }

  test("a field that ends behind the message", () => {
    const bytes = Uint8Array.from([...framed([0x08, 0x80]), 1, 1, 1]);
    expect(decode(bytes)).toEqual({ kind: "invalid", reason: malformed });
  });

  test("another preface, at its first byte", () => {
    expect(decode(asciiBytes("G")).kind).toBe("invalid");
    expect(decode(asciiBytes("transport.l5d.io/v2")).kind).toBe("invalid");
  });

  test("no length up to the limit", () => {
    const filler = TRANSPORT_HEADER_BYTES_MAX - 5;
    const field = [0x32, (filler & 127) | 128, filler >> 7, ...new Array<number>(filler).fill(0)];
    expect(outcome([0x08, 80, ...field])).toEqual({ port: 80, name: "", protocol: "opaque" });
  });

  test("a length beyond the limit, before its bytes have come", () => {
    const length = TRANSPORT_HEADER_BYTES_MAX + 1;
    const bytes = Uint8Array.from([...PREFACE, 0, 0, length >> 8, length & 255]);
    expect(decode(bytes)).toEqual({
      kind: "invalid",
      reason: `transport header of ${length} bytes, at most ${TRANSPORT_HEADER_BYTES_MAX}`,
    });
    expect(decode(Uint8Array.from([...PREFACE, 255, 255, 255, 255])).kind).toBe("invalid");
  });
});

test("mutated headers never throw, and hold a possible port when they are taken", () => {
  const prng = new Prng(seedOf(1));
  const original = encodeTransportHeader({ port: 8080, name: "web.ns:80", protocol: "http1" });
  let taken = 0;
  for (let round = 0; round < 3_000; round++) {
    const bytes = Uint8Array.from(original);
    for (let edits = prng.between(1, 4); edits > 0; edits--) {
      bytes[prng.between(PREFACE.length, bytes.length - 1)] = prng.below(256);
    }
    const decoded = decode(bytes);
    if (decoded.kind !== "header") continue;
    taken++;
    expect(decoded.header.port >= 1 && decoded.header.port <= 65_535).toBe(true);
    expect(decoded.consumed).toBeLessThanOrEqual(bytes.length);
  }
  expect(taken).toBeGreaterThan(100);
});
