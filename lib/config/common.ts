/** Settings that several modes share; a mode spreads them into its own schema. */

import { INBOUND_POLICIES } from "../mesh/policy.ts";
import { networks } from "./net-type.ts";
import { filePath, nonEmpty, oneOf, reading, type SettingType, typeOf } from "./type.ts";

/** How a process of the control plane or the command line logs. */
export const logSettings = {
  logLevel: {
    env: "MALLA_LOG",
    flag: "log-level",
    type: oneOf(["silent", "error", "warn", "info", "debug", "trace"]),
    default: "info",
    help: "How much is logged.",
  },
  logFormat: {
    env: "MALLA_LOG_FORMAT",
    flag: "log-format",
    type: oneOf(["plain", "json"]),
    default: "plain",
    help: "Whether log lines are for people or for machines.",
  },
} as const;

/** Where the control plane lives and what the mesh is called. */
export const meshSettings = {
  controlPlaneNamespace: {
    env: "MALLA_CONTROL_PLANE_NAMESPACE",
    flag: "control-plane-namespace",
    type: nonEmpty(),
    default: "malla",
    help: "Namespace of the control plane; a part of every identity.",
  },
  trustDomain: {
    env: "MALLA_TRUST_DOMAIN",
    flag: "trust-domain",
    type: nonEmpty(),
    default: "cluster.local",
    help: "The last part of every identity.",
  },
  clusterDomain: {
    env: "MALLA_CLUSTER_DOMAIN",
    flag: "cluster-domain",
    type: nonEmpty(),
    default: "cluster.local",
    help: "The last part of every service's DNS name.",
  },
} as const;

/** Which addresses are the mesh's own. */
export const networkSettings = {
  clusterNetworks: {
    env: "MALLA_CLUSTER_NETWORKS",
    flag: "cluster-networks",
    type: networks(),
    default: "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8",
    help: "The networks of pods, services and nodes.",
  },
} as const;

/** Whom ports admit by default. */
export const inboundPolicySettings = {
  defaultInboundPolicy: {
    env: "MALLA_DEFAULT_INBOUND_POLICY",
    flag: "default-inbound-policy",
    type: oneOf(INBOUND_POLICIES),
    default: "all-unauthenticated",
    help: "Whom a port admits where no annotation and no object says it.",
  },
} as const;

/** Where a process of the control plane reads the mesh's objects. */
export type SourcePlace = { readonly kind: "files"; readonly path: string } | {
  readonly kind: "kube";
};

/** The objects of the mesh: a folder of manifests, or a cluster. */
export const sourceSettings = {
  source: {
    env: "MALLA_SOURCE",
    flag: "source",
    type: sourcePlace(),
    default: "kube",
    help: "Where the mesh's objects are read.",
  },
  kubeconfig: {
    env: "KUBECONFIG",
    flag: "kubeconfig",
    type: filePath(),
    help: "How to reach the cluster; without it the pod's own service account is used.",
  },
} as const;

function sourcePlace(): SettingType<SourcePlace> {
  return typeOf(
    { expected: "files:FOLDER or kube", placeholder: "files:FOLDER|kube" },
    reading((text): SourcePlace => {
      if (text.trim() === "kube") return { kind: "kube" };
      const path = /^files:(.+)$/.exec(text.trim())?.[1];
      if (path === undefined) throw new TypeError(text);
      return { kind: "files", path };
    }),
  );
}
