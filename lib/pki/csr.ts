/**
 * Certificate signing requests of workloads: exactly one DNS name and nothing else, since issuers of
 * the contract refuse any other name in a request.
 */

import {
  derBitString,
  derContext,
  derInteger,
  derOctetString,
  derOid,
  derSequence,
  derSet,
} from "./der.ts";
import { type KeyPair, signDer } from "./key.ts";

const EXTENSION_REQUEST = "1.2.840.113549.1.9.14";
const SUBJECT_ALT_NAME = "2.5.29.17";
const ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2";
/** GeneralName `dNSName`. */
const DNS_NAME = 2;

/** A PKCS#10 request in DER for one DNS name, with an empty subject. */
export async function createCsr(keys: KeyPair, dnsName: string): Promise<Uint8Array<ArrayBuffer>> {
  const names = derSequence(derContext(DNS_NAME, false, new TextEncoder().encode(dnsName)));
  const extensions = derSequence(derSequence(derOid(SUBJECT_ALT_NAME), derOctetString(names)));
  const wanted = derSequence(derOid(EXTENSION_REQUEST), derSet(extensions));
  const info = derSequence(
    derInteger(new Uint8Array([0])),
    derSequence(),
    keys.publicDer,
    derContext(0, true, wanted),
  );
  const signature = await signDer(keys.privateKey, info);
  return derSequence(info, derSequence(derOid(ECDSA_WITH_SHA256)), derBitString(signature));
}
