/**
 * The values of the CNI plugin's installation, which is one of its own: the plugin belongs to the nodes and
 * may be there before any control plane. `malla install-cni`, its flags and its chart are made of this tree.
 */

import { VERSION } from "../base/version.ts";
import { pattern, type SettingType, type Values, type ValueTree } from "../config/mod.ts";
import { DEFAULT_PROXY_CONFIG } from "../inject/mod.ts";
import { PROXY_OPTIONS } from "../inject/proxy-options.ts";
import {
  flag,
  IMAGE,
  LABEL,
  list,
  LOG_FORMAT,
  LOG_LEVEL,
  map,
  PULL_POLICY,
  resources,
  text,
} from "./value-kinds.ts";

const FOLDER: SettingType<string> = pattern(
  { expected: "the absolute path of a folder", placeholder: "FOLDER" },
  /^(?:\/[^/\s]+)+$/,
);

/** The tree. Its order is that of the chart's `values.yaml`. */
export const CNI_VALUES = {
  destCNINetDir: text(
    "/etc/cni/net.d",
    FOLDER,
    "The nodes' folder of network configurations, as the container runtime reads it.",
  ),
  destCNIBinDir: text("/opt/cni/bin", FOLDER, "The nodes' folder of CNI plugins."),
  image: {
    name: text(DEFAULT_PROXY_CONFIG.image, IMAGE, "The image."),
    version: text(VERSION, PROXY_OPTIONS.proxyVersion.type, "The image's tag."),
    pullPolicy: text("IfNotPresent", PULL_POLICY, "When nodes fetch the image."),
  },
  imagePullSecrets: list(
    [],
    "Secrets with which nodes fetch the image, such as [{name: registry}].",
  ),
  logLevel: text("info", LOG_LEVEL, "How much is logged."),
  logFormat: text("plain", LOG_FORMAT, "Whether log lines are for people or for machines."),
  repairController: {
    enabled: flag(
      true,
      "Whether pods that came before the plugin are deleted, so that they come again.",
    ),
  },
  priorityClassName: text(
    "system-node-critical",
    LABEL,
    "The priority class of the pods: no other pod of a node can be redirected before them.",
  ),
  nodeSelector: map({ "kubernetes.io/os": "linux" }, "The nodes that get the plugin."),
  tolerations: list([{ operator: "Exists" }], "The taints of nodes that get it all the same."),
  podAnnotations: map({}, "More annotations of the pods."),
  podLabels: map({}, "More labels of the pods."),
  resources: resources("10m", "80Mi"),
} as const satisfies ValueTree;

/** The values of one such installation. */
export type CniValues = Values<typeof CNI_VALUES>;
