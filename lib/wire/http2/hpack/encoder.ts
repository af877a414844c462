// hot
/**
 * Encodes header blocks (RFC 7541 §6), for the processor's time rather than for the last byte: no
 * Huffman code, and one look-up a field. A field enters the dynamic table when it comes a second time
 * soon, so that values which never repeat neither cost an insertion nor push others out; from then on
 * it is one or two bytes. No list of names decides that.
 */

import type { ByteBuffer } from "../../../base/bytes.ts";
import { HPACK_TABLE_BYTES_MAX } from "../../../base/limits.ts";
import { type DynamicTable, ENTRY_INTS } from "./dynamic-table.ts";
import { fieldHash, nameHash } from "./field-hash.ts";
import { FieldIndex, holds } from "./field-index.ts";
import { INTEGERS_BYTES, Literal, writeInteger, writeLiteral } from "./literal.ts";
import {
  STATIC_BYTES,
  STATIC_COUNT,
  STATIC_ENTRIES,
  StaticIndex,
  staticName,
  staticValue,
} from "./static-table.ts";

/** A field above this part of the table is never indexed: it would push out several that repeat. */
const INDEXED_PART = 4;

/** Sets of hashes of fields seen lately, and how many there are in a set. */
const RECENT_SETS = 32;
const RECENT_WAYS = 4;
/** Leaves a number below `RECENT_WAYS` of 32 bits. */
const CHANCE_SHIFT = 30;

/** Names whose last field is remembered; two that share a place cost each other the longer look-up. */
const LAST_NAMES = 64;
const LAST_SHIFT = 26;

const NO_INTS = new Int32Array(0);

/** The sending side of a connection. Blocks must be sent in the order in which they were encoded. */
export class HpackEncoder {
  readonly #index: FieldIndex = new FieldIndex();
  /** The index's table. */
  readonly table: DynamicTable = this.#index.table;
  #recent: Int32Array = NO_INTS;
  #chance = 0;
  /** By name: the serial number of its last field in the table, or a negated static index. */
  #last: Int32Array = NO_INTS;
  /** The smallest table since the last block, −1 when the size has not changed. */
  #smallest = -1;

  /**
   * Takes the peer's SETTINGS_HEADER_TABLE_SIZE, of which at most `HPACK_TABLE_BYTES_MAX` are used. The
   * next block tells the peer of the change.
   */
  setMaxTableBytes(peerMax: number): void {
    const bytes = Math.min(peerMax, HPACK_TABLE_BYTES_MAX);
    if (bytes === this.table.maxBytes) return;
    if (this.#smallest < 0 || bytes < this.#smallest) this.#smallest = bytes;
    this.#index.resize(bytes);
    if (bytes > 0) return;
    this.#recent = NO_INTS;
    this.#last = NO_INTS;
  }

  /** Begins a block: tells of changed table sizes (RFC 7541 §4.2). */
  begin(out: ByteBuffer): void {
    if (this.#smallest < 0) return;
    out.reserve(INTEGERS_BYTES);
    if (this.#smallest < this.table.maxBytes) {
      // 0 stands for the smallest: Go's decoder takes a second update only while its table is empty.
      this.table.clear();
      writeInteger(out, 0x20, 0x1f, 0);
    }
    writeInteger(out, 0x20, 0x1f, this.table.maxBytes);
    this.#smallest = -1;
  }

  /** A field of the static table, by its index from 1 to 61. */
  indexedStatic(index: number, out: ByteBuffer): void {
    out.reserve(1);
    out.bytes[out.end++] = 0x80 | index;
  }

  /** `:status`; `code` is 100–999. */
  status(code: number, out: ByteBuffer): void {
    out.reserve(5);
    const known = statusIndex(code);
    if (known !== 0) {
      out.bytes[out.end++] = 0x80 | known;
      return;
    }
    let at = out.end;
    out.bytes[at++] = Literal.NOT_INDEXED | StaticIndex.STATUS_200;
    out.bytes[at++] = 3;
    out.bytes[at++] = 0x30 + Math.floor(code / 100);
    out.bytes[at++] = 0x30 + Math.floor(code / 10) % 10;
    out.bytes[at++] = 0x30 + code % 10;
    out.end = at;
  }

  /**
   * Any field, a pseudo header too. The name may have upper-case letters, which are lowered, and is not
   * empty. `neverIndexed`: it came so, and must stay a literal on every hop.
   */
  field(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    neverIndexed: boolean,
    out: ByteBuffer,
  ): void {
    out.reserve(nameEnd - nameStart + valueEnd - valueStart + INTEGERS_BYTES);
    const name = nameHash(bytes, nameStart, nameEnd);
    if (neverIndexed) {
      const index = staticName(bytes, nameStart, nameEnd, name);
      writeLiteral(
        bytes,
        nameStart,
        nameEnd,
        valueStart,
        valueEnd,
        Literal.NEVER_INDEXED,
        index,
        out,
      );
      return;
    }
    const last = this.#recall(bytes, nameStart, nameEnd, valueStart, valueEnd, name);
    if (last !== 0) writeInteger(out, 0x80, 0x7f, last);
    else this.#lookUp(bytes, nameStart, nameEnd, valueStart, valueEnd, name, out);
  }

  /** The index of the field when it is the last one known of that name, else 0. */
  #recall(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    name: number,
  ): number {
    const last = this.#last;
    if (last.length === 0) return 0;
    const serial = last[name >>> LAST_SHIFT]!;
    if (serial < 0 && serial >= -STATIC_COUNT) {
      const entry = -serial * ENTRY_INTS;
      return holds(
          STATIC_BYTES,
          STATIC_ENTRIES,
          entry,
          bytes,
          nameStart,
          nameEnd,
          valueStart,
          valueEnd,
        )
        ? -serial
        : 0;
    }
    const table = this.table;
    const age = table.age(serial);
    const entry = table.at(age);
    if (entry < 0) return 0;
    return holds(
        table.bytes,
        table.entries,
        entry,
        bytes,
        nameStart,
        nameEnd,
        valueStart,
        valueEnd,
      )
      ? STATIC_COUNT + 1 + age
      : 0;
  }

  /** Finds the field in all places, or writes it as a literal, and learns it when it repeats. */
  #lookUp(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    name: number,
    out: ByteBuffer,
  ): void {
    if (this.#last.length === 0) this.#last = new Int32Array(LAST_NAMES);
    const index = staticName(bytes, nameStart, nameEnd, name);
    const whole = index === 0 ? 0 : staticValue(index, bytes, valueStart, valueEnd);
    if (whole !== 0) {
      this.#last[name >>> LAST_SHIFT] = -whole;
      writeInteger(out, 0x80, 0x7f, whole);
      return;
    }
    let kind: number = Literal.NOT_INDEXED;
    let hash = 0;
    const size = nameEnd - nameStart + valueEnd - valueStart + 32;
    if (size * INDEXED_PART <= this.table.maxBytes) {
      hash = fieldHash(name, bytes, valueStart, valueEnd);
      const age = this.#index.find(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
      if (age >= 0) {
        this.#last[name >>> LAST_SHIFT] = this.table.inserted - age;
        writeInteger(out, 0x80, 0x7f, STATIC_COUNT + 1 + age);
        return;
      }
      if (this.#repeats(hash)) kind = Literal.INDEXING;
    }
    writeLiteral(bytes, nameStart, nameEnd, valueStart, valueEnd, kind, index, out);
    if (kind !== Literal.INDEXING) return;
    this.#index.insert(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
    this.#last[name >>> LAST_SHIFT] = this.table.inserted;
  }

  /** Whether the field was seen lately; notes it. */
  #repeats(hash: number): boolean {
    if (this.#recent.length === 0) this.#recent = new Int32Array(RECENT_SETS * RECENT_WAYS);
    const recent = this.#recent;
    const first = (hash & (RECENT_SETS - 1)) * RECENT_WAYS;
    for (let i = first; i < first + RECENT_WAYS; i++) if (recent[i] === hash) return true;
    // By chance, not by age: of too many that come in turn, some then stay and get into the table.
    this.#chance = (Math.imul(this.#chance, 1_664_525) + 1_013_904_223) | 0;
    recent[first + (this.#chance >>> CHANCE_SHIFT)] = hash;
    return false;
  }
}

/** Index of `:status` with that code, 0 when the static table has none. */
function statusIndex(code: number): number {
  switch (code) {
    case 200:
      return StaticIndex.STATUS_200;
    case 204:
      return 9;
    case 206:
      return 10;
    case 304:
      return 11;
    case 400:
      return 12;
    case 404:
      return 13;
    case 500:
      return 14;
    default:
      return 0;
  }
}
