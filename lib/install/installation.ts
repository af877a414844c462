/**
 * One installation: values made complete with certificates, checked, and turned into the manifests that
 * are applied.
 */

import { ConfigFault, readValues, type ValueLayer, type YamlMap } from "../config/mod.ts";
import {
  type AnchorMaterial,
  identityProblems,
  isAgeing,
  makeIdentity,
  renewIssuer,
} from "./identity-material.ts";
import { INSTALLATION_LABEL } from "./names.ts";
import { installObjects, type KubeManifest, namespaceObjects, scopeOf } from "./objects.ts";
import { contradictions } from "./requirements.ts";
import { INSTALL_VALUES, type InstallValues } from "./values.ts";

/** The Secret with the key of an anchor that the installation made. No pod mounts it. */
export const ANCHOR_SECRET = "malla-identity-anchor";

/** What an installation is made of. */
export interface Installation {
  readonly values: InstallValues;
  readonly namespace: string;
  /** An anchor that was made here, so that issuers can be renewed below it. */
  readonly anchor?: AnchorMaterial;
}

/** How to make one. */
export interface InstallationWish {
  /** For messages: `install` or `upgrade`. */
  readonly verb: string;
  readonly namespace: string;
  /** Over the defaults, the later ones win. */
  readonly layers: readonly ValueLayer[];
  readonly nowMs: number;
  /** The anchor of the installation that is there. */
  readonly anchor?: AnchorMaterial;
  /** The issuer is renewed although it is young. */
  readonly renew?: boolean;
}

/**
 * Reads the values, and makes or renews certificates where that is ours to do. Throws a `ConfigFault`
 * with every contradiction, and with everything that is wrong with certificates that were brought.
 */
export async function planInstallation(wish: InstallationWish): Promise<Installation> {
  const { verb, namespace, layers } = wish;
  const given = readValues(verb, INSTALL_VALUES, layers);
  const { certificates, anchor } = await certificatesFor(given, wish);
  const values = readValues(verb, INSTALL_VALUES, [...layers, ...certificates]);
  const found = [...contradictions(scopeOf(values, namespace), values)];
  const { tls, scheme } = values.identity.issuer;
  if (found.length === 0 && scheme === "linkerd.io/tls" && !values.identity.externalCA) {
    found.push(
      ...await identityProblems({
        trustAnchors: values.identityTrustAnchorsPEM,
        issuerCertificate: tls.crtPEM,
        issuerKey: tls.keyPEM,
      }, wish.nowMs),
    );
  }
  if (found.length > 0) throw new ConfigFault(verb, found);
  return { values, namespace, ...anchor === undefined ? {} : { anchor } };
}

/** The manifests of an installation, in the order in which they are applied. */
export function installationManifests(installation: Installation): readonly KubeManifest[] {
  const { values, namespace, anchor } = installation;
  return [
    ...namespaceObjects(values, namespace),
    ...anchor === undefined ? [] : [anchorSecret(anchor, namespace)],
    ...installObjects(values, namespace),
  ];
}

/** Certificates as values, for charts that cannot make them. */
export function identityValues(
  { values }: Pick<Installation, "values">,
): YamlMap {
  const { crtPEM, keyPEM } = values.identity.issuer.tls;
  return {
    identityTrustAnchorsPEM: values.identityTrustAnchorsPEM,
    identity: { issuer: { tls: { crtPEM, keyPEM } } },
  };
}

async function certificatesFor(
  given: InstallValues,
  { namespace, nowMs, anchor, renew }: InstallationWish,
): Promise<{ certificates: readonly ValueLayer[]; anchor?: AnchorMaterial }> {
  const { externalCA, issuer } = given.identity;
  const { crtPEM, keyPEM } = issuer.tls;
  // An anchor that is not trusted any more has nothing to sign.
  const isTrusted = anchor !== undefined &&
    given.identityTrustAnchorsPEM.includes(anchor.certificate.trim());
  const kept = isTrusted ? { anchor } : {};
  if (externalCA || issuer.scheme !== "linkerd.io/tls") return { certificates: [], ...kept };
  const mesh = `${namespace}.${given.identityTrustDomain || given.clusterDomain}`;
  if (given.identityTrustAnchorsPEM === "" && crtPEM === "" && keyPEM === "") {
    const made = await makeIdentity(mesh, nowMs);
    return { certificates: [layerOf(made.material)], anchor: made.anchor };
  }
  if (!isTrusted || !(renew === true || isAgeing(crtPEM, nowMs))) {
    return { certificates: [], ...kept };
  }
  const renewed = await renewIssuer(anchor, given.identityTrustAnchorsPEM, mesh, nowMs);
  return { certificates: [layerOf(renewed)], anchor };
}

function layerOf(
  { trustAnchors, issuerCertificate, issuerKey }: {
    readonly trustAnchors: string;
    readonly issuerCertificate: string;
    readonly issuerKey: string;
  },
): ValueLayer {
  return {
    name: "the certificates made here",
    tree: {
      identityTrustAnchorsPEM: trustAnchors,
      identity: { issuer: { tls: { crtPEM: issuerCertificate, keyPEM: issuerKey } } },
    },
  };
}

function anchorSecret({ certificate, key }: AnchorMaterial, namespace: string): KubeManifest {
  const encode = (text: string) => new TextEncoder().encode(text).toBase64();
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: {
      name: ANCHOR_SECRET,
      namespace,
      labels: { "app.kubernetes.io/part-of": "malla", [INSTALLATION_LABEL]: namespace },
    },
    type: "Opaque",
    data: { "tls.crt": encode(certificate), "tls.key": encode(key) },
  };
}
