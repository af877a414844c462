/**
 * What the dashboard knows of the cluster: pods with their owners, and services with the pods behind
 * them. It watches a source and answers from memory.
 */

import {
  isReady,
  labelsMatch,
  type MeshObject,
  type ObjectRef,
  type Pod,
  refKey,
  refOf,
  type StringMap,
} from "../source/objects.ts";
import type { Problem, SourceWatcher } from "../source/mod.ts";

/** Something that owns pods, or a pod that nobody owns. */
export interface Workload {
  /** In lower case: `deployment`, `statefulset`, `daemonset`, `job`, `replicaset`, `pod`. */
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** What is needed of a pod. */
export interface PodFacts {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly running: boolean;
  readonly ready: boolean;
  /** It has a proxy of this mesh (or of one that speaks its contract). */
  readonly meshed: boolean;
  readonly workload: Workload;
  readonly serviceAccount: string;
  readonly labels: StringMap;
}

/** What is needed of a service. */
export interface ServiceFacts {
  readonly namespace: string;
  readonly name: string;
  readonly clusterIps: readonly string[];
  readonly selector: StringMap;
}

/** Pods by what they are looked up by. */
interface PodIndex {
  readonly all: readonly PodFacts[];
  readonly byIp: ReadonlyMap<string, PodFacts>;
  readonly byName: ReadonlyMap<string, PodFacts>;
}

/** The kinds that `ClusterView` wants to hear of. */
export const VIEW_KINDS = new Set(["Pod", "Service", "ReplicaSet"] as const);

const PROXY_CONTAINERS: ReadonlySet<string> = new Set(["linkerd-proxy", "malla-proxy"]);

/** The objects of the cluster that the dashboard needs, kept up to date by a source. */
export class ClusterView implements SourceWatcher {
  readonly #objects = new Map<string, MeshObject>();
  #problems: readonly Problem[] = [];
  #synced = false;
  #index: PodIndex | undefined;

  applied(object: MeshObject): void {
    this.#objects.set(refKey(refOf(object)), object);
    this.#index = undefined;
  }

  deleted(ref: ObjectRef): void {
    this.#objects.delete(refKey(ref));
    this.#index = undefined;
  }

  synced(): void {
    this.#synced = true;
  }

  problems(problems: readonly Problem[]): void {
    this.#problems = problems;
  }

  /** Whether the source has told everything that exists. */
  isSynced(): boolean {
    return this.#synced;
  }

  currentProblems(): readonly Problem[] {
    return this.#problems;
  }

  /** All pods that have not ended, sorted by namespace and name. */
  pods(): readonly PodFacts[] {
    return this.#indexed().all;
  }

  services(): readonly ServiceFacts[] {
    return [...this.#objects.values()]
      .filter((object) => object.kind === "Service")
      .map(({ metadata, spec }) => ({
        namespace: metadata.namespace,
        name: metadata.name,
        clusterIps: [...new Set([spec.clusterIP ?? "", ...spec.clusterIPs])].filter(isAddress),
        selector: spec.selector ?? {},
      }));
  }

  podByIp(ip: string): PodFacts | undefined {
    return this.#indexed().byIp.get(ip);
  }

  podByName(namespace: string, name: string): PodFacts | undefined {
    return this.#indexed().byName.get(`${namespace}/${name}`);
  }

  /** Made again after a change, when somebody asks: changes come in bursts. */
  #indexed(): PodIndex {
    if (this.#index !== undefined) return this.#index;
    const all = [...this.#objects.values()]
      .filter((object) => object.kind === "Pod")
      .filter(({ status }) => status.phase !== "Succeeded" && status.phase !== "Failed")
      .map((pod) => this.#podFacts(pod))
      .sort((a, b) => compare(`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`));
    this.#index = {
      all,
      byIp: new Map(all.filter(({ ip }) => ip !== "").map((pod) => [pod.ip, pod])),
      byName: new Map(all.map((pod) => [`${pod.namespace}/${pod.name}`, pod])),
    };
    return this.#index;
  }

  #podFacts(pod: Pod): PodFacts {
    const { metadata, spec, status } = pod;
    const containers = [...spec.containers, ...spec.initContainers];
    return {
      namespace: metadata.namespace,
      name: metadata.name,
      ip: status.podIP ?? status.podIPs[0]?.ip ?? "",
      running: status.phase === "Running",
      ready: isReady(pod),
      meshed: containers.some(({ name }) => PROXY_CONTAINERS.has(name)),
      workload: this.#ownerOf(metadata),
      serviceAccount: spec.serviceAccountName ?? "default",
      labels: metadata.labels,
    };
  }

  #ownerOf({ namespace, name, labels, ownerReferences }: Pod["metadata"]): Workload {
    const owner = controllerOf(ownerReferences);
    if (owner === undefined) return { kind: "pod", namespace, name };
    if (owner.kind !== "ReplicaSet") {
      return { kind: owner.kind.toLowerCase(), namespace, name: owner.name };
    }
    const set = this.#objects.get(refKey({ kind: "ReplicaSet", namespace, name: owner.name }));
    const above = set === undefined ? undefined : controllerOf(set.metadata.ownerReferences);
    if (above !== undefined) return { kind: above.kind.toLowerCase(), namespace, name: above.name };
    const hash = labels["pod-template-hash"];
    // The set itself may be unknown here; its name is the deployment's with the template's hash.
    return hash !== undefined && owner.name.endsWith(`-${hash}`)
      ? { kind: "deployment", namespace, name: owner.name.slice(0, -hash.length - 1) }
      : { kind: "replicaset", namespace, name: owner.name };
  }
}

/** The pods behind a service. */
export function podsOf(service: ServiceFacts, pods: readonly PodFacts[]): readonly PodFacts[] {
  return pods.filter((pod) =>
    pod.namespace === service.namespace && labelsMatch(service.selector, pod.labels)
  );
}

function controllerOf(
  owners: Pod["metadata"]["ownerReferences"],
): Pod["metadata"]["ownerReferences"][number] | undefined {
  return owners.find(({ controller }) => controller === true) ?? owners[0];
}

function isAddress(text: string): boolean {
  return text !== "" && text !== "None";
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
