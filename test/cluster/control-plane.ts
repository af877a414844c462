/**
 * Malla's control plane as objects of a cluster: one replica of each part, with the least rights and the
 * strictest pod security that they work with.
 */

import { TOKEN_AUDIENCE } from "../../lib/mesh/identity.ts";
import { authorityPem, makeAuthorities } from "../../lib/pki/issuer.ts";
import { makeMaterials } from "../support/certificates.ts";

/** The namespace of the control plane. */
export const CONTROL_NAMESPACE = "malla";

const LIFETIME_MS = 24 * 3_600_000;
const WEBHOOK = "malla-injector";
const PROXY_ID = 2102;

/** One part of the control plane. */
interface Part {
  readonly name: string;
  readonly args: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
  readonly adminPort: number;
  /** Where a Secret of the part's own name is mounted. */
  readonly secretFolder?: string;
  /** Whether it asks the identity service for a certificate. */
  readonly isCertified?: boolean;
}

const PARTS: readonly Part[] = [
  {
    name: "malla-identity",
    args: ["identity", "--trust-anchors-file=/var/run/malla/trust/ca-bundle.crt"],
    ports: { grpc: 8080 },
    adminPort: 9990,
    secretFolder: "/var/run/malla/identity/issuer",
  },
  {
    name: "malla-controller",
    args: ["controller", "--trust-anchors-file=/var/run/malla/trust/ca-bundle.crt"],
    ports: { destination: 8086, policy: 8090 },
    adminPort: 9996,
    isCertified: true,
  },
  {
    name: WEBHOOK,
    args: [
      "injector",
      "--trust-anchors-file=/var/run/malla/trust/ca-bundle.crt",
      "--tls-dir=/var/run/malla/tls",
    ],
    ports: { webhook: 8443 },
    adminPort: 9995,
    secretFolder: "/var/run/malla/tls",
  },
];

/** What each part may do. */
const RIGHTS: Readonly<Record<string, readonly unknown[]>> = {
  "malla-identity": [
    { apiGroups: ["authentication.k8s.io"], resources: ["tokenreviews"], verbs: ["create"] },
  ],
  "malla-controller": [
    { apiGroups: [""], resources: ["namespaces", "pods", "services"], verbs: ["list", "watch"] },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
  ],
  [WEBHOOK]: [
    { apiGroups: [""], resources: ["namespaces"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["apps"], resources: ["replicasets"], verbs: ["get"] },
    { apiGroups: ["events.k8s.io", ""], resources: ["events"], verbs: ["create", "patch"] },
    {
      apiGroups: ["admissionregistration.k8s.io"],
      resources: ["mutatingwebhookconfigurations"],
      verbs: ["get", "list", "watch"],
    },
    {
      apiGroups: ["policy.linkerd.io"],
      resources: ["servers", "serverauthorizations", "authorizationpolicies"],
      verbs: ["list", "watch"],
    },
  ],
};

/** All objects of a control plane of that image, with authorities of its own. */
export async function controlPlaneObjects(image: string): Promise<unknown[]> {
  const { trustAnchors, issuer } = await makeAuthorities({
    mesh: "malla.cluster.local",
    nowMs: Date.now(),
    lifetimeMs: LIFETIME_MS,
  });
  const { certificate, key } = authorityPem(issuer);
  const host = `${WEBHOOK}.${CONTROL_NAMESPACE}.svc`;
  const webhook = makeMaterials([host]).get(host);
  const text = (value = "") => value;
  return [
    namespace(),
    ...PARTS.flatMap((part) => accountObjects(part.name)),
    {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: inNamespace("malla-trust-anchors"),
      data: { "ca-bundle.crt": trustAnchors },
    },
    secret("malla-identity", { "tls.crt": certificate, "tls.key": key }),
    secret(WEBHOOK, {
      "tls.crt": text(webhook?.certificateChain),
      "tls.key": text(webhook?.privateKey),
    }),
    service("malla-identity", "malla-identity", { port: 8080 }),
    service("malla-destination", "malla-controller", { port: 8086 }),
    service("malla-policy", "malla-controller", { port: 8090 }),
    service(WEBHOOK, WEBHOOK, { port: 443, targetPort: 8443 }),
    ...PARTS.map((part) => deployment(part, image)),
    webhookConfiguration(text(webhook?.trustAnchors)),
  ];
}

/** The names of the deployments, in the order in which they need each other. */
export const CONTROL_DEPLOYMENTS: readonly string[] = PARTS.map(({ name }) => name);

function namespace() {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: {
      name: CONTROL_NAMESPACE,
      labels: { "pod-security.kubernetes.io/enforce": "restricted" },
    },
  };
}

function accountObjects(name: string) {
  const role = { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name };
  const rbac = "rbac.authorization.k8s.io/v1";
  const subject = { kind: "ServiceAccount", ...inNamespace(name) };
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: inNamespace(name) },
    { apiVersion: rbac, kind: "ClusterRole", metadata: { name }, rules: RIGHTS[name] },
    {
      apiVersion: rbac,
      kind: "ClusterRoleBinding",
      metadata: { name },
      roleRef: role,
      subjects: [subject],
    },
  ];
}

function deployment(part: Part, image: string) {
  const labels = { app: part.name };
  const probe = (path: string) => ({ httpGet: { path, port: "admin" }, periodSeconds: 1 });
  const ports = { ...part.ports, admin: part.adminPort };
  const { mounts, volumes } = volumesOf(part);
  const container = {
    name: part.name,
    image,
    args: part.args,
    env: part.name === WEBHOOK ? [{ name: "MALLA_IMAGE", value: image }] : [],
    ports: Object.entries(ports).map(([name, containerPort]) => ({ name, containerPort })),
    livenessProbe: { ...probe("/live"), periodSeconds: 10 },
    readinessProbe: probe("/ready"),
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: PROXY_ID,
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: mounts,
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: inNamespace(part.name),
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { serviceAccountName: part.name, containers: [container], volumes },
      },
    },
  };
}

function volumesOf({ name, secretFolder, isCertified = false }: Part) {
  const trust = { name: "trust", configMap: { name: "malla-trust-anchors" } };
  const token = { audience: TOKEN_AUDIENCE, expirationSeconds: 86_400 };
  const source = { serviceAccountToken: { ...token, path: "linkerd-identity-token" } };
  return {
    mounts: [
      { name: "trust", mountPath: "/var/run/malla/trust" },
      ...(secretFolder === undefined ? [] : [{ name: "secret", mountPath: secretFolder }]),
      ...(isCertified ? [{ name: "token", mountPath: "/var/run/secrets/tokens" }] : []),
    ],
    volumes: [
      trust,
      ...(secretFolder === undefined ? [] : [{ name: "secret", secret: { secretName: name } }]),
      ...(isCertified ? [{ name: "token", projected: { sources: [source] } }] : []),
    ],
  };
}

function webhookConfiguration(authority: string) {
  const exempt = {
    key: "kubernetes.io/metadata.name",
    operator: "NotIn",
    values: ["kube-system", CONTROL_NAMESPACE],
  };
  const { name, namespace } = inNamespace(WEBHOOK);
  return {
    apiVersion: "admissionregistration.k8s.io/v1",
    kind: "MutatingWebhookConfiguration",
    metadata: { name },
    webhooks: [
      {
        name: "injector.malla.dev",
        admissionReviewVersions: ["v1"],
        sideEffects: "None",
        failurePolicy: "Ignore",
        namespaceSelector: { matchExpressions: [exempt] },
        clientConfig: {
          caBundle: btoa(authority),
          service: { name, namespace, path: "/", port: 443 },
        },
        rules: [
          {
            apiGroups: [""],
            apiVersions: ["v1"],
            operations: ["CREATE"],
            resources: ["pods", "services"],
            scope: "Namespaced",
          },
        ],
      },
    ],
  };
}

function service(name: string, app: string, port: { port: number; targetPort?: number }) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: inNamespace(name),
    spec: { selector: { app }, ports: [port] },
  };
}

function secret(name: string, stringData: Readonly<Record<string, string>>) {
  return { apiVersion: "v1", kind: "Secret", metadata: inNamespace(name), stringData };
}

function inNamespace(name: string) {
  return { name, namespace: CONTROL_NAMESPACE };
}
