/** Private keys of workloads and authorities: ECDSA on P-256, made and held in memory. */

import { Fault } from "../base/fault.ts";
import { derInteger, derOctetString, derOid, derSequence } from "./der.ts";
import { fromPem, toPem } from "./pem.ts";

const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
const ECDSA_SHA256 = { name: "ECDSA", hash: "SHA-256" } as const;
const COORDINATE_BYTES = 32;
const EC_PUBLIC_KEY = "1.2.840.10045.2.1";
const CURVE_P256 = "1.2.840.10045.3.1.7";

/** A key pair with the forms that certificates and TLS need. */
export interface KeyPair {
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  /** PKCS#8 in PEM. */
  readonly privatePem: string;
  /** SubjectPublicKeyInfo in DER. */
  readonly publicDer: Uint8Array<ArrayBuffer>;
}

/** Makes a new key pair. */
export async function generateKey(): Promise<KeyPair> {
  const keys = await crypto.subtle.generateKey(P256, true, ["sign", "verify"]);
  return await keyPairOf(keys.privateKey, keys.publicKey);
}

/** Reads a PKCS#8 key in DER. Throws `invalid_argument` when it is none on P-256. */
export async function importKey(pkcs8: Uint8Array<ArrayBuffer>): Promise<KeyPair> {
  try {
    const privateKey = await crypto.subtle.importKey("pkcs8", pkcs8, P256, true, ["sign"]);
    // The public half is in the private key's JWK; dropping `d` leaves it.
    const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", privateKey);
    const jwk = { kty, crv, x, y };
    const publicKey = await crypto.subtle.importKey("jwk", jwk, P256, true, ["verify"]);
    return await keyPairOf(privateKey, publicKey);
  } catch (cause) {
    throw new Fault(
      "invalid_argument",
      "Cannot read a private key: expected PKCS#8 with an ECDSA P-256 key",
      { cause },
    );
  }
}

/**
 * Reads a key in PEM, PKCS#8 (`PRIVATE KEY`) or the older form of OpenSSL and Go (`EC PRIVATE KEY`).
 * Throws `invalid_argument`.
 */
export async function importKeyPem(pem: string): Promise<KeyPair> {
  const [pkcs8] = fromPem("PRIVATE KEY", pem);
  if (pkcs8 !== undefined) return await importKey(pkcs8);
  const [sec1] = fromPem("EC PRIVATE KEY", pem);
  if (sec1 !== undefined) return await importKey(pkcs8OfSec1(sec1));
  throw new Fault(
    "invalid_argument",
    'Cannot read a private key: expected a PEM block "PRIVATE KEY" or "EC PRIVATE KEY"',
  );
}

/** Signs with ECDSA and SHA-256; the signature is in DER, as certificates have it. */
export async function signDer(key: CryptoKey, bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array> {
  const raw = new Uint8Array(await crypto.subtle.sign(ECDSA_SHA256, key, bytes));
  return derSequence(
    derInteger(raw.subarray(0, COORDINATE_BYTES)),
    derInteger(raw.subarray(COORDINATE_BYTES)),
  );
}

async function keyPairOf(privateKey: CryptoKey, publicKey: CryptoKey): Promise<KeyPair> {
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", privateKey));
  const publicDer = new Uint8Array(await crypto.subtle.exportKey("spki", publicKey));
  return { privateKey, publicKey, privatePem: toPem("PRIVATE KEY", pkcs8), publicDer };
}

/** The older form is what PKCS#8 wraps, less the name of the curve. */
function pkcs8OfSec1(sec1: Uint8Array): Uint8Array<ArrayBuffer> {
  const algorithm = derSequence(derOid(EC_PUBLIC_KEY), derOid(CURVE_P256));
  const version = derInteger(new Uint8Array([0]));
  return derSequence(version, algorithm, derOctetString(sec1));
}
