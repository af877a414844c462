/**
 * A bounded fuzz run, seeded, so that a failure is repeated by its seed: blocks of random instructions,
 * some with random edits. Each must mean the same as to a slow reference decoder, or be refused for the
 * same reason; nothing may throw, and memory stays bounded.
 */

import { expect, test } from "bun:test";
import { HEADER_LIST_BYTES_MAX } from "../../../base/limits.ts";
import { Prng } from "../../../base/prng.ts";
import { seedOf } from "../../../../test/support/fuzz.ts";
import { type Decoded, ReferenceDecoder } from "../../../../test/support/hpack-reference.ts";
import {
  decodeBlock,
  fieldsOf,
  huffmanLiteral,
  integer,
  join,
  literal,
  sizeUpdate,
  tableOf,
} from "../../../../test/support/hpack.ts";
import { FieldLines } from "../../http/field-lines.ts";
import { PSEUDO_NAMES } from "../../http/field-name.ts";
import { HpackDecoder, hpackReasonName } from "./mod.ts";

const CONNECTIONS = 500;
const BLOCKS_PER_CONNECTION = 8;

const NAMES = ["a", "cookie", ":path", ":method", ":x", "", "X", "l5d-y", "n".repeat(140), "\xff"];
const VALUES = [
  "",
  "1",
  "some value",
  " x",
  "a\nb",
  "\xe9\xff",
  "v".repeat(130),
  "w".repeat(3_000),
];
const FIRST_BYTES = [0x00, 0x10, 0x40];

/** One instruction, mostly a good one. */
function instruction(prng: Prng): Uint8Array {
  switch (prng.below(8)) {
    case 0:
      return sizeUpdate(prng.pick([0, 40, 200, 1_000, 4_096, 4_097]));
    case 1:
    case 2:
      return huffmanLiteral(prng.pick(NAMES), prng.pick(VALUES), prng.pick(FIRST_BYTES));
    case 3:
      return literal(prng.pick(NAMES), prng.pick(VALUES), prng.pick(FIRST_BYTES));
    case 4: {
      // A name from a table and a value: an indexed literal without its last byte, an empty value.
      const [first, prefix] = prng.pick([[0x00, 0x0f], [0x10, 0x0f], [0x40, 0x3f]] as const);
      const value = literal("", prng.pick(VALUES));
      return join([integer(first, prefix, prng.between(1, 66)), value.subarray(2)]);
    }
    default:
      return integer(0x80, 0x7f, prng.between(1, prng.pick([14, 61, 64, 70])));
  }
}

function randomBlock(prng: Prng): Uint8Array {
  const parts: Uint8Array[] = [];
  if (prng.chance(0.1)) parts.push(sizeUpdate(prng.below(5_000)));
  for (let count = prng.below(8); count > 0; count--) parts.push(instruction(prng));
  if (prng.chance(0.03)) {
    // Many references to one large entry, with something behind them.
    parts.push(literal("big", "w".repeat(3_000), 0x40), new Uint8Array(prng.below(60)).fill(0xbe));
    parts.push(instruction(prng));
  }
  return join(parts);
}

/** Some edits: a byte changed, a piece removed or repeated. */
function mutate(prng: Prng, block: Uint8Array): Uint8Array {
  let bytes = block;
  for (let edits = prng.between(1, 3); edits > 0; edits--) {
    const at = prng.below(bytes.length + 1);
    const stop = Math.min(bytes.length, at + prng.below(6));
    const kind = prng.below(3);
    if (kind === 0) bytes = join([bytes.subarray(0, at), bytes.subarray(stop)]);
    else if (kind === 1) bytes = join([bytes.subarray(0, stop), bytes.subarray(at)]);
    else {
      bytes = Uint8Array.from(bytes);
      if (at < bytes.length) bytes[at] = prng.below(256);
    }
  }
  return bytes;
}

function outcomeOf(decoded: Decoded): string {
  if (decoded.reason !== undefined) return decoded.reason.toLowerCase().replaceAll("_", " ");
  return decoded.tooLarge ? "too large" : decoded.malformed ? "malformed" : "taken";
}

/** What must hold for lines that were taken, whatever the block. */
function checkTaken(lines: FieldLines): void {
  let text = "";
  for (let i = 0; i < lines.fieldsEnd; i++) text += String.fromCharCode(lines.bytes[i]!);
  expect(text === "" || text.endsWith("\r\n")).toBe(true);
  expect(text.split("\r\n").length - 1).toBe(lines.count);
  expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n\0]/);
  const regular = text.slice(lines.fieldsStart);
  expect(regular).not.toMatch(/^:/m);
  if (lines.fieldsStart === 0) expect(lines.seen & PSEUDO_NAMES).toBe(0);
}

function fuzz(seed: number, make: (prng: Prng) => Uint8Array): Map<string, number> {
  const prng = new Prng(seedOf(seed));
  const outcomes = new Map<string, number>();
  const lines = new FieldLines();
  for (let connection = 0; connection < CONNECTIONS; connection++) {
    const decoder = new HpackDecoder();
    const reference = new ReferenceDecoder();
    for (let i = 0; i < BLOCKS_PER_CONNECTION; i++) {
      const block = make(prng);
      const { result } = decodeBlock(decoder, block, lines);
      const decoded = reference.decode(block);
      const outcome = outcomeOf(decoded);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      expect(lines.bytes.length).toBeLessThan(3 * HEADER_LIST_BYTES_MAX);
      expect(decoder.table.bytes.length).toBeLessThanOrEqual(8_192);
      if (decoded.reason !== undefined) {
        expect(hpackReasonName(result)).toBe(outcome);
        break;
      }
      expect(result).toBe(0);
      expect([lines.malformed, lines.tooLarge]).toEqual([decoded.malformed, decoded.tooLarge]);
      expect(fieldsOf(lines)).toEqual(decoded.fields);
      expect(tableOf(decoder.table)).toEqual(reference.table.map(([n, v]) => `${n}: ${v}`));
      checkTaken(lines);
    }
  }
  return outcomes;
}

test("random instructions mean the same as to the reference", () => {
  const outcomes = fuzz(1, randomBlock);
  // The run must reach all ends, else it proves nothing.
  const ends = ["taken", "malformed", "too large", "bad index", "table too large"];
  for (const end of [...ends, "late size update"]) {
    expect([end, (outcomes.get(end) ?? 0) > 5]).toEqual([end, true]);
  }
});

test("mutated blocks are refused for the same reason, or mean the same", () => {
  const outcomes = fuzz(2, (prng) => {
    const block = randomBlock(prng);
    return prng.chance(0.6) ? mutate(prng, block) : block;
  });
  for (const end of ["taken", "malformed", "bad index", "bad huffman", "truncated"]) {
    expect([end, (outcomes.get(end) ?? 0) > 5]).toEqual([end, true]);
  }
});

test("random bytes never throw", () => {
  const outcomes = fuzz(3, (prng) => prng.bytes(prng.below(60)));
  for (const end of ["taken", "bad index", "truncated"]) {
    expect([end, (outcomes.get(end) ?? 0) > 5]).toEqual([end, true]);
  }
});
