/** What an installation looks at in its cluster before anything is applied. */

import { isMap, type Yaml, type YamlMap } from "../config/mod.ts";
import { parseYaml } from "../host/yaml.ts";
import { LINKERD_WEBHOOK } from "../inject/surroundings.ts";
import type { KubeClient } from "../source/kube/client.ts";
import { findUnserved, titleOf, UNSERVED_KINDS } from "../source/kube/unserved.ts";
import type { FindObject } from "./stored.ts";

/** The namespace that Linkerd is usually in. */
export const LINKERD_NAMESPACE = "linkerd";

/** The objects that say who may reach whom and that are not served, by their titles. */
export async function unservedAuthorizations(client: KubeClient): Promise<readonly string[]> {
  const kinds = UNSERVED_KINDS.filter(({ purpose }) => purpose === "authorization");
  return (await findUnserved(client, kinds)).map(titleOf);
}

/** Whether Linkerd's own injector is there. */
export async function hasLinkerd(client: KubeClient): Promise<boolean> {
  const path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
  return await client.get(`${path}/${LINKERD_WEBHOOK}`) !== undefined;
}

/** Finds the objects of an installation in its namespace. */
export function clusterObjects(client: KubeClient, namespace: string): FindObject {
  return async (kind, name) => {
    const plural = kind === "Secret" ? "secrets" : "configmaps";
    const object = await client.get(`/api/v1/namespaces/${namespace}/${plural}/${name}`);
    // What the API gives is JSON.
    return object as unknown as YamlMap | undefined;
  };
}

/**
 * The values by which Malla takes Linkerd's place in its namespace: its trust anchors and issuer, as
 * they are, and its domains. Undefined when there is no Linkerd in that namespace.
 */
export async function takeOverValues(
  client: KubeClient,
  namespace: string,
): Promise<YamlMap | undefined> {
  const config = await clusterObjects(client, namespace)("ConfigMap", "linkerd-config");
  if (config === undefined) return undefined;
  const data = isMap(config["data"]) ? config["data"] : {};
  const theirs = valuesIn(data["values"]);
  const kept = ["clusterDomain", "clusterNetworks", "identityTrustDomain"] as const;
  const same = kept.flatMap((key): [string, Yaml][] => {
    const value = theirs[key];
    return typeof value === "string" && value !== "" ? [[key, value]] : [];
  });
  return {
    ...Object.fromEntries(same),
    takeOverLinkerd: true,
    identity: {
      externalCA: true,
      trustRootsConfigMap: "linkerd-identity-trust-roots",
      issuer: { scheme: "kubernetes.io/tls", secretName: "linkerd-identity-issuer" },
    },
  };
}

function valuesIn(text: Yaml | undefined): YamlMap {
  if (typeof text !== "string") return {};
  try {
    const read = parseYaml(text) as Yaml;
    return isMap(read) ? read : {};
  } catch {
    return {}; // Then the usual domains count; a foreign one shows at the first certificate.
  }
}

/** Native sidecars are switched on from this minor version of Kubernetes on. */
const NATIVE_MINOR_MIN = 29;
/** What everything else needs. */
const MINOR_MIN = 25;

/** The name of the check, and of the demand. */
export function neededKubernetes(isNative: boolean): string {
  return `1.${isNative ? NATIVE_MINOR_MIN : MINOR_MIN}`;
}

/** Why a version such as `v1.27.3` will not do, and what to do; undefined when it will. */
export function kubernetesObstacle(
  version: string,
  isNative: boolean,
): { readonly message: string; readonly hint: string } | undefined {
  const [, major = "0", minor = "0"] = /^v(\d+)\.(\d+)/.exec(version) ?? [];
  const isLater = (minimum: number) => Number(major) > 1 || Number(minor) >= minimum;
  if (isLater(isNative ? NATIVE_MINOR_MIN : MINOR_MIN)) return undefined;
  return isLater(MINOR_MIN)
    ? {
      message: `it is ${version}: proxies cannot be native sidecars there`,
      hint: "upgrade the cluster, or install with --native-sidecar=false",
    }
    : {
      message: `it is ${version}`,
      hint: `upgrade the cluster to 1.${NATIVE_MINOR_MIN} or later`,
    };
}

/** What to wait for before anything can be made in a namespace; undefined when nothing. */
export async function namespaceObstacle(
  client: KubeClient,
  namespace: string,
): Promise<{ readonly message: string; readonly hint: string } | undefined> {
  const object = await client.get(`/api/v1/namespaces/${namespace}`);
  if (object?.metadata.deletionTimestamp === undefined) return undefined;
  return {
    message: `namespace "${namespace}" is being deleted`,
    hint:
      `kubectl wait --for=delete namespace/${namespace}; when it does not end, kubectl describe ` +
      `namespace ${namespace} says what holds it`,
  };
}
