/** The messages of `Identity.Certify`, to and from the domain's request and certificate. */

import { Fault } from "../base/fault.ts";
import type { CertificateRequest, IssuedCertificate } from "../mesh/certifier.ts";
import { momentFromWire, momentToWire } from "./duration.ts";
import { CertifyRequest, CertifyResponse } from "./gen/identity.ts";

/** The message for a request. */
export function certificateRequestToWire(request: CertificateRequest): CertifyRequest {
  return CertifyRequest.fromPartial({
    identity: request.identity,
    token: request.token,
    certificateSigningRequest: request.csr,
  });
}

/** The request in a message; whether it makes sense is the certifier's to say. */
export function certificateRequestFromWire(message: CertifyRequest): CertificateRequest {
  const { identity, token, certificateSigningRequest } = message;
  return { identity, token, csr: certificateSigningRequest };
}

/** The message for a certificate. */
export function issuedCertificateToWire(issued: IssuedCertificate): CertifyResponse {
  return CertifyResponse.fromPartial({
    leafCertificate: issued.leaf,
    intermediateCertificates: [...issued.intermediates],
    validUntil: momentToWire(issued.validUntilMs),
  });
}

/** The certificate in a message. Throws `unknown` when the answer has none, or no end. */
export function issuedCertificateFromWire(message: CertifyResponse): IssuedCertificate {
  const { leafCertificate, intermediateCertificates, validUntil } = message;
  if (leafCertificate.length === 0 || validUntil === undefined) {
    throw new Fault("unknown", "Cannot use the identity service's answer: no certificate in it", {
      source: "upstream",
    });
  }
  return {
    leaf: leafCertificate,
    intermediates: intermediateCertificates,
    validUntilMs: momentFromWire(validUntil),
  };
}
