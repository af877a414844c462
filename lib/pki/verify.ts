/** Checks that a certificate is what was asked for, before anybody shows it. */

import { Fault } from "../base/fault.ts";
import { type Certificate, readCertificate } from "../host/x509.ts";
import { fromPem } from "./pem.ts";

/** No honest chain of the mesh is longer: leaf, intermediates, and the anchor apart. */
const INTERMEDIATES_MAX = 8;

/** What a leaf is held against. */
export interface LeafExpectation {
  readonly leaf: Uint8Array;
  readonly intermediates: readonly Uint8Array[];
  readonly trustAnchors: readonly Certificate[];
  readonly dnsName: string;
  /** SubjectPublicKeyInfo of our key in DER. */
  readonly publicDer: Uint8Array;
  readonly nowMs: number;
}

/** The trust anchors in a PEM text. Throws `invalid_argument` when there is none, or a broken one. */
export function readTrustAnchors(pem: string): readonly Certificate[] {
  const anchors = fromPem("CERTIFICATE", pem).map(readCertificate);
  if (anchors.length > 0) return anchors;
  throw new Fault("invalid_argument", "Cannot read trust anchors: expected PEM certificates");
}

/** Throws `failed_precondition` telling what is wrong with the leaf; returns it when nothing is. */
export function verifyLeaf(expected: LeafExpectation): Certificate {
  const { dnsName, nowMs } = expected;
  const leaf = readCertificate(expected.leaf);
  if (!leaf.hasDnsName(dnsName)) throw wrong(`it is not for "${dnsName}"`);
  if (!equalBytes(leaf.publicDer, expected.publicDer)) throw wrong("it is not for our key");
  const intermediates = expected.intermediates.slice(0, INTERMEDIATES_MAX).map(readCertificate);
  let current = leaf;
  checkTime(current, nowMs);
  const left = new Set(intermediates);
  while (!expected.trustAnchors.some((anchor) => issuedBy(current, anchor, nowMs))) {
    const issuer = [...left].find((candidate) => issuedBy(current, candidate, nowMs));
    if (issuer === undefined) throw wrong("it does not chain to our trust anchors");
    left.delete(issuer);
    current = issuer;
  }
  return leaf;
}

/**
 * Whether a certificate, in PEM with those between, chains to one of the anchors, in PEM, that are valid.
 * Throws `invalid_argument` for anchors that cannot be read.
 */
export function chains(chainPem: string, trustAnchors: string, nowMs: number): boolean {
  const anchors = readTrustAnchors(trustAnchors).filter(({ notAfterMs }) => notAfterMs > nowMs);
  const links = fromPem("CERTIFICATE", chainPem).map(readCertificate);
  let [current] = links;
  // As many steps as there are links: a circle of issuers ends as well.
  for (let step = 0; current !== undefined && step <= links.length; step++) {
    const link = current;
    if (anchors.some((anchor) => link.isIssuedBy(anchor))) return true;
    current = links.find((other) => other !== link && link.isIssuedBy(other));
  }
  return false;
}

function issuedBy(certificate: Certificate, issuer: Certificate, nowMs: number): boolean {
  return issuer.isAuthority && nowMs >= issuer.notBeforeMs && nowMs <= issuer.notAfterMs &&
    certificate.isIssuedBy(issuer);
}

function checkTime(certificate: Certificate, nowMs: number): void {
  const { notBeforeMs, notAfterMs } = certificate;
  if (nowMs > notAfterMs) throw wrong(`it expired at ${new Date(notAfterMs).toISOString()}`);
  if (nowMs < notBeforeMs) {
    const from = new Date(notBeforeMs).toISOString();
    throw wrong(`it is valid from ${from}, which is in the future: compare the machines' clocks`);
  }
}

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}

function wrong(what: string): Fault {
  return new Fault("failed_precondition", `Cannot use the issued certificate: ${what}`, {
    source: "upstream",
  });
}
