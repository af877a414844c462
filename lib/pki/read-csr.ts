/** Reads certificate signing requests of workloads, and tells what names they ask for. */

import { Fault } from "../base/fault.ts";
import { Pkcs10CertificateRequest, SubjectAlternativeNameExtension } from "./x509.ts";

/** A request whose signature proves that the asker has the key. */
export interface SigningRequest {
  readonly commonNames: readonly string[];
  readonly dnsNames: readonly string[];
  /** Names of other kinds: addresses, e-mail, URIs. */
  readonly otherNames: readonly string[];
  /** SubjectPublicKeyInfo in DER. */
  readonly publicDer: Uint8Array<ArrayBuffer>;
}

const SUBJECT_ALT_NAME = "2.5.29.17";

/** Throws `invalid_argument` for what is no request in DER, or not signed with its own key. */
export async function readCsr(der: Uint8Array<ArrayBuffer>): Promise<SigningRequest> {
  try {
    const request = new Pkcs10CertificateRequest(der);
    if (!await request.verify()) throw new Error("its signature is not of its own key");
    const dnsNames: string[] = [];
    const otherNames: string[] = [];
    for (const extension of request.getExtensions(SUBJECT_ALT_NAME)) {
      if (!(extension instanceof SubjectAlternativeNameExtension)) continue;
      for (const { type, value } of extension.names.items) {
        if (type === "dns") dnsNames.push(value);
        else otherNames.push(`${type}:${value}`);
      }
    }
    return {
      commonNames: request.subjectName.getField("CN"),
      dnsNames,
      otherNames,
      publicDer: new Uint8Array(request.publicKey.rawData),
    };
  } catch (cause) {
    throw new Fault("invalid_argument", "Cannot read the certificate signing request in DER", {
      cause,
    });
  }
}
