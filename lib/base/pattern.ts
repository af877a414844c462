/**
 * Patterns that requests are compared with: regular expressions whose match costs one look-up per byte,
 * whatever the pattern and whatever the request. A pattern becomes a table once, when it is read; one whose
 * table would be large is refused then, so nobody can slow a proxy down by a pattern or by a path.
 *
 *     text ─▶ tree ─▶ positions that may follow each other ─▶ sets of positions = states ─▶ table
 */

import { Fault } from "./fault.ts";
import { PATTERN_CHARS_MAX, PATTERN_POSITIONS_MAX, PATTERN_STATES_MAX } from "./limits.ts";
import { parsePattern, type PatternNode } from "./pattern-syntax.ts";
import { PatternTable } from "./pattern-table.ts";

/** Where nothing has been read yet. */
const BEGINNING = 0;
const BYTES = 256;
/** Groups of groups of nothing, repeated, would cost work without any place of their own. */
const PARTS_PER_POSITION = 10;

/** Makes a pattern that must match the whole of what it is compared with. Throws `invalid_argument`. */
export function compilePattern(text: string): PatternTable {
  const trimmed = text.trim();
  if (trimmed.length > PATTERN_CHARS_MAX) {
    throw new Fault(
      "invalid_argument",
      `Cannot read a pattern of ${trimmed.length} characters: at most ${PATTERN_CHARS_MAX}`,
    );
  }
  const positions = new Positions(trimmed);
  const whole = positions.add(parsePattern(trimmed));
  for (const position of whole.first) positions.follow[BEGINNING]?.add(position);
  const ends = new Set(whole.last);
  if (whole.isNullable) ends.add(BEGINNING);
  return tableOf(positions, ends, trimmed);
}

/** What is known of a part of a pattern: where it may begin and end. */
interface Extent {
  readonly isNullable: boolean;
  readonly first: ReadonlySet<number>;
  readonly last: ReadonlySet<number>;
}

const NOTHING: Extent = { isNullable: true, first: new Set(), last: new Set() };

/** Each place of a pattern at which a byte is read. */
class Positions {
  /** The bytes that are read there. */
  readonly members: Uint8Array[] = [new Uint8Array(BYTES)];
  /** The places that may come next. */
  readonly follow: Set<number>[] = [new Set()];
  readonly #text: string;
  /** Parts that were added, those of nothing too. */
  #parts = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Adds a part, and what may follow within it. */
  add(node: PatternNode): Extent {
    if (++this.#parts > PARTS_PER_POSITION * PATTERN_POSITIONS_MAX) throw tooLarge(this.#text);
    switch (node.kind) {
      case "set": {
        const position = this.members.push(node.members) - 1;
        if (position > PATTERN_POSITIONS_MAX) throw tooLarge(this.#text);
        this.follow.push(new Set());
        const here = new Set([position]);
        return { isNullable: false, first: here, last: here };
      }
      case "sequence":
        return node.parts.reduce<Extent>((all, part) => this.#join(all, this.add(part)), NOTHING);
      case "choice": {
        const parts = node.parts.map((part) => this.add(part));
        return {
          isNullable: parts.some(({ isNullable }) => isNullable),
          first: new Set(parts.flatMap(({ first }) => [...first])),
          last: new Set(parts.flatMap(({ last }) => [...last])),
        };
      }
      case "repeat":
        return this.#repeat(node.part, node.least, node.most);
    }
  }

  #repeat(part: PatternNode, least: number, most: number): Extent {
    let all = NOTHING;
    for (let i = 0; i < least; i++) {
      const once = this.add(part);
      if (i === least - 1 && most === Infinity) this.#link(once.last, once.first);
      all = this.#join(all, once);
    }
    if (most === Infinity) {
      if (least > 0) return all;
      const once = this.add(part);
      this.#link(once.last, once.first);
      return { ...once, isNullable: true };
    }
    for (let i = least; i < most; i++) {
      all = this.#join(all, { ...this.add(part), isNullable: true });
    }
    return all;
  }

  #join(a: Extent, b: Extent): Extent {
    this.#link(a.last, b.first);
    return {
      isNullable: a.isNullable && b.isNullable,
      first: a.isNullable ? new Set([...a.first, ...b.first]) : a.first,
      last: b.isNullable ? new Set([...a.last, ...b.last]) : b.last,
    };
  }

  #link(from: ReadonlySet<number>, to: ReadonlySet<number>): void {
    for (const position of from) for (const next of to) this.follow[position]?.add(next);
  }
}

/** The states that can be reached, each a set of places, and what each byte leads to. */
function tableOf(
  positions: Positions,
  ends: ReadonlySet<number>,
  text: string,
): PatternTable {
  const [columns, columnOf] = byteColumns(positions.members);
  const numbers = new Map<string, number>();
  // State 0 is where nothing can match any more.
  const states: (readonly number[])[] = [[]];
  const next: number[] = [];
  const numberOf = (state: readonly number[]): number => {
    const key = state.join();
    const known = numbers.get(key);
    if (known !== undefined) return known;
    if (states.length >= PATTERN_STATES_MAX) throw tooLarge(text);
    numbers.set(key, states.length);
    return states.push(state) - 1;
  };
  numbers.set("", 0);
  const start = numberOf([BEGINNING]);
  for (let at = 0; at < states.length; at++) {
    const reachable = new Set((states[at] ?? []).flatMap((place) => [
      ...positions.follow[place] ?? [],
    ]));
    const sorted = [...reachable].sort((a, b) => a - b);
    for (const byte of columns) {
      next.push(numberOf(sorted.filter((place) => positions.members[place]?.[byte] === 1)));
    }
  }
  const accepts = states.map((state) => state.some((place) => ends.has(place)) ? 1 : 0);
  return new PatternTable({
    columnOf,
    columns: columns.length,
    next: Uint16Array.from(next),
    accepts: Uint8Array.from(accepts),
    start,
  });
}

/** Bytes that no place tells apart share a column: one byte of each, and the column of every byte. */
function byteColumns(sets: readonly Uint8Array[]): [readonly number[], Uint8Array] {
  const known = new Map<string, number>();
  const columns: number[] = [];
  const columnOf = new Uint8Array(BYTES);
  for (let byte = 0; byte < BYTES; byte++) {
    let key = "";
    for (const members of sets) key += members[byte];
    let column = known.get(key);
    if (column === undefined) {
      known.set(key, column = columns.length);
      columns.push(byte);
    }
    columnOf[byte] = column;
  }
  return [columns, columnOf];
}

function tooLarge(text: string): Fault {
  return new Fault(
    "invalid_argument",
    `Cannot use the pattern "${text}": it has too many possibilities to be compared quickly`,
  );
}
