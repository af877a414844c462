/** Looks at tokens through the cluster's TokenReview API. */

import { Fault } from "../base/fault.ts";
import { readText } from "../host/files.ts";
import { postJson } from "../host/https-json.ts";
import { TOKEN_AUDIENCE } from "../mesh/identity.ts";
import { parseUsername, type TokenReviewer } from "./token.ts";

const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";
const PATH = "/apis/authentication.k8s.io/v1/tokenreviews";
const TIMEOUT_MS = 5_000;

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

/**
 * Asks the API server of the cluster that this process runs in, as its own service account. Throws
 * `failed_precondition` outside of a cluster.
 */
export function clusterTokenReview(
  env: Readonly<Record<string, string | undefined>>,
  folder: string = FOLDER,
): ReviewToken {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (!host) {
    throw new Fault(
      "failed_precondition",
      "Cannot review tokens: KUBERNETES_SERVICE_HOST is not set, expected to run in a cluster",
    );
  }
  const url = `https://${host.includes(":") ? `[${host}]` : host}:${port}${PATH}`;
  return async (token, audience) => {
    const review = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenReview",
      spec: { token, audiences: [audience] },
    };
    // Both files are rotated by the kubelet, so they are read each time.
    const [bearer, ca] = await readOwn(folder);
    const answer = await postJson({ url, body: review, bearer, ca, timeoutMs: TIMEOUT_MS });
    return (answer as { status?: TokenReviewStatus }).status ?? {};
  };
}

async function readOwn(folder: string): Promise<readonly [string, string]> {
  try {
    return [(await readText(`${folder}/token`)).trim(), await readText(`${folder}/ca.crt`)];
  } catch (cause) {
    throw new Fault("internal", "Cannot review tokens: our own service account is not mounted", {
      cause,
    });
  }
}
