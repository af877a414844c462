/** The question that every workload asks the certificate authority, in domain types. */

/** Asks for a certificate for one name. */
export interface CertificateRequest {
  /** The DNS-like name of the identity. */
  readonly identity: string;
  /** The service-account token, as it stands in its file. */
  readonly token: Uint8Array;
  /** The certificate signing request in DER. */
  readonly csr: Uint8Array;
}

/** A certificate and what links it to the trust anchors; all in DER. */
export interface IssuedCertificate {
  readonly leaf: Uint8Array;
  /** The leaf's issuer first; the trust anchor is not among them. */
  readonly intermediates: readonly Uint8Array[];
  readonly validUntilMs: number;
}

/** Issues certificates. The identity service implements it; the gRPC rooms carry it over the wire. */
export interface Certifier {
  /**
   * Fails with a `Fault`: `unavailable` without an issuer, `invalid_argument` for what cannot be read,
   * `failed_precondition` for a name that the caller may not have, `internal` when a check broke.
   */
  certify(request: CertificateRequest): Promise<IssuedCertificate>;
}
