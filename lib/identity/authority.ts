/**
 * The certificate authority's decision: who may have which name. Everything that a request says is
 * checked before anything is signed, and what is signed is our own words, not the request's.
 */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { CertificateRequest, Certifier, IssuedCertificate } from "../mesh/certifier.ts";
import { identityName, spiffeUri, type WorkloadIdentity } from "../mesh/identity.ts";
import { type Authority, issueLeaf } from "../pki/issuer.ts";
import { readCsr, type SigningRequest } from "../pki/read-csr.ts";
import type { TokenReviewer } from "./token.ts";

/** What an authority works with. */
export interface AuthorityOptions {
  /** The issuer of this moment; null while none could be loaded. */
  readonly issuer: () => Authority | null;
  readonly reviewer: TokenReviewer;
  readonly controlPlaneNamespace: string;
  readonly trustDomain: string;
  /** How long certificates last, the allowance for clocks apart. */
  readonly lifetimeMs: number;
  /** The allowance for clocks; default: 20 s. */
  readonly clockSkewMs?: number;
  readonly clock: Clock;
  /** Told of each decision: the name that was asked for, and the fault of a refusal. */
  readonly decided: (identity: string, fault: Fault | null) => void;
}

/** Makes the certifier of a mesh. */
export function createAuthority(options: AuthorityOptions): Certifier {
  return {
    async certify(request) {
      try {
        const issued = await certify(options, request);
        options.decided(request.identity, null);
        return issued;
      } catch (thrown) {
        const fault = thrown instanceof Fault
          ? thrown
          : new Fault("internal", "Cannot certify", { cause: thrown });
        options.decided(request.identity, fault);
        throw fault;
      }
    },
  };
}

/** Issues for a name that needs no more proof: the identity service's own. */
export async function issueFor(
  options: Pick<AuthorityOptions, "issuer" | "lifetimeMs" | "clockSkewMs" | "clock">,
  identity: WorkloadIdentity,
  request: SigningRequest,
): Promise<IssuedCertificate> {
  const issuer = currentIssuer(options.issuer);
  const { der, notAfterMs } = await issueLeaf(issuer, {
    publicDer: request.publicDer,
    dnsName: identityName(identity),
    uri: spiffeUri(identity),
    nowMs: options.clock.nowMs(),
    lifetimeMs: options.lifetimeMs,
    ...options.clockSkewMs === undefined ? {} : { clockSkewMs: options.clockSkewMs },
  });
  const intermediates = issuer.chain.map((link) => new Uint8Array(link.rawData));
  return { leaf: der, intermediates, validUntilMs: notAfterMs };
}

async function certify(
  options: AuthorityOptions,
  request: CertificateRequest,
): Promise<IssuedCertificate> {
  currentIssuer(options.issuer);
  checkComplete(request);
  const { identity } = request;
  const signing = await readCsr(request.csr.slice());
  checkNames(identity, signing);
  const token = new TextDecoder().decode(request.token).trim();
  const owner = await options.reviewer.review(token);
  const { controlPlaneNamespace, trustDomain } = options;
  const proven = { ...owner, controlPlaneNamespace, trustDomain };
  if (identityName(proven) !== identity) {
    throw refused(`the token is that of "${identityName(proven)}"`, identity);
  }
  return await issueFor(options, proven, signing);
}

function currentIssuer(issuer: () => Authority | null): Authority {
  const current = issuer();
  if (current !== null) return current;
  throw new Fault("unavailable", "Cannot certify: the issuer's certificate is not loaded yet");
}

function checkComplete(request: CertificateRequest): void {
  const missing = request.identity === ""
    ? "identity"
    : request.token.length === 0
    ? "token"
    : request.csr.length === 0
    ? "certificate signing request"
    : undefined;
  if (missing === undefined) return;
  throw new Fault("invalid_argument", `Cannot certify: the request has no ${missing}`, {
    source: "downstream",
  });
}

function checkNames(identity: string, signing: SigningRequest): void {
  const { dnsNames, otherNames, commonNames } = signing;
  if (otherNames.length > 0) {
    throw refused(`its request names "${otherNames[0]}", expected a DNS name alone`, identity);
  }
  if (dnsNames.length !== 1 || dnsNames[0] !== identity) {
    const named = dnsNames.map((name) => `"${name}"`).join(", ") || "nothing";
    throw refused(`its request is for ${named}`, identity);
  }
  const stranger = commonNames.find((name) => name !== "" && name !== identity);
  if (stranger !== undefined) throw refused(`its common name is "${stranger}"`, identity);
}

function refused(why: string, identity: string): Fault {
  return new Fault("failed_precondition", `Cannot certify "${identity}": ${why}`, {
    source: "downstream",
  });
}
