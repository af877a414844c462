/**
 * HPACK as the RFC tells it, with strings and exceptions: slow, short, and with nothing in common with
 * the product's decoder but the limits. Tests compare the two.
 */

import { asciiText } from "../../lib/base/bytes.ts";
import {
  HEADER_COUNT_MAX,
  HEADER_LIST_BYTES_MAX,
  HEADERS_ADDED_MAX,
} from "../../lib/base/limits.ts";
import type { HpackReason } from "../../lib/wire/http2/hpack/mod.ts";
import { type Field, HUFFMAN_BITS } from "./hpack.ts";

const STATIC: readonly Field[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  ...["200", "204", "206", "304", "400", "404", "500"].map((code): Field => [":status", code]),
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ...("accept-language accept-ranges accept access-control-allow-origin age allow authorization " +
    "cache-control content-disposition content-encoding content-language content-length " +
    "content-location content-range content-type cookie date etag expect expires from host " +
    "if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link " +
    "location max-forwards proxy-authenticate proxy-authorization range referer refresh " +
    "retry-after server set-cookie strict-transport-security transfer-encoding user-agent vary " +
    "via www-authenticate").split(" ").map((name): Field => [name, ""]),
];

const PSEUDO = [":authority", ":method", ":path", ":scheme", ":status"];
const SYMBOLS = new Map(HUFFMAN_BITS.map((bits, symbol) => [bits, symbol]));

/** Why decoding ended. */
class Refusal extends Error {
  constructor(readonly reason: keyof typeof HpackReason) {
    super(reason);
  }
}

/** What a block means. */
export interface Decoded {
  /** Undefined when the block is good; else the rest means nothing. */
  reason?: keyof typeof HpackReason;
  readonly fields: Field[];
  malformed: boolean;
  tooLarge: boolean;
}

/** A decoder. */
export class ReferenceDecoder {
  /** The newest first. */
  table: Field[] = [];
  maxBytes = 4_096;
  #block: Uint8Array = new Uint8Array(0);
  #at = 0;
  #listBytes = 0;

  decode(block: Uint8Array): Decoded {
    const decoded: Decoded = { fields: [], malformed: false, tooLarge: false };
    this.#block = block;
    this.#at = 0;
    this.#listBytes = 0;
    try {
      let begun = false;
      while (this.#at < block.length) begun = this.#instruction(decoded, begun);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      decoded.reason = error.reason;
    }
    return decoded;
  }

  #instruction(decoded: Decoded, begun: boolean): boolean {
    const first = this.#block[this.#at]!;
    if (first >= 0x80) {
      add(decoded, this.#entry(this.#integer(7)), this);
      return true;
    }
    if (first >= 0x20 && first < 0x40) {
      if (begun) throw new Refusal("LATE_SIZE_UPDATE");
      this.maxBytes = this.#integer(5);
      if (this.maxBytes > 4_096) throw new Refusal("TABLE_TOO_LARGE");
      this.#evict();
      return false;
    }
    const index = this.#integer(first >= 0x40 ? 6 : 4);
    const name = index === 0 ? this.#string() : () => this.#entry(index)[0];
    // The name's entry is looked up first, and no code is looked at before both strings are there.
    if (index !== 0) name();
    const value = this.#string();
    const field: Field = [name(), value(), first < 0x40 && (first & 0x10) !== 0];
    if (first >= 0x40) {
      this.table.unshift(field);
      this.#evict();
    }
    add(decoded, field, this);
    return true;
  }

  /** Counts a field's bytes; whether the list is still small enough. */
  count(field: Field, listed: number): boolean {
    if (this.#listBytes + sizeOf(field) > HEADER_LIST_BYTES_MAX) return false;
    if (listed === HEADER_COUNT_MAX + HEADERS_ADDED_MAX + 4) return false;
    this.#listBytes += sizeOf(field);
    return true;
  }

  #entry(index: number): Field {
    const field = index <= 61 ? STATIC[index - 1] : this.table[index - 62];
    if (field === undefined) throw new Refusal("BAD_INDEX");
    return [field[0], field[1]];
  }

  #evict(): void {
    let size = 0;
    const kept = this.table.findIndex((field) => (size += sizeOf(field)) > this.maxBytes);
    if (kept >= 0) this.table.length = kept;
  }

  #byte(): number {
    const byte = this.#block[this.#at++];
    if (byte === undefined) throw new Refusal("TRUNCATED");
    return byte;
  }

  #integer(bits: number): number {
    const full = 2 ** bits - 1;
    let value = this.#byte() & full;
    if (value < full) return value;
    for (let i = 0; i < 4; i++) {
      const byte = this.#byte();
      value += (byte & 0x7f) * 128 ** i;
      if (byte < 0x80) return value;
    }
    throw new Refusal("INTEGER_TOO_LARGE");
  }

  /** A string, decoded when it is asked for. */
  #string(): () => string {
    const coded = this.#at < this.#block.length && this.#block[this.#at]! >= 0x80;
    const length = this.#integer(7);
    const start = this.#at;
    this.#at += length;
    if (this.#at > this.#block.length) throw new Refusal("TRUNCATED");
    const block = this.#block;
    return () => coded ? decoded(block.slice(start, start + length)) : text(block, start, length);
  }
}

function text(block: Uint8Array, start: number, length: number): string {
  return asciiText(block, start, start + length);
}

function decoded(code: Uint8Array): string {
  let whole = "";
  let open = "";
  for (const byte of code) {
    for (const bit of byte.toString(2).padStart(8, "0")) {
      open += bit;
      const symbol = SYMBOLS.get(open);
      if (symbol === undefined) continue;
      if (symbol === 256) throw new Refusal("BAD_HUFFMAN");
      whole += String.fromCharCode(symbol);
      open = "";
    }
  }
  if (open.length > 7 || open.includes("0")) throw new Refusal("BAD_HUFFMAN");
  return whole;
}

function sizeOf(field: Field): number {
  return field[0].length + field[1].length + 32;
}

function add(decoded: Decoded, field: Field, decoder: ReferenceDecoder): void {
  if (decoded.tooLarge) return;
  if (!decoder.count(field, decoded.fields.length)) decoded.tooLarge = true;
  else if (isGood(field, decoded.fields)) {
    decoded.fields.push(field[2] === true ? field : [field[0], field[1]]);
  } else decoded.malformed = true;
}

function isGood([name, value]: Field, before: readonly Field[]): boolean {
  // deno-lint-ignore no-control-regex
  if (/[\0-\x08\x0a-\x1f\x7f]|^[ \t]|[ \t]$/.test(value)) return false;
  if (!name.startsWith(":")) return /^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name);
  return PSEUDO.includes(name) &&
    before.every(([other]) => other.startsWith(":") && other !== name);
}
