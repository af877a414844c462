/**
 * The CNI plugin's objects: one pod on each node, in the node's own network so that it starts whatever
 * the node's network plugins do, and as root because the node's folders are root's; without any
 * capability.
 */

import { VERSION } from "../../base/version.ts";
import { CNI_VALUES } from "../cni-values.ts";
import { CNI, CNI_LABEL, COMPONENT_LABEL, PORTS } from "../names.ts";
import {
  Merged,
  NAMESPACE,
  refsOf,
  type Template,
  type TemplateMap,
  text,
  when,
} from "../template.ts";
import type { ObjectTemplate } from "./common.ts";

const v = refsOf(CNI_VALUES);
const RBAC = "rbac.authorization.k8s.io";
/** Where the node's folders are mounted; below it, so that none of them hides what is in the image. */
const HOST_ROOT = "/host";
const LOOPBACK = "127.0.0.1";
const LIVENESS_DELAY_SECONDS = 10;

const LABELS = {
  "app.kubernetes.io/name": CNI,
  "app.kubernetes.io/part-of": "malla",
  "app.kubernetes.io/version": VERSION,
  [CNI_LABEL]: "true",
};
/** By these the pods are found: they must never change. */
const SELECTOR = { "app.kubernetes.io/name": CNI };

/** The namespace; Helm makes its own, without these labels. */
export const CNI_NAMESPACE_TEMPLATE: ObjectTemplate = {
  apiVersion: "v1",
  kind: "Namespace",
  metadata: {
    name: NAMESPACE,
    labels: {
      "app.kubernetes.io/part-of": "malla",
      [CNI_LABEL]: "true",
      "config.linkerd.io/admission-webhooks": "disabled",
      // The node's folders and its network are what this is about.
      "pod-security.kubernetes.io/enforce": "privileged",
    },
  },
};

/** Its account and rights: the plugin asks for one pod, repair lists those of a node and deletes them. */
export function cniAccess(): readonly ObjectTemplate[] {
  const subject = { kind: "ServiceAccount", name: CNI, namespace: NAMESPACE };
  return [
    {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name: CNI, namespace: NAMESPACE, labels: LABELS },
      imagePullSecrets: when(v.imagePullSecrets, v.imagePullSecrets),
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRole",
      metadata: { name: CNI, labels: LABELS },
      rules: [
        { apiGroups: [""], resources: ["pods"], verbs: ["get"] },
        when(v.repairController.enabled, {
          apiGroups: [""],
          resources: ["pods"],
          verbs: ["list", "delete"],
        }),
        when(v.repairController.enabled, {
          apiGroups: [""],
          resources: ["events"],
          verbs: ["create"],
        }),
      ],
    },
    {
      apiVersion: `${RBAC}/v1`,
      kind: "ClusterRoleBinding",
      metadata: { name: CNI, labels: LABELS },
      roleRef: { apiGroup: RBAC, kind: "ClusterRole", name: CNI },
      subjects: [subject],
    },
  ];
}

/** Its pods. */
export function cniWorkload(): readonly ObjectTemplate[] {
  return [{
    apiVersion: "apps/v1",
    kind: "DaemonSet",
    metadata: { name: CNI, namespace: NAMESPACE, labels: LABELS },
    spec: {
      selector: { matchLabels: SELECTOR },
      template: {
        metadata: {
          annotations: new Merged(v.podAnnotations, {
            "linkerd.io/inject": "disabled",
            "malla.dev/inject": "disabled",
          }),
          labels: new Merged(v.podLabels, { ...LABELS, [COMPONENT_LABEL]: CNI }),
        },
        spec: podSpec(),
      },
    },
  }];
}

function podSpec(): TemplateMap {
  return {
    serviceAccountName: CNI,
    enableServiceLinks: false,
    hostNetwork: true,
    nodeSelector: v.nodeSelector,
    tolerations: when(v.tolerations, v.tolerations),
    priorityClassName: v.priorityClassName,
    imagePullSecrets: when(v.imagePullSecrets, v.imagePullSecrets),
    securityContext: { seccompProfile: { type: "RuntimeDefault" } },
    containers: [container()],
    volumes: [
      { name: "net", hostPath: { path: v.destCNINetDir, type: "DirectoryOrCreate" } },
      { name: "bin", hostPath: { path: v.destCNIBinDir, type: "DirectoryOrCreate" } },
    ],
  };
}

function container(): TemplateMap {
  const ask = (path: string): TemplateMap => ({
    httpGet: { path, host: LOOPBACK, port: PORTS.cniAdmin },
  });
  return {
    name: "install-cni",
    image: text`${v.image.name}:${v.image.version}`,
    imagePullPolicy: v.image.pullPolicy,
    args: flags(),
    env: [{
      name: "MALLA_NODE_NAME",
      valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } },
    }],
    livenessProbe: { ...ask("/live"), initialDelaySeconds: LIVENESS_DELAY_SECONDS },
    readinessProbe: { ...ask("/ready"), periodSeconds: 2 },
    resources: v.resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      readOnlyRootFilesystem: true,
      runAsNonRoot: false,
      runAsUser: 0,
      runAsGroup: 0,
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: [
      { name: "net", mountPath: text`${HOST_ROOT}${v.destCNINetDir}` },
      { name: "bin", mountPath: text`${HOST_ROOT}${v.destCNIBinDir}` },
    ],
  };
}

function flags(): readonly Template[] {
  return [
    "cni-node",
    text`--dest-cni-net-dir=${v.destCNINetDir}`,
    text`--dest-cni-bin-dir=${v.destCNIBinDir}`,
    `--host-root=${HOST_ROOT}`,
    text`--repair=${v.repairController.enabled}`,
    `--admin-listen=${LOOPBACK}:${PORTS.cniAdmin}`,
    text`--log-level=${v.logLevel}`,
    text`--log-format=${v.logFormat}`,
  ];
}
