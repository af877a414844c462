/** Settings that several modes share; a mode spreads them into its own schema. */

import { nonEmpty, oneOf } from "./type.ts";

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
