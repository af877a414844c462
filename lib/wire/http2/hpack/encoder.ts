// hot
/**
 * Encodes header blocks (RFC 7541 §6), for the processor's time rather than for the last byte: no
 * Huffman code, and one look-up a field. A field enters the dynamic table when it comes a second time
 * soon, so that values which never repeat neither cost an insertion nor push others out; from then on
 * it is one or two bytes. No list of names decides that.
 */

import {
  type ByteBuffer,
  copyBytes,
  copyLower,
  equalsAt,
  equalsLowerAt,
} from "../../../base/bytes.ts";
import { HPACK_TABLE_BYTES_MAX } from "../../../base/limits.ts";
import { DynamicTable, ENTRY_LENGTH, ENTRY_NAME, ENTRY_START, ENTRY_TAG } from "./dynamic-table.ts";
import { fieldHash, nameHash } from "./field-hash.ts";
import { STATIC_COUNT, StaticIndex, staticName, staticValue } from "./static-table.ts";

/** Table size that both sides begin with (RFC 9113 §6.5.2). */
const INITIAL_TABLE_BYTES = 4_096;

/** A field above this part of the table is never indexed: it would push out several that repeat. */
const INDEXED_PART = 4;

/** Hashes of fields seen lately; one that is overwritten is taken for new once more. Power of two. */
const RECENT = 128;

/** Slots of the index looked at for one hash. */
const PROBES = 4;
/** Numbers of a slot: the hash, and the entry's serial number. */
const SLOT_INTS = 2;
/** Slots for each place of the table's ring, which keeps probes short. */
const SLOTS_PER_ENTRY = 4;

/** First bytes of the kinds of literals (RFC 7541 §6.2). */
const INDEXING = 0x40;
const NOT_INDEXED = 0x00;
const NEVER_INDEXED = 0x10;

/** Bytes of three integers: two lengths and an index. */
const INTEGERS_BYTES = 18;

const NO_INTS = new Int32Array(0);

/** The sending side of a connection. Blocks must be sent in the order in which they were encoded. */
export class HpackEncoder {
  readonly table: DynamicTable = new DynamicTable(INITIAL_TABLE_BYTES);
  /** Where a hash may be found in the table; slots of evicted entries are left as they are. */
  #index: Int32Array = NO_INTS;
  #recent: Int32Array = NO_INTS;
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
    this.table.resize(bytes);
    if (bytes > 0) return;
    this.#index = NO_INTS;
    this.#recent = NO_INTS;
  }

  /** Begins a block: tells of changed table sizes (RFC 7541 §4.2). */
  begin(out: ByteBuffer): void {
    if (this.#smallest < 0) return;
    out.reserve(INTEGERS_BYTES);
    if (this.#smallest < this.table.maxBytes) writeInteger(out, 0x20, 0x1f, this.#smallest);
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
    out.bytes[at++] = NOT_INDEXED | StaticIndex.STATUS_200;
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
    const size = nameEnd - nameStart + valueEnd - valueStart + 32;
    if (neverIndexed || size * INDEXED_PART > this.table.maxBytes) {
      this.#plain(bytes, nameStart, nameEnd, valueStart, valueEnd, neverIndexed, name, out);
      return;
    }
    const hash = fieldHash(name, bytes, valueStart, valueEnd);
    const known = this.#find(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
    if (known !== 0) {
      writeInteger(out, 0x80, 0x7f, known);
      return;
    }
    const index = staticName(bytes, nameStart, nameEnd, name);
    if (index !== 0) {
      const whole = staticValue(index, bytes, valueStart, valueEnd);
      if (whole !== 0) {
        out.bytes[out.end++] = 0x80 | whole;
        return;
      }
    }
    if (!this.#repeats(hash)) {
      writeLiteral(bytes, nameStart, nameEnd, valueStart, valueEnd, NOT_INDEXED, index, out);
      return;
    }
    writeLiteral(bytes, nameStart, nameEnd, valueStart, valueEnd, INDEXING, index, out);
    this.#insert(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
  }

  /** A field that the table does not learn: a whole entry of the static table still names it. */
  #plain(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    neverIndexed: boolean,
    name: number,
    out: ByteBuffer,
  ): void {
    const index = staticName(bytes, nameStart, nameEnd, name);
    if (index !== 0 && !neverIndexed) {
      const whole = staticValue(index, bytes, valueStart, valueEnd);
      if (whole !== 0) {
        out.bytes[out.end++] = 0x80 | whole;
        return;
      }
    }
    const kind = neverIndexed ? NEVER_INDEXED : NOT_INDEXED;
    writeLiteral(bytes, nameStart, nameEnd, valueStart, valueEnd, kind, index, out);
  }

  /** The field's index in the dynamic table, 0 when it is not there. */
  #find(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    hash: number,
  ): number {
    const index = this.#index;
    const table = this.table;
    const mask = index.length - 1;
    // Without any insertion the array is empty, and reading it would be slow.
    if (mask < 0) return 0;
    let slot = (hash << 1) & mask;
    for (let probe = 0; probe < PROBES; probe++) {
      if (index[slot] === hash) {
        const age = table.age(index[slot + 1]!);
        const entry = table.at(age);
        if (entry >= 0) {
          const start = table.entries[entry + ENTRY_START]!;
          const nameLength = table.entries[entry + ENTRY_NAME]!;
          const length = nameLength + 2 + valueEnd - valueStart;
          if (
            nameLength === nameEnd - nameStart && table.entries[entry + ENTRY_LENGTH] === length &&
            equalsLowerAt(bytes, nameStart, nameEnd, table.bytes, start) &&
            equalsAt(bytes, valueStart, valueEnd, table.bytes, start + nameLength + 2)
          ) return STATIC_COUNT + 1 + age;
        }
      }
      slot = (slot + SLOT_INTS) & mask;
    }
    return 0;
  }

  /** Whether the field was seen lately; notes it. */
  #repeats(hash: number): boolean {
    if (this.#recent.length === 0) this.#recent = new Int32Array(RECENT);
    const slot = hash & (RECENT - 1);
    if (this.#recent[slot] === hash) return true;
    this.#recent[slot] = hash;
    return false;
  }

  #insert(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    hash: number,
  ): void {
    const table = this.table;
    const entry = table.insert(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
    const start = table.entries[entry + ENTRY_START]!;
    copyLower(table.bytes, start, start + nameEnd - nameStart, table.bytes, start);
    const ints = (table.mask + 1) * SLOTS_PER_ENTRY * SLOT_INTS;
    if (ints === this.#index.length) this.#note(hash, 0);
    else {
      this.#index = new Int32Array(ints);
      for (let age = table.count - 1; age >= 0; age--) {
        this.#note(table.entries[table.at(age) + ENTRY_TAG]!, age);
      }
    }
  }

  /** Makes an entry findable; where all slots of its hash are taken, in place of another one. */
  #note(hash: number, age: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    const first = (hash << 1) & mask;
    let chosen = first;
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = (first + probe * SLOT_INTS) & mask;
      if (this.table.age(index[slot + 1]!) < this.table.count) continue;
      chosen = slot;
      break;
    }
    index[chosen] = hash;
    index[chosen + 1] = this.table.inserted - age;
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

/** Writes a literal; `index` is its name's in the static table, 0 for a new name. */
function writeLiteral(
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
  kind: number,
  index: number,
  out: ByteBuffer,
): void {
  writeInteger(out, kind, kind === INDEXING ? 0x3f : 0x0f, index);
  if (index === 0) {
    writeInteger(out, 0, 0x7f, nameEnd - nameStart);
    copyLower(bytes, nameStart, nameEnd, out.bytes, out.end);
    out.end += nameEnd - nameStart;
  }
  writeInteger(out, 0, 0x7f, valueEnd - valueStart);
  copyBytes(bytes, valueStart, valueEnd, out.bytes, out.end);
  out.end += valueEnd - valueStart;
}

/** Writes an integer behind the bits of `first` (RFC 7541 §5.1); there is room for it. */
function writeInteger(out: ByteBuffer, first: number, prefix: number, value: number): void {
  const bytes = out.bytes;
  let at = out.end;
  if (value < prefix) bytes[at++] = first | value;
  else {
    bytes[at++] = first | prefix;
    value -= prefix;
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    bytes[at++] = value;
  }
  out.end = at;
}
