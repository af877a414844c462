// hot
/**
 * The dynamic table of one direction (RFC 7541 §2.3.2): a queue of fields, each kept as a line
 * `name: value` with its CRLF, and a number that the owner gives it once (the decoder the mark, the
 * encoder the hash). Memory follows what is stored: nothing at first, at most twice the table's bytes.
 *
 *     lines:    [ evicted | oldest … newest | free ]      moved to the front when full
 *     entries:  ring of ENTRY_INTS numbers each, at (number of the insertion) mod capacity
 */

import { copyBytes } from "../../../base/bytes.ts";

/** Table size that both sides begin with (RFC 9113 §6.5.2). */
export const INITIAL_TABLE_BYTES = 4_096;

/** Numbers of an entry, at these offsets. */
export const ENTRY_INTS = 4;
/** Where the line begins. */
export const ENTRY_START = 0;
/** Bytes of the name. */
export const ENTRY_NAME = 1;
/** Bytes of the line, without its CRLF. */
export const ENTRY_LENGTH = 2;
/** The owner's number. */
export const ENTRY_TAG = 3;

/** What the RFC adds to name and value for each entry, less the separator in a line's length. */
export const LINE_OVERHEAD = 32 - 2;

const ENTRIES_FIRST = 8;
const LINES_BYTES_FIRST = 256;

const NO_BYTES = new Uint8Array(0);
const NO_ENTRIES = new Int32Array(0);

/** The table; owners read `bytes` and `entries` in place, and only this class writes them. */
export class DynamicTable {
  bytes: Uint8Array = NO_BYTES;
  entries: Int32Array = NO_ENTRIES;
  /** Number of entries. */
  count = 0;
  /** Bytes of all entries by the RFC's count. */
  size = 0;
  maxBytes: number;
  /** Number of insertions so far, modulo 2^32. */
  inserted = 0;
  /** Capacity of the ring − 1. */
  mask = -1;
  /** Behind the newest line. */
  #end = 0;

  constructor(maxBytes: number) {
    this.maxBytes = maxBytes;
  }

  /** Offset in `entries` of the entry inserted `age` insertions ago, 0 the newest; −1 for none. */
  at(age: number): number {
    if (age >= this.count) return -1;
    return ((this.inserted - 1 - age) & this.mask) * ENTRY_INTS;
  }

  /**
   * Age of the entry of that serial number, which is what `inserted` was right after its insertion. Not
   * below `count` when it is gone, as for 0, which no entry has before 2^32 insertions.
   */
  age(serial: number): number {
    return (this.inserted - serial) >>> 0;
  }

  /** Changes the limit; evicts what does not fit any more. 0 gives all memory back. */
  resize(maxBytes: number): void {
    this.maxBytes = maxBytes;
    this.#evict(0);
    if (maxBytes > 0) return;
    this.bytes = NO_BYTES;
    this.entries = NO_ENTRIES;
    this.mask = -1;
  }

  /** Evicts everything: what a field does that is larger than the table (RFC 7541 §4.4). */
  clear(): void {
    this.count = 0;
    this.size = 0;
    this.#end = 0;
  }

  /**
   * Inserts the field whose name and value stand in `bytes`, which is not the table's own. Returns its
   * offset in `entries`, or −1 when it is larger than the table, which is then empty.
   */
  insert(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    tag: number,
  ): number {
    const nameLength = nameEnd - nameStart;
    const length = nameLength + 2 + valueEnd - valueStart;
    if (length + LINE_OVERHEAD > this.maxBytes) {
      this.clear();
      return -1;
    }
    this.#evict(length + LINE_OVERHEAD);
    if (this.count > this.mask) this.#growEntries();
    const start = this.#room(length + 2);
    const lines = this.bytes;
    copyBytes(bytes, nameStart, nameEnd, lines, start);
    lines[start + nameLength] = 0x3a;
    lines[start + nameLength + 1] = 0x20;
    copyBytes(bytes, valueStart, valueEnd, lines, start + nameLength + 2);
    lines[start + length] = 0x0d;
    lines[start + length + 1] = 0x0a;
    this.#end = start + length + 2;
    const entry = (this.inserted & this.mask) * ENTRY_INTS;
    this.entries[entry + ENTRY_START] = start;
    this.entries[entry + ENTRY_NAME] = nameLength;
    this.entries[entry + ENTRY_LENGTH] = length;
    this.entries[entry + ENTRY_TAG] = tag;
    this.inserted = (this.inserted + 1) | 0;
    this.count++;
    this.size += length + LINE_OVERHEAD;
    return entry;
  }

  /** Evicts the oldest entries until `incoming` bytes fit; all of them at most. */
  #evict(incoming: number): void {
    while (this.count > 0 && this.size + incoming > this.maxBytes) {
      this.size -= this.entries[this.at(this.count - 1) + ENTRY_LENGTH]! + LINE_OVERHEAD;
      this.count--;
    }
    if (this.count === 0) this.#end = 0;
  }

  /** Where the next line begins, with room for `length` bytes. */
  #room(length: number): number {
    if (this.#end + length <= this.bytes.length) return this.#end;
    const from = this.count === 0 ? 0 : this.entries[this.at(this.count - 1) + ENTRY_START]!;
    const live = this.#end - from;
    // Moving in place only while half is free keeps the cost of a byte inserted constant.
    if ((live + length) * 2 <= this.bytes.length) this.bytes.copyWithin(0, from, this.#end);
    else {
      const wanted = Math.max(LINES_BYTES_FIRST, this.bytes.length * 2, (live + length) * 2);
      const grown = new Uint8Array(Math.min(wanted, this.maxBytes * 2));
      copyBytes(this.bytes, from, this.#end, grown, 0);
      this.bytes = grown;
    }
    for (let age = 0; age < this.count; age++) this.entries[this.at(age) + ENTRY_START]! -= from;
    this.#end = live;
    return live;
  }

  #growEntries(): void {
    const capacity = Math.max(ENTRIES_FIRST, (this.mask + 1) * 2);
    const grown = new Int32Array(capacity * ENTRY_INTS);
    for (let age = 0; age < this.count; age++) {
      const from = this.at(age);
      const to = ((this.inserted - 1 - age) & (capacity - 1)) * ENTRY_INTS;
      for (let i = 0; i < ENTRY_INTS; i++) grown[to + i] = this.entries[from + i]!;
    }
    this.entries = grown;
    this.mask = capacity - 1;
  }
}
