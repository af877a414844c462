import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  asciiBytes,
  asciiText,
  ByteBuffer,
  copyBytes,
  equalsBytes,
  equalsIgnoreCase,
  hexDigit,
  parseDecimal,
  sameIgnoreCase,
  startsWithBytes,
} from "./bytes.ts";

const bytes = asciiBytes("..Content-Length..");

test("text and bytes are each other's inverse, for every byte", () => {
  const all = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  expect(asciiBytes(asciiText(all, 0, 256))).toEqual(all);
  expect(asciiText(bytes, 2, 9)).toBe("Content");
});

test("ranges are compared in place", () => {
  expect(equalsBytes(bytes, 2, 16, asciiBytes("Content-Length"))).toBe(true);
  expect(equalsBytes(bytes, 2, 16, asciiBytes("content-length"))).toBe(false);
  expect(equalsBytes(bytes, 2, 15, asciiBytes("Content-Length"))).toBe(false);
  expect(startsWithBytes(bytes, 2, 16, asciiBytes("Content"))).toBe(true);
  expect(startsWithBytes(bytes, 2, 5, asciiBytes("Content"))).toBe(false);
});

test("case is ignored for ASCII letters alone", () => {
  expect(equalsIgnoreCase(bytes, 2, 16, asciiBytes("content-length"))).toBe(true);
  expect(equalsIgnoreCase(bytes, 2, 16, asciiBytes("content_length"))).toBe(false);
  expect(equalsIgnoreCase(bytes, 2, 15, asciiBytes("content-length"))).toBe(false);
  expect(equalsIgnoreCase(bytes, 2, 17, asciiBytes("content-length"))).toBe(false);
  expect(equalsIgnoreCase(asciiBytes("AZaz09"), 0, 6, asciiBytes("azaz09"))).toBe(true);
  // `@` and `[ differ from letters-and-backtick by the bit that separates the cases.
  expect(equalsIgnoreCase(asciiBytes("@["), 0, 2, asciiBytes("`{"))).toBe(false);
  expect(equalsIgnoreCase(asciiBytes("\r"), 0, 1, asciiBytes("-"))).toBe(false);
  expect(sameIgnoreCase(asciiBytes("Te, tE"), 0, 2, 4, 6)).toBe(true);
  expect(sameIgnoreCase(asciiBytes("Te, tF"), 0, 2, 4, 6)).toBe(false);
  expect(sameIgnoreCase(asciiBytes("Te, tEE"), 0, 2, 4, 7)).toBe(false);
});

describe("numbers", () => {
  const decimal = (text: string) => parseDecimal(asciiBytes(text), 0, text.length);

  test("decimal digits are read up to 2^53 - 1", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => expect(decimal(String(value))).toBe(value)),
      { seed: 1 },
    );
    expect(decimal("9007199254740991")).toBe(Number.MAX_SAFE_INTEGER);
    expect(decimal("0009")).toBe(9);
  });

  for (const text of ["", "-1", "+1", " 1", "1 ", "1.0", "0x1", "1e3", "9007199254740992"]) {
    test(`"${text}" is no decimal number`, () => expect(decimal(text)).toBe(-1));
  }

  test("hex digits have either case, other bytes none", () => {
    for (let byte = 0; byte < 256; byte++) {
      const character = String.fromCharCode(byte);
      const expected = /[0-9a-fA-F]/.test(character) ? parseInt(character, 16) : 255;
      expect(hexDigit(byte)).toBe(expected);
    }
  });
});

test("copies of any length, from anywhere, are exact", () => {
  const source = Uint8Array.from({ length: 300 }, (_, i) => i & 255);
  for (
    const [start, end] of [[0, 0], [0, 300], [1, 64], [0, 64], [0, 65], [7, 200], [
      100,
      300,
    ]] as const
  ) {
    const target = new Uint8Array(400);
    copyBytes(source, start, end, target, 50);
    expect([...target.subarray(50, 50 + end - start)]).toEqual([...source.subarray(start, end)]);
    expect(target[49]).toBe(0);
    expect(target[50 + end - start]).toBe(0);
  }
});

describe("ByteBuffer", () => {
  test("gives back what was put in, through any mix of appends and consumes", () => {
    const step = fc.record({ append: fc.uint8Array({ maxLength: 100 }), consume: fc.nat(120) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const buffer = new ByteBuffer(8);
        let model: number[] = [];
        for (const { append, consume } of steps) {
          buffer.append(append, 0, append.length);
          model.push(...append);
          const count = Math.min(consume, buffer.length);
          buffer.consume(count);
          model = model.slice(count);
          expect(buffer.length).toBe(model.length);
        }
        expect([...buffer.bytes.subarray(buffer.start, buffer.end)]).toEqual(model);
      }),
      { seed: 1 },
    );
  });

  test("a queue that is emptied as fast as it is filled does not grow", () => {
    const buffer = new ByteBuffer(256);
    const chunk = new Uint8Array(100);
    buffer.append(chunk, 0, 100);
    for (let i = 0; i < 1_000; i++) {
      buffer.append(chunk, 0, 100);
      buffer.consume(100);
    }
    expect(buffer.bytes.length).toBeLessThanOrEqual(512);
  });

  test("reserved room can be written to directly", () => {
    const buffer = new ByteBuffer();
    buffer.reserve(1_000);
    expect(buffer.bytes.length - buffer.end).toBeGreaterThanOrEqual(1_000);
    buffer.bytes[buffer.end++] = 7;
    expect(buffer.length).toBe(1);
    buffer.clear();
    expect(buffer.length).toBe(0);
  });
});
