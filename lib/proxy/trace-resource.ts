/** Who sends spans, as attributes: from the settings, and from the pod's labels in a file. Pure. */

import type { Attributes } from "../contract/trace-export.ts";
import type { ProxySettings } from "./settings.ts";

/** Labels of a pod that name its workload, in the order in which they are believed. */
const WORKLOAD_LABELS = [
  "root-parent",
  ...["deployment", "daemonset", "statefulset", "cronjob", "job", "replicaset"],
  "replicationcontroller",
].map((kind) => `linkerd.io/proxy-${kind}`);

/** The settings that name a sender. */
export type TraceSender = Pick<
  ProxySettings,
  "traceServiceName" | "traceExtraAttributes" | "resourceAttributes"
>;

/** All attributes; those of OpenTelemetry's own variable win. `file`: the labels' text. */
export function traceResource(settings: TraceSender, file: string): Attributes {
  const labels = { ...linesOf(file), ...linesOf(settings.traceExtraAttributes ?? "") };
  const workload = WORKLOAD_LABELS.map((label) => labels[label]).find((name) => name !== undefined);
  return {
    "service.name": workload === undefined
      ? settings.traceServiceName
      : `${workload}-linkerd-proxy`,
    ...labels,
    ...listOf(settings.resourceAttributes ?? ""),
  };
}

/** `name="value"` on each line, the quotes as Kubernetes writes them or none. */
function linesOf(text: string): Record<string, string> {
  return pairsOf(text.split("\n"), (value) => value.replace(/^"+|"+$/g, ""));
}

/** `name=value,name=value`, percent-encoded. */
function listOf(text: string): Record<string, string> {
  return pairsOf(text.split(","), decoded);
}

function pairsOf(parts: readonly string[], read: (value: string) => string) {
  const pairs: Record<string, string> = {};
  for (const part of parts) {
    const at = part.indexOf("=");
    const name = part.slice(0, Math.max(0, at)).trim();
    if (name !== "") pairs[name] = read(part.slice(at + 1).trim());
  }
  return pairs;
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    // A bare "%": the text still says who it is.
    return value;
  }
}
