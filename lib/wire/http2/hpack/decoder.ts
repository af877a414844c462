// hot
/**
 * Decodes header blocks (RFC 7541 §6). The dynamic table stays right whatever the fields hold: a field
 * that is malformed or too much is noted, and decoding goes on; only what the table cannot be kept
 * right for ends it. A block that refers to large entries over and over costs a few nanoseconds a
 * byte and no memory once the list is too large.
 */

import { assert } from "../../../base/assert.ts";
import { copyBytes } from "../../../base/bytes.ts";
import {
  HEADER_LIST_BYTES_MAX,
  HPACK_INTEGER_CONTINUATIONS_MAX,
  HPACK_TABLE_BYTES_MAX,
} from "../../../base/limits.ts";
import { FIELD_VALUE } from "../../http/characters.ts";
import {
  DynamicTable,
  ENTRY_LENGTH,
  ENTRY_NAME,
  ENTRY_START,
  ENTRY_TAG,
  INITIAL_TABLE_BYTES,
  LINE_OVERHEAD,
} from "./dynamic-table.ts";
import {
  NAME_CODE,
  NAME_MALFORMED,
  nameMark,
  NEVER_INDEXED,
  VALUE_MALFORMED,
} from "../../http/field-name.ts";
import type { FieldLines } from "../../http/field-lines.ts";
import { decodeHuffman, huffmanBound, huffmanLength } from "./huffman.ts";
import { HpackReason } from "./reason.ts";
import { STATIC_BYTES, STATIC_COUNT, STATIC_ENTRIES } from "./static-table.ts";

const TAB = 0x09;
const SPACE = 0x20;

/** The receiving side of a connection. After a negative result it is of no use any more. */
export class HpackDecoder {
  readonly table: DynamicTable = new DynamicTable(INITIAL_TABLE_BYTES);
  readonly #maxTableBytes: number;
  /** What `#integer` and `#string` have read besides the offset behind it. */
  #value = 0;
  #huffman = false;
  /** The literal's name: an entry of one of the tables, or a string. */
  #nameAt = 0;
  #nameLength = 0;
  #nameHuffman = false;
  /** Of an entry; −1 for a string. */
  #nameMark = -1;
  #nameStatic = false;

  /**
   * `maxTableBytes` is what we announce as SETTINGS_HEADER_TABLE_SIZE. Not below the initial 4096: a
   * peer uses those until it has seen our settings.
   */
  constructor(maxTableBytes: number = HPACK_TABLE_BYTES_MAX) {
    assert(maxTableBytes >= INITIAL_TABLE_BYTES, "a decoder's table cannot be below 4096 bytes");
    this.#maxTableBytes = maxTableBytes;
  }

  /**
   * Decodes one whole block `bytes[start, end)` into `fields`, which are empty. Returns 0 or a negated
   * `HpackReason`.
   */
  decode(bytes: Uint8Array, start: number, end: number, fields: FieldLines): number {
    let at = start;
    while (at < end && (bytes[at]! & 0xe0) === 0x20) {
      at = this.#sizeUpdate(bytes, at, end);
      if (at < 0) return at;
    }
    while (at < end) {
      const first = bytes[at]!;
      if (first < 0x80) at = this.#literal(bytes, at, end, fields);
      else if (first < 0xff) at = this.#indexed(first & 0x7f, at + 1, fields);
      else {
        at = this.#integer(bytes, at + 1, end, 0x7f);
        if (at > 0) at = this.#indexed(this.#value, at, fields);
      }
      if (at < 0) return at;
    }
    return 0;
  }

  /** Returns `at`, or a negated reason. */
  #indexed(index: number, at: number, fields: FieldLines): number {
    if (index <= STATIC_COUNT) {
      if (index === 0) return -HpackReason.BAD_INDEX;
      this.#append(STATIC_BYTES, STATIC_ENTRIES, index << 2, fields);
      return at;
    }
    const table = this.table;
    const entry = table.at(index - STATIC_COUNT - 1);
    if (entry < 0) return -HpackReason.BAD_INDEX;
    this.#append(table.bytes, table.entries, entry, fields);
    return at;
  }

  #append(bytes: Uint8Array, entries: Int32Array, entry: number, fields: FieldLines): void {
    fields.append(
      bytes,
      entries[entry + ENTRY_START]!,
      entries[entry + ENTRY_NAME]!,
      entries[entry + ENTRY_LENGTH]!,
      entries[entry + ENTRY_TAG]!,
    );
  }

  #sizeUpdate(bytes: Uint8Array, at: number, end: number): number {
    this.#value = bytes[at++]! & 0x1f;
    if (this.#value === 0x1f) at = this.#integer(bytes, at, end, 0x1f);
    if (at < 0) return at;
    if (this.#value > this.#maxTableBytes) return -HpackReason.TABLE_TOO_LARGE;
    this.table.resize(this.#value);
    return at;
  }

  /** Returns the offset behind the field, or a negated reason. */
  #literal(bytes: Uint8Array, at: number, end: number, fields: FieldLines): number {
    const first = bytes[at++]!;
    if (first >= 0x20 && first < 0x40) return -HpackReason.LATE_SIZE_UPDATE;
    const insert = first >= 0x40;
    const mask = insert ? 0x3f : 0x0f;
    this.#value = first & mask;
    if (this.#value === mask) at = this.#integer(bytes, at, end, mask);
    if (at < 0) return at;
    at = this.#value === 0 ? this.#literalName(bytes, at, end) : this.#indexedName(at);
    if (at < 0) return at;
    at = this.#string(bytes, at, end);
    if (at < 0) return at;
    const next = at + this.#value;
    const reason = this.#store(bytes, at, next, insert, fields, insert ? 0 : first & 0x10);
    return reason === 0 ? next : -reason;
  }

  #literalName(bytes: Uint8Array, at: number, end: number): number {
    at = this.#string(bytes, at, end);
    if (at < 0) return at;
    this.#nameAt = at;
    this.#nameLength = this.#value;
    this.#nameHuffman = this.#huffman;
    this.#nameMark = -1;
    return at + this.#value;
  }

  #indexedName(at: number): number {
    const index = this.#value;
    const isStatic = index <= STATIC_COUNT;
    const entry = isStatic ? index << 2 : this.table.at(index - STATIC_COUNT - 1);
    if (entry < 0) return -HpackReason.BAD_INDEX;
    const entries = isStatic ? STATIC_ENTRIES : this.table.entries;
    this.#nameStatic = isStatic;
    this.#nameAt = entries[entry + ENTRY_START]!;
    this.#nameLength = entries[entry + ENTRY_NAME]!;
    this.#nameHuffman = false;
    this.#nameMark = entries[entry + ENTRY_TAG]! & (NAME_CODE | NAME_MALFORMED);
    return at;
  }

  /** Writes the literal as a line, and puts it where it belongs. Returns 0 or a reason. */
  #store(
    bytes: Uint8Array,
    at: number,
    end: number,
    insert: boolean,
    fields: FieldLines,
    never: number,
  ): number {
    const huffman = this.#huffman;
    const nameMax = this.#nameHuffman ? huffmanBound(this.#nameLength) : this.#nameLength;
    const lineMax = nameMax + (huffman ? huffmanBound(end - at) : end - at) + 2;
    if (fields.tooLarge || lineMax + LINE_OVERHEAD > HEADER_LIST_BYTES_MAX - fields.listBytes) {
      const size = this.#exactSize(bytes, at, end);
      if (size < 0) return HpackReason.BAD_HUFFMAN;
      if (this.#skips(size, insert, fields)) return 0;
    }
    fields.reserve(lineMax + 2);
    const lines = fields.bytes;
    const start = fields.fieldsEnd;
    const nameEnd = this.#writeName(bytes, lines, start);
    if (nameEnd < 0) return HpackReason.BAD_HUFFMAN;
    let mark = this.#nameMark < 0 ? nameMark(lines, start, nameEnd) : this.#nameMark;
    lines[nameEnd] = 0x3a;
    lines[nameEnd + 1] = 0x20;
    const valueStart = nameEnd + 2;
    const valueEnd = huffman
      ? decodeHuffman(bytes, at, end, lines, valueStart)
      : copyTo(bytes, at, end, lines, valueStart);
    if (valueEnd < 0) return HpackReason.BAD_HUFFMAN;
    lines[valueEnd] = 0x0d;
    lines[valueEnd + 1] = 0x0a;
    mark |= valueMark(lines, valueStart, valueEnd);
    if (insert) this.table.insert(lines, start, nameEnd, valueStart, valueEnd, mark);
    if (never !== 0) mark |= NEVER_INDEXED;
    if (!fields.admits(valueEnd - start, mark)) return 0;
    fields.commit(nameEnd - start, valueEnd - start, mark);
    return 0;
  }

  #writeName(bytes: Uint8Array, lines: Uint8Array, start: number): number {
    const from = this.#nameAt;
    const end = from + this.#nameLength;
    if (this.#nameHuffman) return decodeHuffman(bytes, from, end, lines, start);
    if (this.#nameMark < 0) return copyTo(bytes, from, end, lines, start);
    return copyTo(this.#nameStatic ? STATIC_BYTES : this.table.bytes, from, end, lines, start);
  }

  /** Size of the literal by the RFC's count, −1 when its Huffman code is not valid. */
  #exactSize(bytes: Uint8Array, at: number, end: number): number {
    const from = this.#nameAt;
    const name = this.#nameHuffman
      ? huffmanLength(bytes, from, from + this.#nameLength)
      : this.#nameLength;
    const value = this.#huffman ? huffmanLength(bytes, at, end) : end - at;
    return name < 0 || value < 0 ? -1 : name + value + 32;
  }

  /** Whether a literal of this size is neither for the list nor for the table; then notes it. */
  #skips(size: number, insert: boolean, fields: FieldLines): boolean {
    if (!fields.tooLarge && size <= HEADER_LIST_BYTES_MAX - fields.listBytes) return false;
    fields.tooLarge = true;
    if (!insert) return true;
    if (size <= this.table.maxBytes) return false;
    this.table.clear();
    return true;
  }

  /** Reads a string's length. Returns the offset of its first byte, or a negated reason. */
  #string(bytes: Uint8Array, at: number, end: number): number {
    if (at >= end) return -HpackReason.TRUNCATED;
    const first = bytes[at++]!;
    this.#huffman = first >= 0x80;
    this.#value = first & 0x7f;
    if (this.#value === 0x7f) at = this.#integer(bytes, at, end, 0x7f);
    if (at < 0) return at;
    return at + this.#value > end ? -HpackReason.TRUNCATED : at;
  }

  /** Reads the bytes of an integer behind its full prefix. Returns the offset behind it, or a reason. */
  #integer(bytes: Uint8Array, at: number, end: number, prefix: number): number {
    let value = prefix;
    for (let i = 0; i < HPACK_INTEGER_CONTINUATIONS_MAX; i++) {
      if (at >= end) return -HpackReason.TRUNCATED;
      const byte = bytes[at++]!;
      value += (byte & 0x7f) << (7 * i);
      if (byte < 0x80) {
        this.#value = value;
        return at;
      }
    }
    return -HpackReason.INTEGER_TOO_LARGE;
  }
}

function copyTo(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
  at: number,
): number {
  copyBytes(source, start, end, target, at);
  return at + end - start;
}

/** `VALUE_MALFORMED` for a value with forbidden bytes or white space around it. */
function valueMark(bytes: Uint8Array, start: number, end: number): number {
  if (start === end) return 0;
  if (isBlank(bytes[start]!) || isBlank(bytes[end - 1]!)) return VALUE_MALFORMED;
  for (let i = start; i < end; i++) if (FIELD_VALUE[bytes[i]!] !== 1) return VALUE_MALFORMED;
  return 0;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB;
}
