/** Opens the source that a setting names, and loads only what that source needs. */

import { systemClock } from "../host/clock.ts";
import { filesSource } from "./files/mod.ts";
import type { Source } from "./mod.ts";

/** A folder of manifests, or a cluster. */
export type SourceWish =
  | { readonly kind: "files"; readonly path: string }
  | {
    readonly kind: "kube";
    /** Absent: the pod's own service account. */
    readonly kubeconfig?: string;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly random: () => number;
  };

/** Makes the source; it touches nothing before it is watched, except the kubeconfig. */
export async function openSource(wish: SourceWish): Promise<Source> {
  if (wish.kind === "files") return filesSource(wish.path, systemClock);
  const { inClusterAccess, kubeconfigAccess, kubeSource } = await import("./kube/mod.ts");
  const access = wish.kubeconfig === undefined
    ? inClusterAccess(wish.env)
    : await kubeconfigAccess(wish.kubeconfig);
  return kubeSource(access, systemClock, wish.random);
}
