/**
 * Other meshes in or around a pod. Two redirects in one pod send its connections in circles, so a pod of
 * another mesh gets no proxy of ours; one that is asked for by labels comes after us, where nobody would
 * see it any more.
 */

import type { InjectNamespace } from "./inject.ts";
import type { Pod, StringMap } from "./object.ts";
import { allContainers, podName } from "./pod.ts";

/** Containers by which other meshes are known. */
const CONTAINERS: Readonly<Record<string, string>> = {
  "istio-proxy": "Istio",
  "istio-init": "Istio",
  "kuma-sidecar": "Kuma",
  "kuma-init": "Kuma",
  "consul-dataplane": "Consul",
  "consul-connect-inject-init": "Consul",
};

/** A label (or annotation) by which a pod or its namespace asks another mesh for its proxy. */
interface Wish {
  readonly mesh: string;
  readonly key: string;
  /** The values that ask; absent: any. */
  readonly asks?: readonly string[];
  /** On a pod, these take the wish of its namespace back. */
  readonly refuses?: { readonly key: string; readonly values: readonly string[] };
  readonly places: readonly ("pod" | "namespace")[];
}

const NO_ISTIO = { key: "sidecar.istio.io/inject", values: ["false"] };
const NO_KUMA = { key: "kuma.io/sidecar-injection", values: ["disabled", "false"] };

const WISHES: readonly Wish[] = [
  { mesh: "Istio", key: "sidecar.istio.io/inject", asks: ["true"], places: ["pod"] },
  {
    mesh: "Istio",
    key: "istio-injection",
    asks: ["enabled"],
    refuses: NO_ISTIO,
    places: ["namespace"],
  },
  { mesh: "Istio", key: "istio.io/rev", refuses: NO_ISTIO, places: ["pod", "namespace"] },
  {
    mesh: "Istio",
    key: "istio.io/dataplane-mode",
    asks: ["ambient"],
    refuses: { key: "istio.io/dataplane-mode", values: ["none"] },
    places: ["pod", "namespace"],
  },
  {
    mesh: "Kuma",
    key: "kuma.io/sidecar-injection",
    asks: ["enabled", "true"],
    refuses: NO_KUMA,
    places: ["pod", "namespace"],
  },
  {
    mesh: "Consul",
    key: "consul.hashicorp.com/connect-inject",
    asks: ["true"],
    places: ["pod"],
  },
];

/** Which other mesh has this pod, or will have it, and by what; undefined when none. */
export function foreignMesh(pod: Pod, namespace: InjectNamespace): string | undefined {
  const container = allContainers(pod).map(({ name }) => name)
    .find((name) => Object.hasOwn(CONTAINERS, name));
  if (container !== undefined) {
    return `it already has a container ${container}, of the mesh ${CONTAINERS[container]}`;
  }
  // Consul's is an annotation, and Kuma's was one.
  const ofPod = { ...pod.metadata?.annotations, ...pod.metadata?.labels };
  for (const { mesh, key, asks, refuses, places } of WISHES) {
    if (refuses?.values.includes(ofPod[refuses.key] ?? "") === true) continue;
    for (const place of places) {
      const words: StringMap = place === "pod" ? ofPod : namespace.labels ?? {};
      const value = words[key];
      if (value === undefined || asks?.includes(value) === false) continue;
      const whose = place === "pod" ? `pod ${podName(pod)}` : `namespace ${namespace.name}`;
      return `${key}: ${value} on the ${whose} asks for a proxy of ${mesh}, and a pod can have one`;
    }
  }
  return undefined;
}
