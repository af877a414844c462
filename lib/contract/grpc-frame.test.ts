import { describe, expect, test } from "bun:test";
import { seedOf } from "../../test/support/fuzz.ts";
import { Fault } from "../base/fault.ts";
import { Prng } from "../base/prng.ts";
import {
  decodeStatusMessage,
  encodeStatusMessage,
  frameOf,
  FrameReader,
  onlyMessage,
} from "./grpc-frame.ts";

const BYTES_MAX = 70_000;

/** What a reader gave, and how it went: the code of its fault, or the number of bytes that it holds. */
type Outcome = readonly [messages: readonly string[], end: string | number];

function read(parts: readonly Uint8Array[]): Outcome {
  const reader = new FrameReader(BYTES_MAX);
  const messages: string[] = [];
  try {
    for (const part of parts) reader.push(part, (message) => messages.push(digest(message)));
  } catch (thrown) {
    return [messages, codeOf(thrown)];
  }
  return [messages, reader.heldBytes];
}

function digest(bytes: Uint8Array): string {
  return `${bytes.length} ${Bun.hash(bytes)}`;
}

function codeOf(thrown: unknown): string {
  if (thrown instanceof Fault) return thrown.code;
  throw thrown;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function cut(prng: Prng, bytes: Uint8Array): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const end = at + prng.pick([0, 1, 2, 4, 5, 6, 100, 30_000]);
    parts.push(bytes.slice(at, end));
    at = end;
  }
  return parts;
}

/** A prefix that promises so many bytes. */
function prefix(length: number, compression = 0): Uint8Array {
  const bytes = Uint8Array.of(compression, 0, 0, 0, 0);
  new DataView(bytes.buffer).setUint32(1, length);
  return bytes;
}

/** Streams of frames: whole ones, one that is not whole, and such as must be refused. */
const CORPUS: readonly Uint8Array[] = [
  frameOf(new Uint8Array(0)),
  joined([frameOf(Uint8Array.of(1)), frameOf(Uint8Array.of(2, 3)), frameOf(new Uint8Array(0))]),
  joined([frameOf(new Uint8Array(300).fill(7)), frameOf(new Uint8Array(BYTES_MAX)).slice(0, 900)]),
  joined([frameOf(Uint8Array.of(1, 2)), prefix(2, 1), Uint8Array.of(3, 4)]),
  joined([frameOf(Uint8Array.of(5)), prefix(BYTES_MAX + 1)]),
];

describe("frames", () => {
  test("whole ones in one chunk, and in chunks of one byte", () => {
    const bytes = CORPUS[1]!;
    const expected: Outcome = [[[1], [2, 3], []].map((m) => digest(Uint8Array.from(m))), 0];
    expect(read([bytes])).toEqual(expected);
    expect(read([...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
  });

  test("of any sizes, cut anywhere, are the messages that were sent", () => {
    const prng = new Prng(seedOf(1));
    for (let round = 0; round < 200; round++) {
      const messages = Array.from(
        { length: prng.below(5) },
        () => prng.bytes(prng.pick([0, 1, 5, 127, 4_000, BYTES_MAX])),
      );
      const whole = joined(messages.map(frameOf));
      const lost = prng.chance(0.5) ? 0 : prng.below(5);
      const bytes = whole.subarray(0, Math.max(0, whole.length - lost));
      const expected = read([bytes]);
      if (lost === 0) expect(expected).toEqual([messages.map(digest), 0]);
      expect(read(cut(prng, bytes))).toEqual(expected);
    }
  });

  test("what cannot be read is refused by its prefix, behind the messages before it", () => {
    expect(read([CORPUS[3]!.subarray(0, 12)])).toEqual([
      [digest(Uint8Array.of(1, 2))],
      "unimplemented",
    ]);
    expect(read([CORPUS[4]!])).toEqual([[digest(Uint8Array.of(5))], "resource_exhausted"]);
    expect(read([prefix(BYTES_MAX)])).toEqual([[], 5]);
  });

  test("mutated ones mean the same in any pieces, and no more is held than one message", () => {
    const prng = new Prng(seedOf(2));
    const ends = new Map<string, number>();
    for (let round = 0; round < 3_000; round++) {
      const bytes = [...joined([prng.pick(CORPUS), prng.pick(CORPUS)])];
      for (let edits = prng.between(1, 4); edits > 0; edits--) {
        const at = prng.below(Math.min(bytes.length, 40));
        const value = prng.pick([0, 1, 2, 0x7f, 0xff, prng.below(256)]);
        bytes.splice(at, prng.below(3), ...(prng.chance(0.7) ? [value] : []));
      }
      const input = Uint8Array.from(bytes);
      const outcome = read([input]);
      expect(read(cut(prng, input))).toEqual(outcome);
      const [, end] = outcome;
      if (typeof end === "number") expect(end).toBeLessThan(5 + BYTES_MAX);
      const name = typeof end === "string" ? end : end === 0 ? "whole" : "more";
      ends.set(name, (ends.get(name) ?? 0) + 1);
    }
    // The run must reach all ends, else it proves nothing.
    for (const end of ["whole", "more", "unimplemented", "resource_exhausted"]) {
      expect([end, (ends.get(end) ?? 0) > 20]).toEqual([end, true]);
    }
  });
});

test("a body must be one message", () => {
  const one = Uint8Array.of(1, 2, 3);
  expect(onlyMessage(frameOf(one), BYTES_MAX)).toEqual(one);
  const others = [
    new Uint8Array(0),
    CORPUS[1]!,
    frameOf(one).subarray(0, 7),
    prefix(0).subarray(1),
  ];
  for (const body of others) {
    expect(() => onlyMessage(body, BYTES_MAX)).toThrow("expected one gRPC message");
  }
});

test("a status message comes back as it was, and what is no encoding stays as it stands", () => {
  for (const text of ["", "plain", "100 % ä\n", "a%20b", "\u{1f600}"]) {
    const encoded = encodeStatusMessage(text);
    expect(encoded).toMatch(/^[ -~]*$/);
    expect(decodeStatusMessage(encoded)).toBe(text);
  }
  expect(decodeStatusMessage("100%")).toBe("100%");
});
