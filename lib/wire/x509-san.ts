/**
 * Reads the DNS names of a certificate's subjectAltName (RFC 5280 §4.2.1.6) from its DER. Only walks
 * over lengths: the certificate has been verified before, and a name is taken as the bytes say, never
 * from a text in which a name could hold separators.
 */

import { asciiText } from "../base/bytes.ts";

const SEQUENCE = 0x30;
const OBJECT_IDENTIFIER = 0x06;
const BOOLEAN = 0x01;
const OCTET_STRING = 0x04;
/** `[3]` of TBSCertificate: its extensions. */
const EXTENSIONS = 0xa3;
/** `[2]` of GeneralName: dNSName. */
const DNS_NAME = 0x82;
/** 2.5.29.17. */
const SUBJECT_ALT_NAME = [0x55, 0x1d, 0x11];

/** One DER element: where its content stands. */
interface Element {
  readonly tag: number;
  readonly start: number;
  readonly end: number;
}

/**
 * The DNS names in their order, in lower case; empty when there is no such extension, when the bytes
 * are no certificate, or when a name holds anything but the characters of a host name.
 */
export function certificateDnsNames(der: Uint8Array): readonly string[] {
  const certificate = read(der, 0, der.length, SEQUENCE);
  const tbs = certificate && read(der, certificate.start, certificate.end, SEQUENCE);
  if (!tbs) return [];
  for (const field of children(der, tbs)) {
    if (field.tag !== EXTENSIONS) continue;
    const list = read(der, field.start, field.end, SEQUENCE);
    const value = list && findExtension(der, list);
    const names = value && read(der, value.start, value.end, SEQUENCE);
    return names ? dnsNames(der, names) : [];
  }
  return [];
}

function findExtension(der: Uint8Array, list: Element): Element | null {
  for (const extension of children(der, list)) {
    if (extension.tag !== SEQUENCE) return null;
    const [id, second, third] = children(der, extension);
    if (id?.tag !== OBJECT_IDENTIFIER || !isSubjectAltName(der, id)) continue;
    const value = second?.tag === BOOLEAN ? third : second;
    return value?.tag === OCTET_STRING ? value : null;
  }
  return null;
}

function isSubjectAltName(der: Uint8Array, id: Element): boolean {
  return id.end - id.start === SUBJECT_ALT_NAME.length &&
    SUBJECT_ALT_NAME.every((byte, index) => der[id.start + index] === byte);
}

function dnsNames(der: Uint8Array, list: Element): string[] {
  const names: string[] = [];
  for (const name of children(der, list)) {
    if (name.tag !== DNS_NAME) continue;
    const text = asciiText(der, name.start, name.end).toLowerCase();
    if (!/^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(text)) return [];
    names.push(text);
  }
  return names;
}

/** The elements inside one; empty when they do not fill it exactly. */
function children(der: Uint8Array, parent: Element): Element[] {
  const found: Element[] = [];
  let at = parent.start;
  while (at < parent.end) {
    const element = read(der, at, parent.end, null);
    if (element === null) return [];
    found.push(element);
    at = element.end;
  }
  return found;
}

/** The element at `at`, with that tag unless it is null; null when there is none within `end`. */
function read(der: Uint8Array, at: number, end: number, tag: number | null): Element | null {
  if (at + 2 > end) return null;
  const found = der[at]!;
  if (tag !== null && found !== tag) return null;
  let length = der[at + 1]!;
  let start = at + 2;
  if (length >= 0x80) {
    const bytes = length & 0x7f;
    // 0 is BER's indefinite form; a certificate of more than 16 MiB is none.
    if (bytes === 0 || bytes > 3 || start + bytes > end) return null;
    length = 0;
    for (let i = 0; i < bytes; i++) length = length * 256 + der[start + i]!;
    start += bytes;
  }
  return start + length > end ? null : { tag: found, start, end: start + length };
}
