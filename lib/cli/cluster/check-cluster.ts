/** All checks of a cluster, as the flags of `malla check` pick them. */

import type { Clock } from "../../host/clock.ts";
import { installationManifests, planInstallation } from "../../install/installation.ts";
import { type Component, COMPONENTS } from "../../install/names.ts";
import type { Category } from "../check.ts";
import { cniChecks, type CniCheckWish } from "./check-cni.ts";
import { dataPlaneChecks } from "./check-data-plane.ts";
import { definitionChecks } from "./check-definitions.ts";
import { existenceChecks, installationChecks } from "./check-existence.ts";
import { identityChecks } from "./check-identity.ts";
import { kubernetesChecks } from "./check-kubernetes.ts";
import { opaquePortChecks } from "./check-opaque-ports.ts";
import { preChecks } from "./check-pre.ts";
import { rightsChecks } from "./check-rights.ts";
import { vizChecks } from "./check-viz.ts";
import { webhookChecks } from "./check-webhook.ts";
import type { ClusterView } from "./view.ts";

/** Which checks are wanted. */
export interface ClusterCheckWish {
  /** `pre`: before an installation; `crds`: what must be known before the rest. */
  readonly stage: "pre" | "crds" | "all";
  /** The pods of the mesh, too. */
  readonly withProxies: boolean;
  /** Of pods of this namespace only. */
  readonly namespace?: string;
  readonly expectedVersion?: string;
  readonly acceptUnserved: boolean;
  /** This part of the control plane alone. */
  readonly part?: Component;
  /** Default: only where an installation needs it. */
  readonly cni?: CniCheckWish;
}

/** The categories, in the order in which they make sense. */
export async function clusterChecks(
  view: ClusterView,
  wish: ClusterCheckWish,
  clock: Clock,
): Promise<readonly Category[]> {
  const basis = kubernetesChecks(view);
  const definitions = definitionChecks(view, wish.stage === "crds");
  if (wish.stage === "crds") return [...basis, definitions];
  const nowMs = clock.nowMs();
  if (wish.stage === "pre") {
    const { acceptUnserved } = wish;
    const { namespace } = view;
    const plan = await planInstallation({ verb: "check", namespace, layers: [], nowMs });
    return [
      ...basis,
      definitions,
      ...preChecks({ view, objects: installationManifests(plan), acceptUnserved }),
      ...wish.cni?.isWanted === true ? await cniChecks(view, wish.cni) : [],
    ];
  }
  if (wish.part !== undefined) {
    const parts = [wish.part];
    return [
      ...basis.slice(0, 1),
      existenceChecks(view, parts),
      rightsChecks(view, parts),
      ...ownChecks(view, wish, nowMs)[wish.part],
    ];
  }
  const own = ownChecks(view, wish, nowMs);
  return [
    ...basis,
    definitions,
    existenceChecks(view, COMPONENTS),
    ...installationChecks(view, wish.expectedVersion),
    rightsChecks(view, COMPONENTS),
    ...own["malla-identity"],
    ...own["malla-injector"],
    ...await cniChecks(view, wish.cni),
    ...wish.withProxies ? dataPlaneChecks(view, wish.namespace) : [],
    ...own["malla-controller"],
    ...own["malla-viz"],
  ];
}

/** The checks that are about one part's work. */
function ownChecks(
  view: ClusterView,
  { namespace }: ClusterCheckWish,
  nowMs: number,
): Readonly<Record<Component, readonly Category[]>> {
  return {
    "malla-identity": [identityChecks(view, nowMs)],
    "malla-controller": [opaquePortChecks(view, namespace)],
    "malla-injector": [webhookChecks(view, nowMs, namespace ?? "default")],
    "malla-viz": [vizChecks(view)],
  };
}
