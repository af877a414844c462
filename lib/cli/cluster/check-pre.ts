/** Whether Malla can be installed: rights, what is there already, and what would not be served. */

import { describeError, Fault } from "../../base/fault.ts";
import type { YamlMap } from "../../config/mod.ts";
import {
  collectionPath,
  INSTALLED_KINDS,
  type InstalledKind,
  installedObjects,
} from "../../install/installed.ts";
import type { KubeManifest } from "../../install/objects.ts";
import { hasLinkerd, namespaceObstacle, unservedAuthorizations } from "../../install/preflight.ts";
import { HttpRefusal } from "../../host/http-json.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { type ClusterView, fieldOf, someOf } from "./view.ts";

/** What is needed to know besides. */
export interface PreOptions {
  readonly view: ClusterView;
  /** The objects of an installation with default values. */
  readonly objects: readonly KubeManifest[];
  readonly acceptUnserved: boolean;
}

/** `pre-kubernetes-setup` and `malla-unserved-policy`. */
export function preChecks(options: PreOptions): readonly Category[] {
  const { view, objects } = options;
  return [
    {
      name: "pre-kubernetes-setup",
      checks: [
        // First what the user may: whoever may nothing is told all of it at once.
        ...INSTALLED_KINDS.filter(({ kind }) => objects.some((one) => one.kind === kind))
          .map((kind) => mayCreate(view, kind)),
        mayGrant(view, objects),
        namespaceStays(view),
        nothingThere(view),
        linkerd(view),
      ],
    },
    { name: "malla-unserved-policy", checks: [unserved(options)] },
  ];
}

function namespaceStays(view: ClusterView): Check {
  return {
    name: "the namespace is not being deleted",
    isBasis: true,
    retries: true,
    async run() {
      const obstacle = await namespaceObstacle(view.client, view.namespace);
      return obstacle === undefined ? PASSED : { status: "fail", ...obstacle };
    },
  };
}

function nothingThere(view: ClusterView): Check {
  return {
    name: "no Malla is installed in this namespace yet",
    async run() {
      const found = await installedObjects(view.client, view.namespace);
      if (found.length === 0) return PASSED;
      return {
        status: "fail",
        message: someOf(found.map(({ kind, metadata }) => `${kind} ${metadata.name}`)),
        hint: "malla upgrade | kubectl apply -f - changes it; " +
          "malla uninstall | kubectl delete -f - removes it",
      };
    },
  };
}

function mayCreate(
  view: ClusterView,
  { apiVersion, kind, plural, isNamespaced }: InstalledKind,
): Check {
  const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
  return {
    name: `may create ${kind} objects`,
    async run() {
      const resourceAttributes = {
        verb: "create",
        group,
        resource: plural,
        ...isNamespaced ? { namespace: view.namespace } : {},
      };
      const review = await view.client.review(
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {
          apiVersion: "authorization.k8s.io/v1",
          kind: "SelfSubjectAccessReview",
          spec: { resourceAttributes },
        },
      );
      if (fieldOf(review, "status", "allowed") === true) return PASSED;
      const full = group === "" ? plural : `${plural}.${group}`;
      return {
        status: "fail",
        message: `this user may not create ${full}`,
        hint: `kubectl create clusterrole malla-install-${plural} --verb=create,get,list,patch ` +
          `--resource=${full}, and bind it to the user with kubectl create clusterrolebinding`,
      };
    },
  };
}

/** Kubernetes lets nobody grant more than he has; only a trial tells. */
function mayGrant(view: ClusterView, objects: readonly KubeManifest[]): Check {
  return {
    name: "may grant what Malla's roles grant",
    async run(): Promise<Outcome> {
      const kind = INSTALLED_KINDS.find((one) => one.kind === "ClusterRole");
      const path = kind === undefined ? "" : collectionPath(kind, view.namespace);
      for (const role of objects.filter((one) => one.kind === "ClusterRole")) {
        const refusal = await tryCreate(view, path, trial(role));
        if (refusal === undefined) continue;
        return {
          status: "fail",
          message: `${role.metadata.name}: ${refusal}`,
          hint: "kubectl create clusterrolebinding malla-install --clusterrole=cluster-admin " +
            "--user=USER, or install as somebody who has these rights",
        };
      }
      return PASSED;
    },
  };
}

/** Another name: the real one may be there. */
function trial(role: KubeManifest): YamlMap {
  return { ...role, metadata: { name: `${role.metadata.name}-trial` } };
}

async function tryCreate(
  view: ClusterView,
  path: string,
  object: YamlMap,
): Promise<string | undefined> {
  try {
    await view.client.create(`${path}?dryRun=All`, object);
    return undefined;
  } catch (thrown) {
    if (thrown instanceof HttpRefusal && thrown.status === 403) return describeError(thrown);
    if (thrown instanceof Fault && thrown.code === "already_exists") return undefined;
    throw thrown;
  }
}

function linkerd(view: ClusterView): Check {
  return {
    name: "no other injector obeys linkerd.io/inject",
    async run() {
      if (!await hasLinkerd(view.client)) return PASSED;
      return {
        status: "warn",
        message: "Linkerd's injector is there: Malla will obey malla.dev/inject alone",
        hint: "malla install --take-over-linkerd keeps Linkerd's certificates and obeys its words",
      };
    },
  };
}

function unserved({ view, acceptUnserved }: PreOptions): Check {
  return {
    name: "no object says who may reach whom in a way that is not served",
    async run() {
      const titles = await unservedAuthorizations(view.client);
      if (titles.length === 0) return PASSED;
      return {
        status: acceptUnserved ? "warn" : "fail",
        message: someOf(titles),
        hint: "remove them, or install with --accept-unserved-policy: they then have no effect",
      };
    },
  };
}
