/** Looks at tokens through the cluster's TokenReview API. */

import { Fault } from "../base/fault.ts";
import { KUBE_OBJECT_BYTES_MAX } from "../base/limits.ts";
import { sendJson } from "../host/http-json.ts";
import { TOKEN_AUDIENCE } from "../mesh/identity.ts";
import type { KubeAccess } from "../source/kube/access.ts";
import { parseUsername, type TokenReviewer } from "./token.ts";

const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
const BOUNDS = { idleMs: 5_000, bytesMax: KUBE_OBJECT_BYTES_MAX };

/** What a TokenReview answers; every field may be missing. */
export interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: { readonly username?: string };
}

/** Asks the API server about one token, for our audience. Rejects with `internal`. */
export type ReviewToken = (token: string, audience: string) => Promise<TokenReviewStatus>;

/** A reviewer around any client of the API. */
export function createTokenReviewer(ask: ReviewToken): TokenReviewer {
  return {
    async review(token) {
      const status = await ask(token, TOKEN_AUDIENCE);
      const { error, authenticated, audiences, user } = status;
      if (error) {
        throw new Fault("invalid_argument", `Cannot accept the token: ${error}`, {
          source: "downstream",
        });
      }
      // An API server that knows no audiences names none, and would take tokens meant for others.
      if (authenticated !== true || audiences?.includes(TOKEN_AUDIENCE) !== true) {
        const why = authenticated === true ? "it is for another audience" : "it is not genuine";
        throw new Fault("failed_precondition", `Cannot accept the token: ${why}`, {
          source: "downstream",
        });
      }
      return parseUsername(user?.username ?? "");
    },
  };
}

/** Asks a cluster's API server. */
export function clusterTokenReview(access: KubeAccess): ReviewToken {
  return async (token, audience) => {
    const review = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    };
    try {
      const answer = await sendJson(
        await access.target(PATH),
        { method: "POST", body: review },
        BOUNDS,
      );
      return (answer as { status?: TokenReviewStatus }).status ?? {};
    } catch (cause) {
      throw new Fault("internal", "Cannot have the token reviewed", { source: "upstream", cause });
    }
  };
}
