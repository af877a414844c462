/** The identity service, its issuer and the trust anchors. */

import { CONFIG_KEY, CONFIG_MAP, PORTS, TRUST_ROOTS_KEY } from "../names.ts";
import { Encoded, equal, not, type TemplateMap, text, ValuesText, when } from "../template.ts";
import {
  clusterRole,
  deployment,
  disruptionBudget,
  listenAt,
  meshFlags,
  metadata,
  networkPolicy,
  type ObjectTemplate,
  service,
  serviceAccount,
  TRUST_ROOTS_FLAG,
  trustRoots,
  v,
} from "./common.ts";

const NAME = "malla-identity";
const ISSUER_FOLDER = "/var/run/malla/identity/issuer";

/** Its objects, without roles and workload. */
export function identityConfig(): readonly ObjectTemplate[] {
  const { issuer } = v.identity;
  return [
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: metadata(NAME, CONFIG_MAP),
      data: { [CONFIG_KEY]: new ValuesText() },
    },
    when(not(v.identity.externalCA), {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: metadata(NAME, v.identity.trustRootsConfigMap),
      data: { [TRUST_ROOTS_KEY]: v.identityTrustAnchorsPEM },
    }),
    when(equal(issuer.scheme, "linkerd.io/tls"), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: metadata(NAME, issuer.secretName),
      type: "Opaque",
      data: {
        "crt.pem": new Encoded("base64", issuer.tls.crtPEM),
        "key.pem": new Encoded("base64", issuer.tls.keyPEM),
      },
    }),
  ];
}

/** Its account and rights: to have tokens reviewed. */
export function identityAccess(): readonly ObjectTemplate[] {
  return [
    serviceAccount(NAME),
    ...clusterRole(NAME, [
      { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
    ]),
  ];
}

/** Its pods and services. */
export function identityWorkload(): readonly ObjectTemplate[] {
  const ports = {
    grpc: { port: PORTS.identity, target: "grpc" },
    admin: { port: PORTS.identityAdmin, target: "admin" },
  };
  return [
    service(NAME, NAME, ports),
    service(NAME, `${NAME}-headless`, ports, true),
    identityDeployment(),
    disruptionBudget(NAME),
    networkPolicy(NAME, ["grpc", "admin"]),
  ];
}

function identityDeployment(): TemplateMap {
  const { issuer } = v.identity;
  const roots = trustRoots();
  return deployment({
    component: NAME,
    replicas: v.controllerReplicas,
    resources: v.identity.resources,
    args: [
      "identity",
      ...meshFlags(),
      TRUST_ROOTS_FLAG,
      `--issuer-dir=${ISSUER_FOLDER}`,
      text`--lifetime=${issuer.issuanceLifetime}`,
      text`--clock-skew-allowance=${issuer.clockSkewAllowance}`,
      text`--listen=${listenAt(PORTS.identity)}`,
      text`--admin-listen=${listenAt(PORTS.identityAdmin)}`,
    ],
    ports: { grpc: PORTS.identity, admin: PORTS.identityAdmin },
    probePort: "admin",
    volumes: [roots.volume, { name: "issuer", secret: { secretName: issuer.secretName } }],
    mounts: [roots.mount, { name: "issuer", mountPath: ISSUER_FOLDER, readOnly: true }],
  });
}
