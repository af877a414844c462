/**
 * The syntax of patterns that manifests hold, read into a tree: what the usual regular expressions have in
 * common, over bytes. What needs to look back or ahead is refused, as it is by engines that take linear time.
 *
 *     a . \. \d \w \s [a-z] [^/] (x|y) (?:x) (?i)x x? x* x+ x{2} x{2,} x{2,5}
 */

import { Fault } from "./fault.ts";

/** A part of a pattern. */
export type PatternNode =
  /** One byte out of a set, which has a 1 at each of its members. */
  | { readonly kind: "set"; readonly members: Uint8Array }
  | { readonly kind: "sequence"; readonly parts: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly parts: readonly PatternNode[] }
  /** `most` Infinity: any number. */
  | {
    readonly kind: "repeat";
    readonly part: PatternNode;
    readonly least: number;
    readonly most: number;
  };

const BYTES = 256;
const NEWLINE = 10;
/** Groups in groups; the reader calls itself for each. */
const DEPTH_MAX = 50;
/** Of one `{n}`. */
const REPEATS_MAX = 1_000;

const CLASSES: Readonly<Record<string, string>> = {
  d: "0-9",
  w: "0-9A-Za-z_",
  s: " \t-\r",
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11 };

/** Reads a pattern that must match all of a text, whether or not it says `^` and `$`. Throws a `Fault`. */
export function parsePattern(text: string): PatternNode {
  const reader = new Reader(text);
  const node = reader.choice(true, 0);
  if (!reader.atEnd) throw reader.wrong('unmatched ")"');
  return node;
}

class Reader {
  readonly #text: string;
  #at = 0;
  #ignoresCase = false;

  constructor(text: string) {
    this.#text = text;
  }

  get atEnd(): boolean {
    return this.#at >= this.#text.length;
  }

  wrong(what: string): Fault {
    const place = `at character ${this.#at + 1} of "${this.#text}"`;
    return new Fault("invalid_argument", `Cannot read a pattern: ${what} ${place}`);
  }

  /** Alternatives up to the end of the group; `top`: of the whole pattern, where anchors may stand. */
  choice(top: boolean, depth: number): PatternNode {
    if (depth > DEPTH_MAX) throw this.wrong(`more than ${DEPTH_MAX} groups in each other`);
    const parts: PatternNode[] = [];
    const anchors = new Set<string>();
    do {
      const begins = top && this.#take("^");
      parts.push(this.#sequence(depth));
      const ends = top && this.#take("$");
      anchors.add(`${begins} ${ends}`);
    } while (this.#take("|"));
    // Engines would search with the one and compare with the other.
    if (anchors.size > 1) throw this.wrong("alternatives with different anchors");
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: "choice", parts };
  }

  #sequence(depth: number): PatternNode {
    const parts: PatternNode[] = [];
    while (!this.atEnd && !"|)$".includes(this.#text[this.#at] ?? "")) {
      parts.push(...this.#repeated(this.#atom(depth)));
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : { kind: "sequence", parts };
  }

  /** The nodes with what stands behind the last of them: `*`, `{2}` and the like. */
  #repeated(nodes: readonly PatternNode[]): readonly PatternNode[] {
    const bounds = this.#bounds();
    const part = nodes.at(-1);
    if (bounds === undefined || part === undefined) return nodes;
    const [least, most] = bounds;
    // Whether it takes much or little first makes no difference to a match of the whole.
    this.#take("?");
    if ("*+?{".includes(this.#text[this.#at] ?? " ")) throw this.wrong("nothing to repeat");
    return [...nodes.slice(0, -1), { kind: "repeat", part, least, most }];
  }

  #bounds(): readonly [number, number] | undefined {
    if (this.#take("*")) return [0, Infinity];
    if (this.#take("+")) return [1, Infinity];
    if (this.#take("?")) return [0, 1];
    if (!this.#take("{")) return undefined;
    const [all, from = "", comma, to = ""] = /^(\d{1,4})(,)?(\d{1,4})?}/.exec(this.#rest()) ?? [];
    if (all === undefined) throw this.wrong("no number of repetitions such as {2} or {2,5}");
    this.#at += all.length;
    const least = Number(from);
    const most = comma === undefined ? least : to === "" ? Infinity : Number(to);
    if (least > most || least > REPEATS_MAX || (most > REPEATS_MAX && most !== Infinity)) {
      throw this.wrong(`repetitions that are not rising or above ${REPEATS_MAX}`);
    }
    return [least, most];
  }

  /** One thing; a character beyond ASCII is several bytes. */
  #atom(depth: number): readonly PatternNode[] {
    const character = this.#next();
    switch (character) {
      case "(":
        return [this.#group(depth)];
      case "[":
        return [set(this.#bracket())];
      case ".":
        return [set(allBut(membersOf([NEWLINE])))];
      case "\\":
        return [set(this.#escaped())];
      case "^":
        throw this.wrong('"^" in the middle');
      case "*":
      case "+":
      case "?":
      case "{":
        throw this.wrong("nothing to repeat");
      default: {
        const bytes = [...new TextEncoder().encode(character)];
        const sets = bytes.map((byte) => set(this.#cased(membersOf([byte]))));
        return sets.length === 1 ? sets : [{ kind: "sequence", parts: sets }];
      }
    }
  }

  #group(depth: number): PatternNode {
    const [flags] = /^\?i\)/.exec(this.#rest()) ?? [];
    if (flags !== undefined) {
      this.#at += flags.length;
      this.#ignoresCase = true;
      return { kind: "sequence", parts: [] };
    }
    const [opening] = /^\?(?::|P?<[A-Za-z_]\w*>)/.exec(this.#rest()) ?? [];
    if (opening !== undefined) this.#at += opening.length;
    else if (this.#text[this.#at] === "?") throw this.wrong("a group of a kind that is not known");
    const ignoredCase = this.#ignoresCase;
    const node = this.choice(false, depth + 1);
    this.#ignoresCase = ignoredCase;
    if (!this.#take(")")) throw this.wrong('"(" without ")"');
    return node;
  }

  #bracket(): Uint8Array {
    const isNegated = this.#take("^");
    const members = new Uint8Array(BYTES);
    let isFirst = true;
    while (isFirst || this.#text[this.#at] !== "]") {
      isFirst = false;
      const from = this.#member();
      const isRange = this.#text[this.#at] === "-" && this.#text[this.#at + 1] !== "]";
      if (typeof from !== "number" || !isRange) {
        addAll(members, typeof from === "number" ? membersOf([from]) : from);
        continue;
      }
      this.#at++;
      const to = this.#member();
      if (typeof to !== "number" || to < from) throw this.wrong("a range that does not rise");
      for (let byte = from; byte <= to; byte++) members[byte] = 1;
    }
    this.#at++;
    const cased = this.#cased(members);
    return isNegated ? allBut(cased) : cased;
  }

  /** A byte, or a class such as `\d`. */
  #member(): number | Uint8Array {
    const character = this.#next();
    if (character === "[") throw this.wrong('"[" in brackets (write \\[)');
    if (character !== "\\") return this.#ascii(character);
    const members = this.#escaped();
    const first = members.indexOf(1);
    return members.indexOf(1, first + 1) < 0 ? first : members;
  }

  /** What `\` and the next character stand for. */
  #escaped(): Uint8Array {
    const character = this.#next();
    const members = CLASSES[character.toLowerCase()];
    if (members !== undefined) {
      const made = rangesOf(members);
      return character === character.toLowerCase() ? made : allBut(made);
    }
    const control = CONTROLS[character];
    if (control !== undefined) return membersOf([control]);
    if (character === "x") {
      const [digits] = /^[0-7][0-9a-fA-F]/.exec(this.#rest()) ?? [];
      if (digits === undefined) throw this.wrong("no ASCII character in two hexadecimal digits");
      this.#at += digits.length;
      return this.#cased(membersOf([Number.parseInt(digits, 16)]));
    }
    if (/[0-9A-Za-z]/.test(character)) throw this.wrong(`"\\${character}", which is not known,`);
    return membersOf([this.#ascii(character)]);
  }

  #ascii(character: string): number {
    const code = character.codePointAt(0) ?? BYTES;
    if (code >= 0x80) throw this.wrong("a character beyond ASCII in brackets or escaped");
    return code;
  }

  #cased(members: Uint8Array): Uint8Array {
    if (!this.#ignoresCase) return members;
    const made = members.slice();
    for (let upper = 65; upper <= 90; upper++) {
      const either = (members[upper] ?? 0) | (members[upper + 32] ?? 0);
      made[upper] = either;
      made[upper + 32] = either;
    }
    return made;
  }

  #rest(): string {
    return this.#text.slice(this.#at);
  }

  #take(character: string): boolean {
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #next(): string {
    const [character] = this.#text.slice(this.#at, this.#at + 2);
    if (character === undefined) throw this.wrong("an end in the middle");
    this.#at += character.length;
    return character;
  }
}

function set(members: Uint8Array): PatternNode {
  return { kind: "set", members };
}

function membersOf(bytes: readonly number[]): Uint8Array {
  const members = new Uint8Array(BYTES);
  for (const byte of bytes) members[byte] = 1;
  return members;
}

/** Of `0-9A-Za-z_`. */
function rangesOf(text: string): Uint8Array {
  const members = new Uint8Array(BYTES);
  for (const [, from = "", to = from] of text.matchAll(/([^])(?:-([^]))?/g)) {
    for (let byte = from.charCodeAt(0); byte <= to.charCodeAt(0); byte++) members[byte] = 1;
  }
  return members;
}

function allBut(members: Uint8Array): Uint8Array {
  return members.map((member) => 1 - member);
}

function addAll(to: Uint8Array, members: Uint8Array): void {
  for (let byte = 0; byte < BYTES; byte++) to[byte] = (to[byte] ?? 0) | (members[byte] ?? 0);
}
