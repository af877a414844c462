/**
 * The certificate authority: makes roots and issuers, and issues leaves. Owns the X.509 library; only
 * the identity service, the laptop mesh and the installer load it.
 */

import { Fault } from "../base/fault.ts";
import { generateKey, type KeyPair } from "./key.ts";
import { fromPem, toPemChain } from "./pem.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from "./x509.ts";

const SIGNING = { name: "ECDSA", hash: "SHA-256" } as const;
/** How far behind the clocks of workloads may be, unless somebody says otherwise. */
const CLOCK_SKEW_MS = 20_000;
const SERIAL_BYTES = 16;

/** An authority with its key. */
export interface Authority {
  readonly certificate: X509Certificate;
  readonly keys: KeyPair;
  /** From this authority's certificate up, without the root. */
  readonly chain: readonly X509Certificate[];
}

/** A root and the issuer below it, as the laptop mesh makes them. */
export interface MadeAuthorities {
  /** The trust anchor in PEM; its key is thrown away. */
  readonly trustAnchors: string;
  readonly issuer: Authority;
}

/** What a new pair of authorities is called and how long it lasts. */
export interface AuthorityOptions {
  /** Names the mesh in the subjects, such as `malla.cluster.local`. */
  readonly mesh: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

/** What a leaf is to carry. */
export interface LeafOptions {
  /** SubjectPublicKeyInfo in DER. */
  readonly publicDer: Uint8Array<ArrayBuffer>;
  readonly dnsName: string;
  /** Stands after the DNS name, because peers of the contract take the first name as the identity. */
  readonly uri?: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
  /** The certificate is valid for so much longer on both sides. Default: 20 s. */
  readonly clockSkewMs?: number;
}

/** Makes a self-signed root and an issuer below it, both ECDSA P-256. */
export async function makeAuthorities(options: AuthorityOptions): Promise<MadeAuthorities> {
  const { mesh } = options;
  const root = await makeRoot({ ...options, name: `root.${mesh}` });
  return {
    trustAnchors: authorityPem(root).certificate,
    issuer: await makeIssuer(root, { ...options, name: `identity.${mesh}` }),
  };
}

/** What an authority is called (its common name) and how long it lasts. */
export interface OneAuthorityOptions {
  readonly name: string;
  readonly nowMs: number;
  readonly lifetimeMs: number;
}

/** Makes a self-signed authority, ECDSA P-256. */
export async function makeRoot(options: OneAuthorityOptions): Promise<Authority> {
  const keys = await generateKey();
  const certificate = await makeAuthority(options, `CN=${options.name}`, keys, undefined);
  return { certificate, keys, chain: [] };
}

/** Makes an authority below a root, which issues leaves only; it ends no later than the root. */
export async function makeIssuer(
  root: Authority,
  options: OneAuthorityOptions,
): Promise<Authority> {
  const keys = await generateKey();
  const lifetimeMs = Math.min(options.lifetimeMs, authorityNotAfterMs(root) - options.nowMs);
  const name = `CN=${options.name}`;
  const certificate = await makeAuthority({ ...options, lifetimeMs }, name, keys, root);
  return { certificate, keys, chain: [certificate] };
}

/**
 * Puts an authority together from a PEM chain (its own certificate first) and its key. Throws
 * `invalid_argument` when they do not belong together, or the certificate is no authority's.
 */
export function authorityOf(chainPem: string, keys: KeyPair): Authority {
  const chain = fromPem("CERTIFICATE", chainPem).map((der) => new X509Certificate(der));
  const [certificate] = chain;
  if (certificate === undefined) {
    throw new Fault("invalid_argument", "Cannot read the issuer: no PEM certificate in its chain");
  }
  const constraints = certificate.getExtension(BasicConstraintsExtension);
  if (constraints?.ca !== true) {
    throw new Fault(
      "invalid_argument",
      `Cannot issue with "${certificate.subject}": it is not a certificate authority`,
    );
  }
  const own = new Uint8Array(certificate.publicKey.rawData);
  if (!own.every((byte, index) => byte === keys.publicDer[index])) {
    throw new Fault(
      "invalid_argument",
      `Cannot issue with "${certificate.subject}": the private key is another one's`,
    );
  }
  // A root is known to all workloads; sending it would only cost bytes in each handshake.
  return { certificate, keys, chain: chain.filter((link) => link.subject !== link.issuer) };
}

/** The chain and key of an authority in PEM, as they stand in files and secrets. */
export function authorityPem(authority: Authority): { certificate: string; key: string } {
  const { chain, certificate, keys } = authority;
  const links = chain.length > 0 ? chain : [certificate];
  return {
    certificate: toPemChain("CERTIFICATE", links.map((link) => new Uint8Array(link.rawData))),
    key: keys.privatePem,
  };
}

/** When the first certificate of the chain ends; no leaf lasts longer. */
export function authorityNotAfterMs(authority: Authority): number {
  return Math.min(...[authority.certificate, ...authority.chain].map(({ notAfter }) => +notAfter));
}

/** Issues a certificate for a workload. Throws `unknown` when the authority itself has expired. */
export async function issueLeaf(
  authority: Authority,
  options: LeafOptions,
): Promise<{ der: Uint8Array; notAfterMs: number }> {
  const { dnsName, uri, nowMs, lifetimeMs, clockSkewMs = CLOCK_SKEW_MS } = options;
  const authorityEndMs = authorityNotAfterMs(authority);
  if (authorityEndMs <= nowMs) {
    const ended = new Date(authorityEndMs).toISOString();
    throw new Fault("unknown", `Cannot issue: the issuer's certificate chain expired at ${ended}`);
  }
  const notAfterMs = Math.min(nowMs + lifetimeMs + clockSkewMs, authorityEndMs);
  const names = [
    { type: "dns", value: dnsName } as const,
    ...uri === undefined ? [] : [{ type: "url", value: uri } as const],
  ];
  const leaf = await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    issuer: authority.certificate.subjectName,
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(notAfterMs),
    publicKey: options.publicDer,
    signingKey: authority.keys.privateKey,
    signingAlgorithm: SIGNING,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature | KeyUsageFlags.keyEncipherment, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
      await keyIdentifierOf(authority),
      // Critical, because the subject is empty (RFC 5280, 4.2.1.6).
      new SubjectAlternativeNameExtension(names, true),
    ],
  });
  return { der: new Uint8Array(leaf.rawData), notAfterMs: +leaf.notAfter };
}

async function makeAuthority(
  options: Pick<AuthorityOptions, "nowMs" | "lifetimeMs">,
  name: string,
  keys: KeyPair,
  signer: Authority | undefined,
): Promise<X509Certificate> {
  const { nowMs, lifetimeMs } = options;
  const extensions: Extension[] = [
    // The issuer signs leaves only.
    new BasicConstraintsExtension(true, signer === undefined ? undefined : 0, true),
    new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await SubjectKeyIdentifierExtension.create(keys.publicKey),
  ];
  if (signer !== undefined) {
    extensions.push(await keyIdentifierOf(signer));
  }
  return await X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: name,
    issuer: signer === undefined ? name : signer.certificate.subjectName,
    notBefore: new Date(nowMs - CLOCK_SKEW_MS),
    notAfter: new Date(nowMs + lifetimeMs),
    publicKey: keys.publicKey,
    signingKey: (signer?.keys ?? keys).privateKey,
    signingAlgorithm: SIGNING,
    extensions,
  });
}

/**
 * How what an authority signs names the authority's key: as its own certificate does. Others make that
 * of the key in other ways than ours (Go by SHA-256), and a chain whose names differ is refused.
 */
async function keyIdentifierOf({ certificate }: Authority): Promise<Extension> {
  const own = certificate.getExtension(SubjectKeyIdentifierExtension);
  if (own !== null) return new AuthorityKeyIdentifierExtension(own.keyId);
  return await AuthorityKeyIdentifierExtension.create(certificate.publicKey);
}

/** 128 bits nobody can guess; the first bit is clear, so that the number stays positive and short. */
function randomSerial(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  bytes[0] = (bytes[0] ?? 0) & 0x7f | 0x01;
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
