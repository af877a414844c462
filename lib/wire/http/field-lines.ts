// hot
/**
 * Header or trailer fields as lines `name: value CRLF` in one array, with the offsets of their parts
 * and the code of each name. HTTP/1 points into the bytes that came; HTTP/2 writes what it decodes in
 * the same form, pseudo headers as lines in front. So whatever stands above the codecs reads one
 * layout, and a head goes from either protocol to either protocol without a string. Objects are reused
 * and take memory when they are first filled.
 */

import { asciiBytes, asciiText, copyBytes, equalsIgnoreCase } from "../../base/bytes.ts";
import {
  FIELD_LINES_KEPT_BYTES,
  HEADER_COUNT_MAX,
  HEADER_LIST_BYTES_MAX,
  HEADERS_ADDED_MAX,
} from "../../base/limits.ts";
import {
  type FieldName,
  fieldName,
  NAME_CODE,
  NAME_MALFORMED,
  NEVER_INDEXED,
  PSEUDO_NAMES,
  VALUE_MALFORMED,
} from "./field-name.ts";

/** Offsets of one field in `ranges`: name start and end, value start and end. */
export const RANGES_PER_HEADER = 4;

/** What a field counts beside its name and value (RFC 7541 §4.1), less the `: ` of a line. */
const LINE_OVERHEAD = 30;
/** `:method`, `:scheme`, `:authority`, `:path`; each may stand in a block once. */
const PSEUDO_COUNT_MAX = 4;
const COUNT_MAX = HEADER_COUNT_MAX + HEADERS_ADDED_MAX + PSEUDO_COUNT_MAX;

const BYTES_FIRST = 512;
const FIELDS_FIRST = 16;

const NO_BYTES = new Uint8Array(0);
const NO_RANGES = new Int32Array(0);

/** Reusable; offsets are absolute in `bytes` and stay true as long as that array does. */
export class FieldLines {
  bytes: Uint8Array = NO_BYTES;
  /** Number of fields. */
  count = 0;
  /** `RANGES_PER_HEADER` offsets a field; the value without white space around it. */
  ranges: Int32Array = NO_RANGES;
  /** A byte a field: `FieldName`, and `NEVER_INDEXED`. */
  marks: Uint8Array = NO_BYTES;
  /** Names that occur, as a set of `1 << FieldName`. */
  seen = 0;
  /** Index of the first field that is no pseudo header. */
  firstRegular = 0;
  /** First byte of the regular fields' lines. */
  fieldsStart = 0;
  /** Behind the last line's CRLF; no blank line counts. */
  fieldsEnd = 0;
  /**
   * HTTP/2: some name or value may not stand in a message, or a pseudo header is unknown, repeated or
   * behind a regular field (RFC 9113 §8.2.1, §8.3). Such fields are left out, so that they cannot get
   * anywhere even by mistake.
   */
  malformed = false;
  /** HTTP/2: there are more or longer fields than are taken; those are left out. */
  tooLarge = false;
  /** HTTP/2: bytes of all fields as SETTINGS_MAX_HEADER_LIST_SIZE counts, up to the one that was too much. */
  listBytes = 0;

  /** The code of field `i`. */
  name(i: number): FieldName {
    return (this.marks[i]! & NAME_CODE) as FieldName;
  }

  isNeverIndexed(i: number): boolean {
    return (this.marks[i]! & NEVER_INDEXED) !== 0;
  }

  /** Name of field `i` as it was sent; cold. */
  headerName(i: number): string {
    const at = i * RANGES_PER_HEADER;
    return asciiText(this.bytes, this.ranges[at]!, this.ranges[at + 1]!);
  }

  /** Value of field `i`; cold. */
  headerText(i: number): string {
    const at = i * RANGES_PER_HEADER;
    return asciiText(this.bytes, this.ranges[at + 2]!, this.ranges[at + 3]!);
  }

  /** Index of the first field of that name from `from` on, −1 without one. `lower`: lower-case. */
  find(lower: Uint8Array, from = 0): number {
    const { bytes, ranges } = this;
    for (let i = from; i < this.count; i++) {
      const at = i * RANGES_PER_HEADER;
      if (equalsIgnoreCase(bytes, ranges[at]!, ranges[at + 1]!, lower)) return i;
    }
    return -1;
  }

  /** Index of the first field with that code from `from` on, −1 without one. */
  findName(name: FieldName, from = 0): number {
    if ((this.seen & (1 << name)) === 0) return -1;
    for (let i = from; i < this.count; i++) if (this.name(i) === name) return i;
    return -1;
  }

  /** A copy with arrays of its own; cold. */
  copy(): FieldLines {
    const made = new FieldLines();
    this.copyFieldsTo(made);
    return made;
  }

  /** Copies the fields into arrays of `target`'s own; those that it has are used again. */
  protected copyFieldsTo(target: FieldLines): void {
    const { count, fieldsEnd } = this;
    target.resetFields();
    target.reserve(fieldsEnd);
    copyBytes(this.bytes, 0, fieldsEnd, target.bytes, 0);
    while (target.marks.length < count) target.growFields();
    for (let i = count * RANGES_PER_HEADER - 1; i >= 0; i--) target.ranges[i] = this.ranges[i]!;
    for (let i = count - 1; i >= 0; i--) target.marks[i] = this.marks[i]!;
    target.count = count;
    target.seen = this.seen;
    target.firstRegular = this.firstRegular;
    target.fieldsStart = this.fieldsStart;
    target.fieldsEnd = fieldsEnd;
  }

  /** Forgets the fields; keeps the arrays, unless an unusual message made them large. */
  resetFields(): void {
    this.count = 0;
    this.seen = 0;
    this.firstRegular = 0;
    this.fieldsStart = 0;
    this.fieldsEnd = 0;
    this.malformed = false;
    this.tooLarge = false;
    this.listBytes = 0;
    if (this.bytes.length > FIELD_LINES_KEPT_BYTES) this.bytes = NO_BYTES;
  }

  /** Adds a copy of the line of `length` bytes, its CRLF not counted, that stands at `start`. */
  append(
    source: Uint8Array,
    start: number,
    nameLength: number,
    length: number,
    mark: number,
  ): void {
    if (!this.admits(length, mark)) return;
    const at = this.fieldsEnd;
    if (at + length + 2 > this.bytes.length) this.reserve(length + 2);
    copyBytes(source, start, start + length + 2, this.bytes, at);
    this.commit(nameLength, length, mark);
  }

  /** Counts a field, and says whether it is to be kept. */
  admits(length: number, mark: number): boolean {
    if (this.tooLarge) return false;
    const listBytes = this.listBytes + length + LINE_OVERHEAD;
    if (listBytes > HEADER_LIST_BYTES_MAX || this.count === COUNT_MAX) {
      this.tooLarge = true;
      return false;
    }
    this.listBytes = listBytes;
    if ((mark & (NAME_MALFORMED | VALUE_MALFORMED)) !== 0) {
      this.malformed = true;
      return false;
    }
    const bit = 1 << (mark & NAME_CODE);
    if ((bit & PSEUDO_NAMES) === 0) return true;
    if (this.firstRegular === this.count && (bit & this.seen) === 0) return true;
    this.malformed = true;
    return false;
  }

  /** Takes the line that has been written at `fieldsEnd`, after `admits`. */
  commit(nameLength: number, length: number, mark: number): void {
    const at = this.fieldsEnd;
    const slot = this.count * RANGES_PER_HEADER;
    if (slot === this.ranges.length) this.growFields();
    const ranges = this.ranges;
    ranges[slot] = at;
    ranges[slot + 1] = at + nameLength;
    ranges[slot + 2] = at + nameLength + 2;
    ranges[slot + 3] = at + length;
    this.marks[this.count++] = mark;
    this.fieldsEnd = at + length + 2;
    const bit = 1 << (mark & NAME_CODE);
    this.seen |= bit;
    if ((bit & PSEUDO_NAMES) !== 0) {
      this.firstRegular = this.count;
      this.fieldsStart = this.fieldsEnd;
    }
  }

  /** Makes room for `count` bytes behind `fieldsEnd`. */
  reserve(count: number): void {
    const end = this.fieldsEnd;
    if (end + count <= this.bytes.length) return;
    const grown = new Uint8Array(Math.max(BYTES_FIRST, end + count, this.bytes.length * 2));
    copyBytes(this.bytes, 0, end, grown, 0);
    this.bytes = grown;
  }

  /** Room for one more field. */
  growFields(): void {
    const count = Math.max(FIELDS_FIRST, this.marks.length * 2);
    const ranges = new Int32Array(count * RANGES_PER_HEADER);
    ranges.set(this.ranges);
    this.ranges = ranges;
    const marks = new Uint8Array(count);
    marks.set(this.marks);
    this.marks = marks;
  }
}

/** Fields from texts, to be added to messages; cold. Names are lower-case. */
export function fieldLinesOf(fields: readonly (readonly [string, string])[]): FieldLines {
  const made = new FieldLines();
  for (const [name, value] of fields) {
    const line = asciiBytes(`${name}: ${value}\r\n`);
    const mark = fieldName(line, 0, name.length);
    made.append(line, 0, name.length, line.length - 2, mark);
  }
  return made;
}
