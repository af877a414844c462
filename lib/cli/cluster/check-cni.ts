/** Whether the CNI plugin is on all nodes, where the injector leaves the redirect to it. */

import { VERSION } from "../../base/version.ts";
import { CNI, CNI_NAMESPACE } from "../../install/names.ts";
import type { KubeObject } from "../../source/kube/client.ts";
import { type Category, type Check, type Outcome, PASSED } from "../check.ts";
import { storedValues } from "./check-existence.ts";
import { type ClusterView, fieldOf, listOf, someOf } from "./view.ts";

const RBAC = "/apis/rbac.authorization.k8s.io/v1";

/** Which plugin is looked at, and when. */
export interface CniCheckWish {
  /** Looked at although no installation says that it needs one. */
  readonly isWanted: boolean;
  /** Default: the contract's. */
  readonly namespace?: string;
}

/** `linkerd-cni-plugin`; no category where nobody needs the plugin. */
export async function cniChecks(
  view: ClusterView,
  wish: CniCheckWish = { isWanted: false },
): Promise<readonly Category[]> {
  if (!wish.isWanted && !await isNeeded(view)) return [];
  const { namespace = CNI_NAMESPACE } = wish;
  const core = `/api/v1/namespaces/${namespace}`;
  const objects: readonly (readonly [string, string])[] = [
    ["Namespace", core],
    ["ServiceAccount", `${core}/serviceaccounts/${CNI}`],
    ["ClusterRole", `${RBAC}/clusterroles/${CNI}`],
    ["ClusterRoleBinding", `${RBAC}/clusterrolebindings/${CNI}`],
  ];
  const path = `/apis/apps/v1/namespaces/${namespace}/daemonsets/${CNI}`;
  return [{
    name: "linkerd-cni-plugin",
    checks: [
      ...objects.map(([kind, at]) => exists(view, namespace, kind, at)),
      { ...exists(view, namespace, "DaemonSet", path), isBasis: true },
      onAllNodes(view, namespace, path),
      ofThisVersion(view, namespace, path),
    ],
  }];
}

/** What is wrong with the installation itself, other checks say. */
async function isNeeded(view: ClusterView): Promise<boolean> {
  try {
    return (await storedValues(view))?.cniEnabled === true;
  } catch {
    return false;
  }
}

function exists(view: ClusterView, namespace: string, kind: string, path: string): Check {
  const name = kind === "Namespace" ? namespace : CNI;
  return {
    name: `the CNI plugin's ${kind} exists`,
    async run(): Promise<Outcome> {
      if (await view.client.get(path) !== undefined) return PASSED;
      return {
        status: "fail",
        message: `there is no ${kind} ${name}`,
        hint: `${installCommand(namespace)}: until then meshed pods do not start`,
      };
    },
  };
}

function onAllNodes(view: ClusterView, namespace: string, path: string): Check {
  return {
    name: "the CNI plugin is ready on all nodes",
    retries: true,
    async run(): Promise<Outcome> {
      const daemons = await view.client.get(path);
      const count = (...steps: string[]) => Number(fieldOf(daemons, ...steps) ?? 0);
      const wanted = count("status", "desiredNumberScheduled");
      const isCurrent = count("status", "observedGeneration") >= count("metadata", "generation") &&
        count("status", "updatedNumberScheduled") >= wanted;
      if (isCurrent && wanted > 0 && count("status", "numberReady") >= wanted) return PASSED;
      const logs = `kubectl -n ${namespace} logs daemonset/${CNI}`;
      const selector = `app.kubernetes.io/name=${CNI}`;
      const pods = await view.client.list(`/api/v1/namespaces/${namespace}/pods`, selector) ?? [];
      const waiting = pods.filter((pod) => !isReady(pod))
        .map((pod) => `${fieldOf(pod, "spec", "nodeName")}: ${pod.metadata.name} is not ready`);
      return {
        status: "fail",
        message: waiting.length > 0
          ? someOf(waiting)
          : `it is as it should be on ${count("status", "numberReady")} of ${wanted} nodes`,
        hint: `${logs} says what the plugin waits for; kubectl -n ${namespace} describe pods -l ` +
          `${selector} why there is none`,
      };
    },
  };
}

function ofThisVersion(view: ClusterView, namespace: string, path: string): Check {
  return {
    name: `the CNI plugin is of version ${VERSION}`,
    async run() {
      const daemons = await view.client.get(path);
      const version = daemons?.metadata.labels?.["app.kubernetes.io/version"] ?? "none";
      if (version === VERSION) return PASSED;
      return {
        status: "warn",
        message: `it is of version ${version}`,
        hint: installCommand(namespace),
      };
    },
  };
}

function installCommand(namespace: string): string {
  const flag = namespace === CNI_NAMESPACE ? "" : `--cni-namespace ${namespace} `;
  return `malla install-cni ${flag}| kubectl apply -f -`;
}

function isReady(pod: KubeObject): boolean {
  return listOf(pod, "status", "conditions").some((one) =>
    fieldOf(one, "type") === "Ready" && fieldOf(one, "status") === "True"
  );
}
