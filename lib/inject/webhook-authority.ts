/**
 * The webhook's own certificate authority. Its key lies in a Secret that all replicas read; each makes
 * a certificate for itself from it. One of them, the leader, changes the authority before it ends, in
 * steps that leave no moment in which the API server does not believe a replica:
 *
 *     steady ──two thirds of its life──▶ prepared ──the next one is announced for 10 minutes──▶ steady
 *       ▲                                (next in the Secret and in caBundle, not used yet)
 *     made ── no authority, or one that has ended
 *
 * This file decides; it neither asks nor writes.
 */

import { describeError, Fault } from "../base/fault.ts";
import { type Authority, authorityOf, authorityPem, makeRoot } from "../pki/issuer.ts";
import { importKeyPem } from "../pki/key.ts";

/** What is in the Secret. */
export interface AuthorityState {
  /** Certificates are made from it. */
  readonly current?: Authority;
  /** Will take its place, and is believed already. */
  readonly next?: Authority;
  /** The certificate of the one before, in PEM: replicas may still show certificates of it. */
  readonly previous?: string;
}

/** The fields of the Secret: texts, before they are encoded. */
export type AuthorityFields = Readonly<Record<string, string>>;

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;
/** From then on the next one is prepared. */
const AGEING = 2 / 3;
/** How long the next one is believed before it is used: all API servers have heard of it by then. */
const ANNOUNCED_MS = 600_000;

/** Reads the Secret's fields. What cannot be used is left out and told. */
export async function readAuthorities(
  fields: AuthorityFields,
): Promise<{ readonly state: AuthorityState; readonly problems: readonly string[] }> {
  const problems: string[] = [];
  const read = async (name: string): Promise<Authority | undefined> => {
    const certificate = fields[`${name}.crt`];
    const key = fields[`${name}.key`];
    if (!certificate || !key) return undefined;
    try {
      return authorityOf(certificate, await importKeyPem(key));
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      problems.push(`Cannot use ${name}.crt and ${name}.key: ${describeError(thrown)}`);
      return undefined;
    }
  };
  const current = await read("ca");
  const next = await read("next");
  const previous = fields["previous.crt"];
  const state = {
    ...current === undefined ? {} : { current },
    ...next === undefined ? {} : { next },
    ...previous ? { previous } : {},
  };
  return { state, problems };
}

/** The fields of a state. */
export function authorityFields({ current, next, previous }: AuthorityState): AuthorityFields {
  const fields: Record<string, string> = {};
  for (const [name, authority] of [["ca", current], ["next", next]] as const) {
    if (authority === undefined) continue;
    const { certificate, key } = authorityPem(authority);
    fields[`${name}.crt`] = certificate;
    fields[`${name}.key`] = key;
  }
  if (previous !== undefined) fields["previous.crt"] = previous;
  return fields;
}

/** What API servers are to believe, in PEM: the newest first. */
export function trustedBundle({ current, next, previous }: AuthorityState): string {
  const certificates = [next, current].flatMap((authority) =>
    authority === undefined ? [] : [authorityPem(authority).certificate]
  );
  return [...certificates, ...previous === undefined ? [] : [previous]].join("");
}

/**
 * The state that should follow, or undefined when nothing is to be done now. `announced` is what API
 * servers believe at the moment, in PEM.
 */
export async function nextState(
  state: AuthorityState,
  announced: string,
  nowMs: number,
): Promise<AuthorityState | undefined> {
  const { current, next } = state;
  if (current === undefined || endMs(current) <= nowMs) return { current: await made(nowMs) };
  if (next === undefined) {
    const beganMs = startMs(current);
    const isAgeing = nowMs - beganMs >= (endMs(current) - beganMs) * AGEING;
    return isAgeing ? { ...state, next: await made(nowMs) } : undefined;
  }
  if (endMs(next) <= nowMs) return { ...state, next: await made(nowMs) };
  const isBelieved = announced.includes(authorityPem(next).certificate.trim());
  if (!isBelieved || nowMs - startMs(next) < ANNOUNCED_MS) return undefined;
  return { current: next, previous: authorityPem(current).certificate };
}

function made(nowMs: number): Promise<Authority> {
  // Names tell them apart: with equal ones a verifier would take the first for both.
  const name = `malla-injector ${new Date(nowMs).toISOString()}`;
  return makeRoot({ name, nowMs, lifetimeMs: LIFETIME_MS });
}

function startMs({ certificate }: Authority): number {
  return +certificate.notBefore;
}

function endMs({ certificate }: Authority): number {
  return +certificate.notAfter;
}
