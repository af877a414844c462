/**
 * Workload identities: the DNS-like name that certificates carry, and the SPIFFE URI beside it.
 * The name is `<sa>.<ns>.serviceaccount.identity.<control-plane-ns>.<trust-domain>`.
 */

import { Fault } from "../base/fault.ts";

/** Whom a workload runs as, and which mesh vouches for it. */
export interface WorkloadIdentity {
  /** The workload's service account. */
  readonly serviceAccount: string;
  /** The workload's namespace. */
  readonly namespace: string;
  /** Where the control plane runs. */
  readonly controlPlaneNamespace: string;
  /** The domain of the trust anchors. */
  readonly trustDomain: string;
}

/** The audience of the tokens that proxies show to the identity service. */
export const TOKEN_AUDIENCE = "identity.l5d.io";

/** The DNS-like name of the identity. */
export function identityName(identity: WorkloadIdentity): string {
  const { serviceAccount, namespace, controlPlaneNamespace, trustDomain } = identity;
  return `${serviceAccount}.${namespace}.serviceaccount.identity.${controlPlaneNamespace}.${trustDomain}`;
}

/** The SPIFFE URI of the identity: `spiffe://<trust-domain>/ns/<ns>/sa/<sa>`. */
export function spiffeUri(identity: WorkloadIdentity): string {
  return `spiffe://${identity.trustDomain}/ns/${identity.namespace}/sa/${identity.serviceAccount}`;
}

/** Reads a DNS-like name. Throws `invalid_argument` when it is not one of a workload. */
export function parseIdentityName(name: string): WorkloadIdentity {
  const match = /^([a-z0-9-]+)\.([a-z0-9-]+)\.serviceaccount\.identity\.([a-z0-9-]+)\.(.+)$/
    .exec(name);
  const [, serviceAccount, namespace, controlPlaneNamespace, trustDomain] = match ?? [];
  if (!serviceAccount || !namespace || !controlPlaneNamespace || !trustDomain) {
    throw new Fault(
      "invalid_argument",
      `Cannot read identity "${name}": expected ` +
        "<service-account>.<namespace>.serviceaccount.identity.<control-plane-namespace>.<trust-domain>",
    );
  }
  return { serviceAccount, namespace, controlPlaneNamespace, trustDomain };
}
