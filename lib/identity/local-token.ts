/**
 * Tokens of the laptop mesh: JSON Web Tokens signed with ES256 by whoever started the mesh, with the
 * claims of a Kubernetes service-account token that the mesh looks at. The identity service knows the
 * public key alone, so it cannot make tokens itself.
 */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import { TOKEN_AUDIENCE } from "../mesh/identity.ts";
import { generateKey, importKeyPem } from "../pki/key.ts";
import { fromPem, toPem } from "../pki/pem.ts";
import { parseUsername, type TokenOwner, type TokenReviewer, usernameOf } from "./token.ts";

const ISSUER = "malla";
const HEADER = { alg: "ES256", typ: "JWT" } as const;
const ES256 = { name: "ECDSA", hash: "SHA-256" } as const;
const P256 = { name: "ECDSA", namedCurve: "P-256" } as const;
/** No token of ours is near that long; a parser should not see more. */
const TOKEN_CHARACTERS_MAX = 4_096;

/** The keys of a laptop mesh's tokens, in PEM. */
export interface TokenKeys {
  readonly privatePem: string;
  readonly publicPem: string;
}

/** For whom and for how long a token is made. */
export interface TokenGrant extends TokenOwner {
  readonly pod: string;
  readonly lifetimeMs: number;
}

/** Makes tokens. */
export interface TokenIssuer {
  issue(grant: TokenGrant): Promise<string>;
}

/** Makes the keys of a new mesh. */
export async function generateTokenKeys(): Promise<TokenKeys> {
  const { privatePem, publicDer } = await generateKey();
  return { privatePem, publicPem: toPem("PUBLIC KEY", publicDer) };
}

/** Makes tokens with a private key. Rejects with `invalid_argument` for what is none. */
export async function createTokenIssuer(privatePem: string, clock: Clock): Promise<TokenIssuer> {
  const { privateKey } = await importKeyPem(privatePem);
  return {
    async issue({ namespace, serviceAccount, pod, lifetimeMs }) {
      const now = Math.floor(clock.nowMs() / 1000);
      const claims = {
        iss: ISSUER,
        aud: [TOKEN_AUDIENCE],
        sub: usernameOf({ namespace, serviceAccount }),
        iat: now,
        nbf: now,
        exp: now + Math.ceil(lifetimeMs / 1000),
        pod,
      };
      const signed = `${encodeJson(HEADER)}.${encodeJson(claims)}`;
      const signature = await crypto.subtle.sign(ES256, privateKey, utf8(signed));
      return `${signed}.${new Uint8Array(signature).toBase64(URL_SAFE)}`;
    },
  };
}

/** Looks at such tokens. Rejects with `invalid_argument` when the text holds no public key. */
export async function createLocalReviewer(
  publicPem: string,
  clock: Clock,
): Promise<TokenReviewer> {
  const key = await importPublicKey(publicPem);
  return {
    async review(token) {
      const { signed, signature, claims, alg } = readToken(token);
      // The one algorithm that we sign with; a token does not choose how it is checked.
      const isGenuine = alg === HEADER.alg &&
        await crypto.subtle.verify(ES256, key, signature, utf8(signed));
      if (!isGenuine) throw refused("it was not signed by this mesh");
      checkClaims(claims, clock.nowMs() / 1000);
      return parseUsername(String(claims["sub"] ?? ""));
    },
  };
}

interface ReadToken {
  readonly signed: string;
  readonly signature: Uint8Array<ArrayBuffer>;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly alg: unknown;
}

const URL_SAFE = { alphabet: "base64url", omitPadding: true } as const;

function readToken(token: string): ReadToken {
  const [header = "", claims = "", signature = "", ...more] = token.split(".");
  try {
    if (token.length > TOKEN_CHARACTERS_MAX || more.length > 0) {
      throw new Error("not of our making");
    }
    return {
      signed: `${header}.${claims}`,
      signature: Uint8Array.fromBase64(signature, { alphabet: "base64url" }),
      claims: decodeJson(claims),
      alg: decodeJson(header)["alg"],
    };
  } catch (cause) {
    throw new Fault("invalid_argument", "Cannot read the token: expected a JSON Web Token", {
      source: "downstream",
      cause,
    });
  }
}

function checkClaims(claims: Readonly<Record<string, unknown>>, nowSeconds: number): void {
  const { iss, aud, exp, nbf } = claims;
  if (iss !== ISSUER) throw refused(`its issuer is not "${ISSUER}"`);
  const audiences = Array.isArray(aud) ? aud : [aud];
  if (!audiences.includes(TOKEN_AUDIENCE)) throw refused(`it is not for "${TOKEN_AUDIENCE}"`);
  if (typeof exp !== "number" || exp <= nowSeconds) throw refused("it has expired");
  if (typeof nbf === "number" && nbf > nowSeconds + 60) throw refused("it is not valid yet");
}

function refused(why: string): Fault {
  return new Fault("failed_precondition", `Cannot accept the token: ${why}`, {
    source: "downstream",
  });
}

async function importPublicKey(pem: string): Promise<CryptoKey> {
  try {
    const [der] = fromPem("PUBLIC KEY", pem);
    if (der === undefined) throw new Error("no PEM block");
    return await crypto.subtle.importKey("spki", der, P256, false, ["verify"]);
  } catch (cause) {
    throw new Fault(
      "invalid_argument",
      'Cannot read the key of tokens: expected PEM "PUBLIC KEY" with ECDSA P-256',
      { cause },
    );
  }
}

function encodeJson(value: unknown): string {
  return utf8(JSON.stringify(value)).toBase64(URL_SAFE);
}

function decodeJson(text: string): Readonly<Record<string, unknown>> {
  const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof value !== "object" || value === null) throw new Error("not a JSON object");
  return value as Record<string, unknown>;
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}
