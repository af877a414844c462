/**
 * TLS as the simulated network has it: three messages that take time and carry identities, behind which
 * bytes pass as they are. The first message is a ClientHello that a parser can read, since proxies look
 * into it; certificates are real DER as far as anybody looks (names), and PEM texts are references.
 */

import type { TlsClientOptions, TlsMaterial, TlsServerOptions } from "../../lib/host/net.ts";
import { parseClientHello } from "../../lib/wire/tls-hello.ts";
import {
  concatBytes,
  derContext,
  derElement,
  derOctetString,
  derOid,
  derSequence,
} from "../../lib/pki/der.ts";
import type { World } from "./world.ts";

const SUBJECT_ALT_NAME = "2.5.29.17";
const RECORD_HEAD_BYTES = 5;
/** The kind of record that a handshake is in. */
const HANDSHAKE = 0x16;
/** Where the hello's random begins: record, handshake message, version. */
const RANDOM_AT = RECORD_HEAD_BYTES + 4 + 2;

/** A certificate of the simulated mesh. */
export interface SimCertificate {
  readonly index: number;
  readonly name: string;
  readonly anchor: string;
  readonly der: Uint8Array;
}

/** All certificates of one world: what PEM texts and handshakes refer to. */
export class Certificates {
  readonly #all: SimCertificate[] = [];

  /** Makes a certificate with that DNS name, issued below that anchor. */
  issue(name: string, anchor: string): TlsMaterial {
    const index = this.#all.length;
    this.#all.push({ index, name, anchor, der: certificateOf(name) });
    return { certificateChain: `${index}`, privateKey: `${index}`, trustAnchors: anchor };
  }

  /** The certificate of some key material; null without one. */
  of(material: TlsMaterial): SimCertificate | null {
    return material.certificateChain === "" ? null : this.at(Number(material.certificateChain));
  }

  at(index: number): SimCertificate | null {
    return this.#all[index] ?? null;
  }
}

/** Whether a certificate chains to the anchors of those who look at it. */
export function isTrusted(certificate: SimCertificate | null, material: TlsMaterial): boolean {
  return certificate !== null && material.trustAnchors.split(",").includes(certificate.anchor);
}

/** What a client says first. */
export function clientHello(options: TlsClientOptions, certificate: SimCertificate | null) {
  const random = new Uint8Array(32);
  new DataView(random.buffer).setUint32(0, certificate === null ? 0 : certificate.index + 1);
  const name = text(options.serverName);
  const extensions = [extension(0, sized(concatBytes([Uint8Array.of(0), sized(name)])))];
  if (options.alpn.length > 0) {
    const names = options.alpn.map((protocol) =>
      concatBytes([Uint8Array.of(protocol.length), text(protocol)])
    );
    extensions.push(extension(16, sized(concatBytes(names))));
  }
  const body = concatBytes([
    Uint8Array.of(3, 3),
    random,
    Uint8Array.of(0, 0, 2, 0x13, 1, 1, 0),
    sized(concatBytes(extensions)),
  ]);
  const head = Uint8Array.of(1, 0, body.length >> 8, body.length & 0xff);
  return record(HANDSHAKE, concatBytes([head, body]));
}

/** What a server reads in a hello; null when it is none. */
export function readHello(bytes: Uint8Array) {
  const hello = parseClientHello(bytes, 0, bytes.length);
  if (hello.kind !== "hello") return null;
  const index = new DataView(bytes.buffer, bytes.byteOffset).getUint32(RANDOM_AT) - 1;
  return { serverName: hello.serverName, alpn: hello.alpn, certificate: index };
}

/** A server's answer. */
export function serverHello(
  options: TlsServerOptions,
  alpn: readonly string[],
  certificate: SimCertificate | null,
): { readonly bytes: Uint8Array; readonly alpn: string | null } {
  const chosen = options.alpn.find((protocol) => alpn.includes(protocol)) ?? null;
  const index = new Uint8Array(4);
  new DataView(index.buffer).setUint32(0, certificate === null ? 0 : certificate.index + 1);
  return { bytes: record(HANDSHAKE, concatBytes([index, text(chosen ?? "")])), alpn: chosen };
}

/** What a client reads in it. */
export function readServerHello(bytes: Uint8Array) {
  const index = new DataView(bytes.buffer, bytes.byteOffset).getUint32(RECORD_HEAD_BYTES) - 1;
  const alpn = new TextDecoder().decode(bytes.subarray(RECORD_HEAD_BYTES + 4));
  return { certificate: index, alpn: alpn === "" ? null : alpn };
}

/** A client's last message. */
export function finished(): Uint8Array {
  return record(0x14, Uint8Array.of(1));
}

/** Collects exactly one record from bytes that come in pieces. */
export class RecordReader {
  #bytes = new Uint8Array(0);

  /** How many bytes more are certainly part of the record. */
  get needed(): number {
    const bytes = this.#bytes;
    if (bytes.length < RECORD_HEAD_BYTES) return RECORD_HEAD_BYTES - bytes.length;
    return RECORD_HEAD_BYTES + (bytes[3]! << 8 | bytes[4]!) - bytes.length;
  }

  /** Adds bytes, at most `needed`; the record when it is whole. */
  add(piece: Uint8Array): Uint8Array | null {
    this.#bytes = concatBytes([this.#bytes, piece]);
    if (this.needed > 0) return null;
    const whole = this.#bytes;
    this.#bytes = new Uint8Array(0);
    return whole;
  }

  /** The first byte is no record's. */
  get isAlien(): boolean {
    const first = this.#bytes[0];
    return first !== undefined && first !== HANDSHAKE && first !== 0x14;
  }
}

/** As much of a certificate as `certificateDnsNames` looks at. */
function certificateOf(name: string): Uint8Array {
  const names = derSequence(derContext(2, false, text(name)));
  const extension = derSequence(derOid(SUBJECT_ALT_NAME), derOctetString(names));
  return derSequence(derSequence(derContext(3, true, derSequence(extension))), derElement(0x05));
}

function record(type: number, content: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(type, 3, 3), sized(content)]);
}

function extension(type: number, content: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(type >> 8, type & 0xff), sized(content)]);
}

/** Two bytes of length, then the content. */
function sized(content: Uint8Array): Uint8Array {
  return concatBytes([Uint8Array.of(content.length >> 8, content.length & 0xff), content]);
}

function text(characters: string): Uint8Array {
  return new TextEncoder().encode(characters);
}

/**
 * Whether an application gets the beginning of a handshake that never went on: when the time for
 * detection is over, a proxy passes on what it has. Only where something has been broken.
 */
export function isCutHello({ faults }: World, chunk: Uint8Array): boolean {
  return chunk[0] === HANDSHAKE && faults.some(({ scope }) => scope === "all");
}
