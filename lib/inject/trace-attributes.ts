/**
 * Who a pod's spans are of, handed over to a proxy that has a collector to send them to: the pod's labels in a
 * file, and more attributes from what OpenTelemetry reads of pods.
 */

import type { JsonObject } from "./json-patch.ts";
import type { Pod } from "./object.ts";
import type { ProxyConfig } from "./proxy-config.ts";

/** Annotations whose rest is the name of an attribute. */
const ATTRIBUTE_PREFIX = "resource.opentelemetry.io/";

/** Labels that name the service, in the order in which they are believed. */
const SERVICE_LABELS = ["app.kubernetes.io/instance", "app.kubernetes.io/name"];

const COLLECTOR_VARIABLE = "LINKERD2_PROXY_TRACE_COLLECTOR_SVC_ADDR";

/** The volume with the pod's labels. */
export const POD_INFO_VOLUME = "linkerd-podinfo";

const POD_INFO_DIR = "/var/run/linkerd/podinfo";

/** Whether the proxy has somebody to send spans to; an additional variable says so. */
export function isTraced({ additionalEnv }: ProxyConfig): boolean {
  return additionalEnv.some(({ name }) => name === COLLECTOR_VARIABLE);
}

/** The variables that tell it; the pod's own come before by their names. */
export function traceVariables(pod: Pod): Record<string, string> {
  const { labels = {}, annotations = {} } = pod.metadata ?? {};
  const attributes = new Map([
    ["k8s.namespace.name", "$(_pod_ns)"],
    ["k8s.pod.name", "$(_pod_name)"],
    ["k8s.pod.uid", "$(_pod_uid)"],
  ]);
  const service = SERVICE_LABELS.map((key) => labels[key]).find((name) => name !== undefined);
  if (service !== undefined) attributes.set("service.name", service);
  for (const [key, value] of Object.entries(annotations)) {
    if (!key.startsWith(ATTRIBUTE_PREFIX)) continue;
    // Each line is an attribute, so a value has one.
    attributes.set(key.slice(ATTRIBUTE_PREFIX.length), value.replaceAll(/\s+/g, " ").trim());
  }
  return {
    LINKERD2_PROXY_TRACE_ATTRIBUTES_PATH: `${POD_INFO_DIR}/labels`,
    LINKERD2_PROXY_TRACE_EXTRA_ATTRIBUTES: [...attributes].map((pair) => pair.join("=")).join("\n"),
  };
}

/** The pod's labels as a file. */
export function podInfoVolume(): JsonObject {
  const labels = { path: "labels", fieldRef: { fieldPath: "metadata.labels" } };
  return { name: POD_INFO_VOLUME, downwardAPI: { items: [labels] } };
}

/** Where the proxy finds it. */
export function podInfoMount(): JsonObject {
  return { mountPath: POD_INFO_DIR, name: POD_INFO_VOLUME, readOnly: true };
}
