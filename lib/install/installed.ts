/** What of an installation is in a cluster: all objects with its label, and the pods that are meshed. */

import type { KubeClient, KubeObject } from "../source/kube/client.ts";
import { INSTALLATION_LABEL } from "./names.ts";
import type { KubeManifest } from "./objects.ts";

/** A kind that installations have objects of. */
export interface InstalledKind {
  readonly apiVersion: string;
  readonly kind: string;
  readonly plural: string;
  readonly isNamespaced: boolean;
}

/** In the order in which they are deleted: first what would stand in others' way. */
export const INSTALLED_KINDS: readonly InstalledKind[] = [
  kind("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", false),
  kind("apps/v1", "Deployment", true),
  kind("policy/v1", "PodDisruptionBudget", true),
  { ...kind("networking.k8s.io/v1", "NetworkPolicy", true), plural: "networkpolicies" },
  kind("v1", "Service", true),
  kind("coordination.k8s.io/v1", "Lease", true),
  kind("v1", "ConfigMap", true),
  kind("v1", "Secret", true),
  kind("rbac.authorization.k8s.io/v1", "RoleBinding", true),
  kind("rbac.authorization.k8s.io/v1", "Role", true),
  kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", false),
  kind("rbac.authorization.k8s.io/v1", "ClusterRole", false),
  kind("v1", "ServiceAccount", true),
  kind("v1", "Namespace", false),
];

/** Their collection's path in the API. */
export function collectionPath(
  { apiVersion, plural, isNamespaced }: InstalledKind,
  namespace: string,
): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return isNamespaced ? `${root}/namespaces/${namespace}/${plural}` : `${root}/${plural}`;
}

/** The objects of an installation, by their names alone. */
export async function installedObjects(
  client: KubeClient,
  namespace: string,
): Promise<readonly KubeManifest[]> {
  const found = await Promise.all(INSTALLED_KINDS.map(async (one) => {
    const path = collectionPath(one, namespace);
    const objects = await client.list(path, `${INSTALLATION_LABEL}=${namespace}`) ?? [];
    return objects.map(({ metadata: { name } }): KubeManifest => ({
      apiVersion: one.apiVersion,
      kind: one.kind,
      metadata: one.isNamespaced ? { name, namespace } : { name },
    }));
  }));
  return found.flat();
}

/** The pods that have proxies of this mesh, as `namespace/name`. */
export async function meshedPods(
  client: KubeClient,
  namespace: string,
): Promise<readonly string[]> {
  return (await proxiedPods(client, namespace)).map(({ metadata }) =>
    `${metadata.namespace}/${metadata.name}`
  );
}

/** The pods that Malla's injector gave a proxy of this control plane. */
export async function proxiedPods(
  client: KubeClient,
  namespace: string,
): Promise<readonly KubeObject[]> {
  const pods = await client.list("/api/v1/pods", `linkerd.io/control-plane-ns=${namespace}`) ?? [];
  return pods.filter(({ metadata }) =>
    metadata.annotations?.["linkerd.io/created-by"]?.startsWith("malla/") === true
  );
}

/** Whether a pod has neither ended nor is about to. */
export function isRunning({ metadata, status }: KubeObject): boolean {
  const { phase } = (status ?? {}) as { readonly phase?: unknown };
  return phase !== "Succeeded" && phase !== "Failed" && metadata.deletionTimestamp === undefined;
}

function kind(apiVersion: string, name: string, isNamespaced: boolean): InstalledKind {
  return { apiVersion, kind: name, plural: `${name.toLowerCase()}s`, isNamespaced };
}
