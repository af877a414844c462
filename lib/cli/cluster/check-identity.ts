/** Whether the mesh's certificates are valid, belong together, and will last. */

import { type Certificate, readCertificate } from "../../host/x509.ts";
import { identityProblems } from "../../install/identity-material.ts";
import { TRUST_ROOTS_KEY } from "../../install/names.ts";
import { fromPem } from "../../pki/pem.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { storedValues, upgradeCommand } from "./check-existence.ts";
import { type ClusterView, fieldOf } from "./view.ts";

const DAY_MS = 86_400_000;
/** So long before an end people are told. */
const NOTICE_MS = 60 * DAY_MS;
/** Who renews short-lived issuers by himself is not told of each: this share of a life must be left. */
const ISSUER_NOTICE_SHARE = 1 / 6;

const ROTATE =
  "malla upgrade --rotate-issuer | kubectl apply -f - makes another issuer; an external " +
  "one is renewed by whoever wrote its Secret";

/** `malla-identity`. */
export function identityChecks(view: ClusterView, nowMs: number): Category {
  return {
    name: "malla-identity",
    checks: [anchors(view, nowMs), issuer(view, nowMs), issuerLasts(view, nowMs)],
  };
}

/** The trust anchors in PEM; undefined when nobody wrote them. */
export async function trustAnchorsOf(view: ClusterView): Promise<string | undefined> {
  const values = await storedValues(view);
  if (values === undefined) return undefined;
  const map = await view.object("ConfigMap", values.identity.trustRootsConfigMap);
  const text = fieldOf(map, "data", TRUST_ROOTS_KEY);
  return typeof text === "string" ? text : undefined;
}

function anchors(view: ClusterView, nowMs: number): Check {
  return {
    name: "the trust anchors are valid",
    isBasis: true,
    async run(): Promise<Outcome> {
      const text = await trustAnchorsOf(view);
      if (text === undefined) {
        return {
          status: "fail",
          message: `the ConfigMap with the key ${TRUST_ROOTS_KEY} is missing`,
          hint: `${await upgradeCommand(view)} writes it; an external one is its owner's`,
        };
      }
      const certificates = certificatesIn(text);
      if (certificates.length === 0) {
        return { status: "fail", message: "there is no certificate in them", hint: ROTATE };
      }
      const ended = certificates.filter(({ notAfterMs }) => notAfterMs <= nowMs);
      if (ended.length === certificates.length) {
        return {
          status: "fail",
          message: ended.map(describe).join("\n"),
          hint:
            "install new anchors (--identity-trust-anchors-file) and an issuer below them, and " +
            "restart all meshed pods",
        };
      }
      const soon = certificates.filter(({ notAfterMs }) => notAfterMs - nowMs < NOTICE_MS);
      if (soon.length === 0) return PASSED;
      return {
        status: "warn",
        message: soon.map(describe).join("\n"),
        hint:
          "bring a new anchor beside the old one with malla upgrade --identity-trust-anchors-file, " +
          "restart the meshed pods, then bring its issuer",
      };
    },
  };
}

function issuer(view: ClusterView, nowMs: number): Check {
  return {
    name: "the issuer chains to the trust anchors",
    isBasis: true,
    async run(): Promise<Outcome> {
      const pair = await issuerOf(view);
      if (pair === undefined) {
        return { status: "fail", message: "the Secret with the issuer is missing", hint: ROTATE };
      }
      const problems = await identityProblems({
        trustAnchors: await trustAnchorsOf(view) ?? "",
        issuerCertificate: pair.certificate,
        issuerKey: pair.key,
      }, nowMs);
      return problems.length === 0
        ? PASSED
        : { status: "fail", message: problems.join("\n"), hint: ROTATE };
    },
  };
}

function issuerLasts(view: ClusterView, nowMs: number): Check {
  return {
    name: "the issuer does not end soon",
    async run() {
      const pair = await issuerOf(view);
      const [first] = certificatesIn(pair?.certificate ?? "");
      if (first === undefined) return PASSED;
      const { notBeforeMs, notAfterMs } = first;
      const noticeMs = Math.min(NOTICE_MS, (notAfterMs - notBeforeMs) * ISSUER_NOTICE_SHARE);
      if (notAfterMs - nowMs >= noticeMs) return PASSED;
      return { status: "warn", message: describe(first), hint: ROTATE };
    },
  };
}

async function issuerOf(
  view: ClusterView,
): Promise<{ readonly certificate: string; readonly key: string } | undefined> {
  const values = await storedValues(view);
  if (values === undefined) return undefined;
  const secret = await view.object("Secret", values.identity.issuer.secretName);
  const text = (key: string) => decoded(fieldOf(secret, "data", key));
  const certificate = text("tls.crt") ?? text("crt.pem");
  const key = text("tls.key") ?? text("key.pem");
  return certificate === undefined || key === undefined ? undefined : { certificate, key };
}

/** The certificates of a PEM text; those that cannot be read are left out. */
export function certificatesIn(pem: string): readonly Certificate[] {
  try {
    return fromPem("CERTIFICATE", pem).map(readCertificate);
  } catch {
    return []; // Whoever asks says that there is none.
  }
}

/** Text in Base64; undefined when it is none. */
export function decoded(value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(value));
  } catch {
    return undefined; // Whoever asks says what is missing.
  }
}

function describe({ subject, notAfterMs }: Certificate): string {
  return `${subject.replaceAll("\n", ", ")} ends at ${new Date(notAfterMs).toISOString()}`;
}
