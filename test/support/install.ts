/** Installations with different values, for tests that compare or judge their objects. */

import { readValues, type YamlMap } from "../../lib/config/mod.ts";
import { HA_VALUES, INSTALL_VALUES, type InstallValues } from "../../lib/install/values.ts";

/** Stand-ins for certificates: whoever only looks at objects does not read them. */
export const PEMS: YamlMap = {
  identityTrustAnchorsPEM: pem("ANCHOR"),
  identity: { issuer: { tls: { crtPEM: pem("ISSUER"), keyPEM: pem("KEY", "PRIVATE KEY") } } },
};

/** The layers of values of some installations, by their names. */
export const INSTALLATIONS: Readonly<Record<string, readonly YamlMap[]>> = {
  default: [PEMS],
  ha: [HA_VALUES, PEMS],
  external: [{
    identity: { externalCA: true, issuer: { scheme: "kubernetes.io/tls" } },
    injector: { externalSecret: true, injectCaFrom: "malla/webhook", onInvalid: "admit" },
    viz: { enabled: false },
    networkPolicy: { enabled: false },
  }],
  odd: [PEMS, {
    clusterDomain: "example.org",
    identityTrustDomain: "mesh.example.org",
    disableIPv6: false,
    cniEnabled: true,
    image: { name: "registry:5000/malla", version: "v9", pullPolicy: "Always" },
    imagePullSecrets: [{ name: "pull" }],
    injector: { externalSecret: true, caBundle: pem("HOOK") },
    proxy: {
      image: { name: "other/proxy", version: "v1" },
      gid: 4_000_000,
      uid: 3_000_000,
      await: false,
      nativeSidecar: false,
      additionalEnv: [{ name: "A", value: "<b> & 'c' \"d\"" }],
      resources: { cpu: { limit: "2", ratioLimit: "0.5" }, "ephemeral-storage": { limit: "1Gi" } },
    },
    proxyInit: { ignoreInboundPorts: "25", skipSubnets: "10.1.0.0/16", closeWaitTimeout: "60s" },
    debugContainer: { image: { name: "tools", version: "1" } },
    tolerations: [{ key: "dedicated", operator: "Exists" }],
    podAnnotations: { "example.org/team": 'mesh: "core"', "example.org/number": "012" },
    podLabels: { team: "mesh" },
    priorityClassName: "system-cluster-critical",
    nodeSelector: { disk: "fast" },
    acceptUnservedPolicy: true,
    takeOverLinkerd: true,
  }],
};

/** The values of one of them. */
export function valuesOf(name: string): InstallValues {
  const layers = (INSTALLATIONS[name] ?? []).map((tree, index) => ({ name: `${index}`, tree }));
  return readValues("install", INSTALL_VALUES, layers);
}

/** PEM that says what it stands for. */
export function pem(word: string, label = "CERTIFICATE"): string {
  return `-----BEGIN ${label}-----\n${btoa(word)}\n-----END ${label}-----\n`;
}
