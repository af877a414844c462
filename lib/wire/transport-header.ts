/**
 * The header that a meshed client sends first on a connection to its peer's port 4143, inside TLS:
 * the preface, a 32-bit big-endian length, and a protobuf message that tells which port of the pod is
 * meant and what is spoken there.
 *
 *     message Header {
 *       int32 port = 1;
 *       string name = 2;
 *       SessionProtocol session_protocol = 3;  // oneof { Http1 http1 = 1; Http2 http2 = 2; }
 *     }
 *
 * The protobuf is written and read by hand: three fields, on the path of every connection.
 */

import { asciiBytes } from "../base/bytes.ts";
import { TRANSPORT_HEADER_BYTES_MAX } from "../base/limits.ts";

/** ALPN of connections that begin with a transport header; also the text of the preface. */
export const TRANSPORT_PROTOCOL = "transport.l5d.io/v1";

/** What is spoken behind the header: HTTP, or bytes that the mesh does not look into. */
export type SessionProtocol = "http1" | "http2" | "opaque";

/** Where a meshed connection is to go. */
export interface TransportHeader {
  /** The application's port, 1–65535. */
  readonly port: number;
  /** Authority for a gateway; empty for the pod itself. */
  readonly name: string;
  readonly protocol: SessionProtocol;
}

/** What the first bytes of a connection are. */
export type DecodedTransportHeader =
  | { readonly kind: "more" }
  /** No transport header, or one that is broken or too large; `reason` is for the log. */
  | { readonly kind: "invalid"; readonly reason: string }
  /** `consumed` bytes from the start make up preface and header. */
  | { readonly kind: "header"; readonly header: TransportHeader; readonly consumed: number };

const PREFACE = asciiBytes(`${TRANSPORT_PROTOCOL}\r\n\r\n`);
const LENGTH_BYTES = 4;

const FIELD_PORT = 1;
const FIELD_NAME = 2;
const FIELD_SESSION_PROTOCOL = 3;
const FIELD_HTTP1 = 1;
const FIELD_HTTP2 = 2;

const WIRE_VARINT = 0;
const WIRE_FIXED64 = 1;
const WIRE_BYTES = 2;
const WIRE_FIXED32 = 5;
/** Bytes of the longest varint: 64 bits, 7 a byte. */
const VARINT_BYTES_MAX = 10;

const MORE: DecodedTransportHeader = { kind: "more" };
const utf8 = new TextEncoder();
const strictUtf8 = new TextDecoder("utf-8", { fatal: true });

/** Preface, length and message, ready to be sent. */
export function encodeTransportHeader(header: TransportHeader): Uint8Array {
  const message: number[] = [];
  if (header.port !== 0) {
    message.push(FIELD_PORT << 3 | WIRE_VARINT);
    pushVarint(message, header.port);
  }
  if (header.name !== "") pushBytes(message, FIELD_NAME, utf8.encode(header.name));
  if (header.protocol !== "opaque") {
    const field = header.protocol === "http1" ? FIELD_HTTP1 : FIELD_HTTP2;
    pushBytes(message, FIELD_SESSION_PROTOCOL, [field << 3 | WIRE_BYTES, 0]);
  }
  const bytes = new Uint8Array(PREFACE.length + LENGTH_BYTES + message.length);
  bytes.set(PREFACE);
  new DataView(bytes.buffer).setUint32(PREFACE.length, message.length);
  bytes.set(message, PREFACE.length + LENGTH_BYTES);
  return bytes;
}

/** Looks at all bytes that came so far; refuses at the first byte that cannot belong to a header. */
export function decodeTransportHeader(
  bytes: Uint8Array,
  start: number,
  end: number,
): DecodedTransportHeader {
  const known = Math.min(end - start, PREFACE.length);
  for (let i = 0; i < known; i++) {
    if (bytes[start + i] !== PREFACE[i]) return invalid("no transport header preface");
  }
  const body = start + PREFACE.length + LENGTH_BYTES;
  if (end < body) return MORE;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(body - LENGTH_BYTES);
  if (length > TRANSPORT_HEADER_BYTES_MAX) {
    return invalid(`transport header of ${length} bytes, at most ${TRANSPORT_HEADER_BYTES_MAX}`);
  }
  if (end < body + length) return MORE;
  return decodeMessage(bytes, body, body + length, body + length - start);
}

function decodeMessage(
  bytes: Uint8Array,
  at: number,
  end: number,
  consumed: number,
): DecodedTransportHeader {
  const reader = new FieldReader(bytes, at, end);
  let port = 0;
  let name = "";
  let protocol: SessionProtocol = "opaque";
  while (reader.next()) {
    if (reader.field === FIELD_PORT && reader.wire === WIRE_VARINT) port = reader.value;
    else if (reader.field === FIELD_NAME && reader.wire === WIRE_BYTES) {
      const text = decodeText(bytes, reader.start, reader.stop);
      if (text === null) return invalid("transport header's name is not UTF-8");
      name = text;
    } else if (reader.field === FIELD_SESSION_PROTOCOL && reader.wire === WIRE_BYTES) {
      const inner = decodeProtocol(bytes, reader.start, reader.stop);
      if (inner === null) return invalid("transport header's session protocol is malformed");
      protocol = inner;
    }
  }
  if (reader.failed) return invalid("transport header is malformed protobuf");
  if (port < 1 || port > 65_535) return invalid(`transport header's port ${port} is none`);
  return { kind: "header", header: { port, name, protocol }, consumed };
}

/** The last member of the oneof counts, as protobuf says; null when the message is malformed. */
function decodeProtocol(bytes: Uint8Array, at: number, end: number): SessionProtocol | null {
  const reader = new FieldReader(bytes, at, end);
  let protocol: SessionProtocol = "opaque";
  while (reader.next()) {
    if (reader.wire !== WIRE_BYTES) continue;
    if (reader.field === FIELD_HTTP1) protocol = "http1";
    else if (reader.field === FIELD_HTTP2) protocol = "http2";
  }
  return reader.failed ? null : protocol;
}

function decodeText(bytes: Uint8Array, start: number, end: number): string | null {
  try {
    return strictUtf8.decode(bytes.subarray(start, end));
  } catch {
    return null; // the only thing that a strict decoder throws for
  }
}

function invalid(reason: string): DecodedTransportHeader {
  return { kind: "invalid", reason };
}

function pushVarint(bytes: number[], value: number): void {
  while (value > 127) {
    bytes.push((value & 127) | 128);
    value = Math.floor(value / 128);
  }
  bytes.push(value);
}

function pushBytes(bytes: number[], field: number, content: ArrayLike<number>): void {
  bytes.push(field << 3 | WIRE_BYTES);
  pushVarint(bytes, content.length);
  for (let i = 0; i < content.length; i++) bytes.push(content[i]!);
}

/** Walks over the fields of a protobuf message; unknown ones are simply not looked at. */
class FieldReader {
  field = 0;
  wire = 0;
  /** Value of a varint; exact up to 2^53, which is enough to tell a port from a bad one. */
  value = 0;
  /** Content of a length-delimited field. */
  start = 0;
  stop = 0;
  failed = false;
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** Reads the next field; false at the end and when the message is malformed (`failed`). */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    const key = this.#varint();
    this.field = Math.floor(key / 8);
    this.wire = key % 8;
    if (this.failed || this.field === 0) return this.#fail();
    switch (this.wire) {
      case WIRE_VARINT:
        this.value = this.#varint();
        return !this.failed;
      case WIRE_FIXED64:
        return this.#skip(8);
      case WIRE_FIXED32:
        return this.#skip(4);
      case WIRE_BYTES: {
        const length = this.#varint();
        this.start = this.#at;
        this.stop = this.#at + length;
        return !this.failed && this.#skip(length);
      }
      default:
        return this.#fail(); // groups are long gone
    }
  }

  #skip(count: number): boolean {
    if (count > this.#end - this.#at) return this.#fail();
    this.#at += count;
    return true;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < VARINT_BYTES_MAX && this.#at < this.#end; i++) {
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
      scale *= 128;
    }
    this.#fail();
    return 0;
  }

  #fail(): boolean {
    this.failed = true;
    return false;
  }
}
