/** Who a workload is, as its token says; and who looks at tokens. */

import { Fault } from "../base/fault.ts";

/** The service account that a token was made for. */
export interface TokenOwner {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** Looks at tokens. */
export interface TokenReviewer {
  /**
   * Whose token it is. Rejects with `failed_precondition` for one that is not genuine, expired or for
   * another audience, `invalid_argument` for one that cannot be read or is no service account's, and
   * `internal` when it could not be looked at.
   */
  review(token: string): Promise<TokenOwner>;
}

const USERNAME = /^system:serviceaccount:([^:]+):([^:]+)$/;
/** A DNS label (RFC 1123): what may be a part of an identity. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The name by which Kubernetes knows a service account. */
export function usernameOf({ namespace, serviceAccount }: TokenOwner): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`;
}

/** Reads such a name. Throws `invalid_argument` for one that cannot be part of an identity. */
export function parseUsername(username: string): TokenOwner {
  const [, namespace = "", serviceAccount = ""] = USERNAME.exec(username) ?? [];
  if (LABEL.test(namespace) && LABEL.test(serviceAccount)) return { namespace, serviceAccount };
  throw new Fault(
    "invalid_argument",
    `Cannot certify "${username}": expected system:serviceaccount:<namespace>:<name>, ` +
      "both of them DNS labels",
    { source: "downstream" },
  );
}
