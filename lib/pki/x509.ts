/**
 * The one door to the X.509 library. Its dependency injection wants `reflect-metadata` evaluated
 * before it. Both are CommonJS, and Bun evaluates CommonJS when it links static imports, in no fixed
 * order; `require` evaluates them in the order written, from source as in the executable.
 */

import type * as library from "@peculiar/x509";

require("reflect-metadata");
const x509 = require("@peculiar/x509") as typeof library;

export const {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} = x509;

/** A certificate, as the library reads it. */
export type X509Certificate = library.X509Certificate;
/** An extension of a certificate or request. */
export type Extension = library.Extension;
