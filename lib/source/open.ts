/** Opens the source that settings name, and loads only what that source needs. */

import type { SourcePlace } from "../config/mod.ts";
import { systemClock } from "../host/clock.ts";
import { filesSource } from "./files/mod.ts";
import type { Source } from "./mod.ts";

/** What the settings of a mode say of its source, and what a cluster takes besides. */
export interface SourceWish {
  readonly source: SourcePlace;
  /** How to reach a cluster; absent: as the pod's own service account. */
  readonly kubeconfig?: string | undefined;
  /** Tells a pod where its cluster is. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Spreads the retries of many replicas; in [0, 1). */
  readonly random: () => number;
}

/** Makes the source; it touches nothing before it is watched, except the kubeconfig. */
export async function openSource(wish: SourceWish): Promise<Source> {
  if (wish.source.kind === "files") return filesSource(wish.source.path, systemClock);
  const { clusterAccess, kubeSource } = await import("./kube/mod.ts");
  return kubeSource(await clusterAccess(wish.kubeconfig, wish.env), systemClock, wish.random);
}
