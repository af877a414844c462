/** PEM: DER in Base64 between labelled lines. */

import { Fault } from "../base/fault.ts";

/** What stands in a PEM block. */
export type PemLabel = "CERTIFICATE" | "PRIVATE KEY" | "PUBLIC KEY" | "CERTIFICATE REQUEST";

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----([^-]*)-----END \1-----/g;

/** A block of DER, in lines of 64 characters. */
export function toPem(label: PemLabel, der: Uint8Array): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

/** Blocks one after the other. */
export function toPemChain(label: PemLabel, ders: readonly Uint8Array[]): string {
  return ders.map((der) => toPem(label, der)).join("");
}

/** The DER of all blocks with the label, in their order. Throws `invalid_argument` for bad Base64. */
export function fromPem(label: string, text: string): Uint8Array<ArrayBuffer>[] {
  const found: Uint8Array<ArrayBuffer>[] = [];
  for (const [, blockLabel, body = ""] of text.matchAll(BLOCK)) {
    if (blockLabel !== label) continue;
    try {
      found.push(fromBase64(body.replace(/\s+/g, "")));
    } catch (cause) {
      throw new Fault("invalid_argument", `Cannot read a PEM block "${label}": not Base64`, {
        cause,
      });
    }
  }
  return found;
}

function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
