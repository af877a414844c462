/**
 * Whether a change of certificates keeps the mesh together. Proxies that run believe the anchors that
 * they were started with; new ones believe the new anchors. While both are there each must believe
 * what the other one shows, so an anchor is changed in steps: the new one beside the old, workloads
 * restarted, an issuer below it, workloads certified by it, and the old one away.
 */

import { fromPem, toPem } from "../pki/pem.ts";
import { readCertificate } from "../host/x509.ts";
import { chains } from "../pki/verify.ts";

/** What an installation trusts and issues with, in PEM; empty where somebody else writes it. */
export interface RotationSide {
  readonly trustAnchors: string;
  readonly issuerCertificate: string;
}

/** Pods that run, and the hash of the anchors that each was started with. */
export interface RotationPods {
  readonly name: string;
  readonly anchorsSha256: string;
}

/** Names in a message; a mesh may have thousands. */
const NAMED_MAX = 5;

/**
 * What would come apart between what is and what is to be. Empty when nothing would, or when nobody
 * runs yet. `sha256` hashes a text as the injector does.
 */
export function rotationProblems(
  former: RotationSide,
  next: RotationSide,
  pods: readonly RotationPods[],
  sha256: (text: string) => string,
  nowMs: number,
): readonly string[] {
  const isKnown = [former, next].every((side) => side.trustAnchors && side.issuerCertificate);
  if (pods.length === 0 || !isKnown) return [];
  const problems: string[] = [];
  // An issuer that has ended issues nothing that anybody would still have to believe.
  const isOver = endOf(former.issuerCertificate) <= nowMs;
  if (!isOver && !chains(former.issuerCertificate, next.trustAnchors, nowMs)) {
    problems.push(
      "the new trust anchors do not hold the one that the present issuer is below: new pods would " +
        "not believe those that run. Give both anchors, the present one and the new one",
    );
  }
  if (chains(next.issuerCertificate, former.trustAnchors, nowMs)) {
    const isOtherAnchor = !sharesAnchor(former, next, nowMs);
    const late = pods.filter(({ anchorsSha256 }) => anchorsSha256 !== sha256(former.trustAnchors));
    if (isOtherAnchor && late.length > 0) {
      problems.push(
        "the new issuer is below another anchor than the present one, and these pods were started " +
          `before the present anchors: they would not believe it. Restart them first\n${
            late.slice(0, NAMED_MAX).map(({ name }) => `  ${name}\n`).join("")
          }${late.length > NAMED_MAX ? `  and ${late.length - NAMED_MAX} more\n` : ""}`.trimEnd(),
      );
    }
  } else if (!isOver) {
    problems.push(
      "the new issuer is below none of the present trust anchors: the pods that run would not believe " +
        "its certificates. Bring the anchors first, restart the pods, then bring the issuer",
    );
  }
  return problems;
}

/** Whether one of the former's anchors is above both issuers. */
function sharesAnchor(former: RotationSide, next: RotationSide, nowMs: number): boolean {
  return fromPem("CERTIFICATE", former.trustAnchors).some((der) => {
    const anchor = toPem("CERTIFICATE", der);
    return [former, next].every(({ issuerCertificate }) =>
      chains(issuerCertificate, anchor, nowMs)
    );
  });
}

function endOf(issuerCertificate: string): number {
  const [der] = fromPem("CERTIFICATE", issuerCertificate);
  return der === undefined ? 0 : readCertificate(der).notAfterMs;
}
