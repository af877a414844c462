/** Certificates as the platform reads them: names, times and signatures, without an ASN.1 library. */

import { X509Certificate } from "node:crypto";
import { Fault } from "../base/fault.ts";

/** What is asked of a certificate. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isAuthority: boolean;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicDer: Uint8Array;
  /** Whether the certificate is for exactly this DNS name, by its SAN alone; no wildcards. */
  hasDnsName(name: string): boolean;
  /** Whether the other one's name and key made this certificate. */
  isIssuedBy(issuer: Certificate): boolean;
}

/** Reads a certificate in DER. Throws `invalid_argument`. */
export function readCertificate(der: Uint8Array): Certificate {
  try {
    return new NodeCertificate(new X509Certificate(der));
  } catch (cause) {
    throw new Fault("invalid_argument", "Cannot read a certificate: expected X.509 in DER", {
      cause,
    });
  }
}

class NodeCertificate implements Certificate {
  readonly der: Uint8Array;
  readonly subject: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly isAuthority: boolean;
  readonly publicDer: Uint8Array;
  readonly #x509: X509Certificate;

  constructor(x509: X509Certificate) {
    this.#x509 = x509;
    this.der = x509.raw;
    this.subject = x509.subject;
    this.notBeforeMs = Date.parse(x509.validFrom);
    this.notAfterMs = Date.parse(x509.validTo);
    this.isAuthority = x509.ca;
    this.publicDer = x509.publicKey.export({ type: "spki", format: "der" });
  }

  hasDnsName(name: string): boolean {
    return this.#x509.checkHost(name, { subject: "never", wildcards: false }) !== undefined;
  }

  isIssuedBy(issuer: Certificate): boolean {
    if (!(issuer instanceof NodeCertificate)) return false;
    return this.#x509.checkIssued(issuer.#x509) && this.#x509.verify(issuer.#x509.publicKey);
  }
}
