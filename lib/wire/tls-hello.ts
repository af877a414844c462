/**
 * Reads a TLS ClientHello from the first bytes of a connection without taking part in the handshake:
 * the server name (SNI) and the protocols offered (ALPN). Once per connection, so clarity first.
 */

import { asciiText } from "../base/bytes.ts";
import { CLIENT_HELLO_BYTES_MAX } from "../base/limits.ts";

/** What the first bytes of a connection are, as far as TLS is concerned. */
export type ClientHello =
  /** It may be a ClientHello; more bytes will tell. */
  | { readonly kind: "more" }
  /** No TLS, or nothing that a TLS server would take. */
  | { readonly kind: "not-tls" }
  | {
    readonly kind: "hello";
    /** In lower case; null when no name is indicated. */
    readonly serverName: string | null;
    readonly alpn: readonly string[];
  };

const MORE: ClientHello = { kind: "more" };
const NOT_TLS: ClientHello = { kind: "not-tls" };

const RECORD_HEADER_BYTES = 5;
const RECORD_BYTES_MAX = 16_384;
const CONTENT_HANDSHAKE = 22;
const MESSAGE_HEADER_BYTES = 4;
const MESSAGE_CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;
const NAME_TYPE_HOST = 0;
/** Version and random, before the first field of variable length. */
const FIXED_BYTES = 2 + 32;

/**
 * Looks at all bytes that came so far. A hello may be spread over several records; with all of them
 * it is bounded by `CLIENT_HELLO_BYTES_MAX`, and a longer one counts as `not-tls`.
 */
export function parseClientHello(bytes: Uint8Array, start: number, end: number): ClientHello {
  const limit = Math.min(end, start + CLIENT_HELLO_BYTES_MAX);
  const more = limit - start === CLIENT_HELLO_BYTES_MAX ? NOT_TLS : MORE;
  if (!mayBeRecord(bytes, start, limit)) return NOT_TLS;
  if (limit - start < RECORD_HEADER_BYTES) return more;
  const message = new Uint8Array(limit - start);
  let length = 0;
  for (let at = start; at < limit;) {
    if (!mayBeRecord(bytes, at, limit)) return NOT_TLS;
    if (limit - at < RECORD_HEADER_BYTES) return more;
    const size = uint16(bytes, at + 3);
    if (size === 0 || size > RECORD_BYTES_MAX) return NOT_TLS;
    at += RECORD_HEADER_BYTES;
    const stop = Math.min(limit, at + size);
    while (at < stop) message[length++] = bytes[at++]!;
    if (length > 0 && message[0] !== MESSAGE_CLIENT_HELLO) return NOT_TLS;
    if (length < MESSAGE_HEADER_BYTES) continue;
    const needed = MESSAGE_HEADER_BYTES + message[1]! * 65_536 + uint16(message, 2);
    if (needed > CLIENT_HELLO_BYTES_MAX) return NOT_TLS;
    if (length >= needed) return readHello(new Reader(message, MESSAGE_HEADER_BYTES, needed));
  }
  return more;
}

/** Whether what is there of a record's header fits a handshake record of TLS 1.0–1.3. */
function mayBeRecord(bytes: Uint8Array, at: number, end: number): boolean {
  if (at < end && bytes[at] !== CONTENT_HANDSHAKE) return false;
  return at + 1 >= end || bytes[at + 1] === 3;
}

function readHello(reader: Reader): ClientHello {
  reader.skip(FIXED_BYTES);
  reader.skip(reader.uint8()); // session id
  reader.skip(reader.uint16()); // cipher suites
  reader.skip(reader.uint8()); // compression methods
  let serverName: string | null = null;
  let alpn: readonly string[] = [];
  if (reader.left > 0) {
    const extensions = reader.inner(reader.uint16());
    while (extensions.left > 0) {
      const type = extensions.uint16();
      const body = extensions.inner(extensions.uint16());
      if (type === EXTENSION_SERVER_NAME) serverName = readServerName(body);
      else if (type === EXTENSION_ALPN) alpn = readAlpn(body);
      if (body.failed) return NOT_TLS;
    }
    if (extensions.failed) return NOT_TLS;
  }
  return reader.failed || reader.left > 0 ? NOT_TLS : { kind: "hello", serverName, alpn };
}

function readServerName(body: Reader): string | null {
  const names = body.inner(body.uint16());
  while (names.left > 0) {
    const type = names.uint8();
    const name = names.text(names.uint16());
    // Some clients send an address or worse: that is no name, and a server would ignore it.
    if (type === NAME_TYPE_HOST && !names.failed) return isName(name) ? name.toLowerCase() : null;
  }
  body.failed ||= names.failed;
  return null;
}

function isName(text: string): boolean {
  return /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,253}$/.test(text);
}

function readAlpn(body: Reader): readonly string[] {
  const list = body.inner(body.uint16());
  const protocols: string[] = [];
  while (list.left > 0) protocols.push(list.text(list.uint8()));
  body.failed ||= list.failed;
  return protocols;
}

function uint16(bytes: Uint8Array, at: number): number {
  return bytes[at]! * 256 + bytes[at + 1]!;
}

/** Reads length-prefixed fields. Reading past the end fails for good and gives zeros. */
class Reader {
  failed = false;
  readonly #bytes: Uint8Array;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, at: number, end: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  /** Bytes that are still there; 0 after a failure. */
  get left(): number {
    return this.failed ? 0 : this.#end - this.#at;
  }

  /** Takes `count` bytes; the offset of the first. */
  skip(count: number): number {
    const at = this.#at;
    if (count > this.left) this.failed = true;
    else this.#at += count;
    return at;
  }

  uint8(): number {
    const at = this.skip(1);
    return this.failed ? 0 : this.#bytes[at]!;
  }

  uint16(): number {
    const at = this.skip(2);
    return this.failed ? 0 : uint16(this.#bytes, at);
  }

  text(length: number): string {
    const at = this.skip(length);
    return this.failed ? "" : asciiText(this.#bytes, at, at + length);
  }

  /** A reader of the next `length` bytes alone. It begins as failed when they are not there. */
  inner(length: number): Reader {
    const at = this.skip(length);
    const inner = new Reader(this.#bytes, at, this.failed ? at : at + length);
    inner.failed = this.failed;
    return inner;
  }
}
