/**
 * The certificates of an installation: the trust anchor, the issuer below it, and whether those that
 * somebody brings belong together. An anchor lasts long and its key is in no pod; the issuer lasts a
 * year and is renewed under the same anchor, which no workload notices.
 */

import { describeError, Fault } from "../base/fault.ts";
import { readCertificate } from "../host/x509.ts";
import {
  type Authority,
  authorityNotAfterMs,
  authorityOf,
  authorityPem,
  makeIssuer,
  makeRoot,
} from "../pki/issuer.ts";
import { importKeyPem } from "../pki/key.ts";
import { fromPem } from "../pki/pem.ts";
import { chains } from "../pki/verify.ts";

/** What an installation needs of certificates; all in PEM. */
export interface IdentityMaterial {
  readonly trustAnchors: string;
  readonly issuerCertificate: string;
  readonly issuerKey: string;
}

/** An anchor whose key is at hand, so that issuers can be made below it. */
export interface AnchorMaterial {
  readonly certificate: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
const ANCHOR_LIFETIME_MS = 3_650 * DAY_MS;
const ISSUER_LIFETIME_MS = 365 * DAY_MS;
/** From then on an upgrade renews the issuer. */
const AGEING = 2 / 3;

/** Makes an anchor and an issuer. `mesh` names them, such as `malla.cluster.local`. */
export async function makeIdentity(
  mesh: string,
  nowMs: number,
): Promise<{ readonly material: IdentityMaterial; readonly anchor: AnchorMaterial }> {
  const name = `root.${mesh}`;
  const root = await makeRoot({ name, nowMs, lifetimeMs: ANCHOR_LIFETIME_MS });
  const anchor = authorityPem(root);
  return { material: await issuerBelow(root, anchor.certificate, mesh, nowMs), anchor };
}

/** Makes another issuer below an anchor. `trustAnchors` stay as they are. */
export async function renewIssuer(
  anchor: AnchorMaterial,
  trustAnchors: string,
  mesh: string,
  nowMs: number,
): Promise<IdentityMaterial> {
  const root = authorityOf(anchor.certificate, await importKeyPem(anchor.key));
  return await issuerBelow(root, trustAnchors, mesh, nowMs);
}

/** Whether two thirds of the issuer's life are over. */
export function isAgeing(issuerCertificate: string, nowMs: number): boolean {
  const [der] = fromPem("CERTIFICATE", issuerCertificate);
  if (der === undefined) return false;
  const { notBeforeMs, notAfterMs } = readCertificate(der);
  return nowMs >= notBeforeMs + (notAfterMs - notBeforeMs) * AGEING;
}

/**
 * What is wrong with certificates that somebody brings: an issuer that is none, that has ended, whose
 * key is another one's, or that does not chain to the anchors. Empty when nothing is.
 */
export async function identityProblems(
  { trustAnchors, issuerCertificate, issuerKey }: IdentityMaterial,
  nowMs: number,
): Promise<readonly string[]> {
  let issuer: Authority;
  try {
    issuer = authorityOf(issuerCertificate, await importKeyPem(issuerKey));
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return [`Cannot use the issuer: ${describeError(thrown)}`];
  }
  const problems: string[] = [];
  const endMs = authorityNotAfterMs(issuer);
  if (endMs <= nowMs) {
    problems.push(
      `Cannot use the issuer: its certificate ended at ${new Date(endMs).toISOString()}`,
    );
  }
  if (+issuer.certificate.notBefore > nowMs) {
    problems.push("Cannot use the issuer: its certificate is not valid yet; is the clock right?");
  }
  try {
    if (!chains(issuerCertificate, trustAnchors, nowMs)) {
      problems.push(
        `Cannot use the issuer "${issuer.certificate.subject}": ` +
          "it does not chain to one of the trust anchors that are valid now",
      );
    }
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    problems.push(describeError(thrown));
  }
  return problems;
}

async function issuerBelow(
  root: Authority,
  trustAnchors: string,
  mesh: string,
  nowMs: number,
): Promise<IdentityMaterial> {
  const name = `identity.${mesh}`;
  const issuer = await makeIssuer(root, { name, nowMs, lifetimeMs: ISSUER_LIFETIME_MS });
  const { certificate, key } = authorityPem(issuer);
  return { trustAnchors, issuerCertificate: certificate, issuerKey: key };
}
