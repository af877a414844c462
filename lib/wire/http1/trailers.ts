// hot
/** Collects the trailer fields of a chunked body, byte by byte, as lines. */

import { FieldLines, RANGES_PER_HEADER } from "../http/field-lines.ts";
import { FieldName, fieldName } from "../http/field-name.ts";

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;

/** Bytes that the first trailer makes room for; a checksum or two. */
const BYTES_FIRST = 256;

/** Trailers; whoever feeds it bounds how many bytes it takes. */
export class TrailerLines extends FieldLines {
  #line = 0;
  #nameEnd = 0;
  #name: FieldName = FieldName.OTHER;
  #valueStart = 0;

  /** The next byte of a name. */
  putName(byte: number): void {
    this.#put(byte);
  }

  /** The name is complete; its code. */
  endName(): FieldName {
    this.#nameEnd = this.fieldsEnd;
    this.#name = fieldName(this.bytes, this.#line, this.#nameEnd);
    this.#put(COLON);
    this.#put(SPACE);
    this.#valueStart = this.fieldsEnd;
    return this.#name;
  }

  /** The next byte of a value, blanks before it included. */
  putValue(byte: number): void {
    if (this.fieldsEnd === this.#valueStart && (byte === SPACE || byte === TAB)) return;
    this.#put(byte);
  }

  /** The line is complete. */
  endLine(): void {
    const { bytes } = this;
    let end = this.fieldsEnd;
    while (end > this.#valueStart && (bytes[end - 1] === SPACE || bytes[end - 1] === TAB)) end--;
    this.fieldsEnd = end;
    this.#put(CR);
    this.#put(LF);
    const slot = this.count * RANGES_PER_HEADER;
    if (slot === this.ranges.length) this.growFields();
    this.ranges[slot] = this.#line;
    this.ranges[slot + 1] = this.#nameEnd;
    this.ranges[slot + 2] = this.#valueStart;
    this.ranges[slot + 3] = end;
    this.marks[this.count++] = this.#name;
    this.seen |= 1 << this.#name;
    this.#line = this.fieldsEnd;
  }

  override resetFields(): void {
    super.resetFields();
    this.#line = 0;
  }

  #put(byte: number): void {
    if (this.fieldsEnd === this.bytes.length) {
      const grown = new Uint8Array(Math.max(BYTES_FIRST, this.bytes.length * 2));
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes[this.fieldsEnd++] = byte;
  }
}
