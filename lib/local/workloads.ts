/**
 * Workloads to pods: what Kubernetes' controllers would make of Deployments, StatefulSets, DaemonSets,
 * ReplicaSets, Jobs and bare Pods, on a single node. Pure: objects in, pods out, with the names,
 * labels and owners that a cluster would give them.
 */

import { canonical, stableSuffix, templateHash } from "./names.ts";
import { FieldFault, Reader } from "./reader.ts";
import { type PodModel, readPod } from "./pod-model.ts";

/** Any Kubernetes object as its manifest says it. */
export type Manifest = Readonly<Record<string, unknown>>;

/** A workload, read. */
export interface Workload {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  /** How many pods it is to have. */
  readonly replicas: number;
  /** `metadata` and `spec` of its pods. */
  readonly template: Manifest;
  /** Follows from the template: another hash means other pods. */
  readonly hash: string;
  /** Its pod as it was read, under the workload's name; for checks, not for running. */
  readonly model: PodModel;
  /** The governing Service of a StatefulSet, for the names of its pods. */
  readonly subdomain: string | null;
}

/** One pod that is to run. */
export interface PodPlan {
  /** `namespace/name`. */
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
  readonly workload: Workload;
  /** The Pod object, before injection. */
  readonly pod: Manifest;
}

/** A laptop is no place for thousands of processes; each pod brings a proxy with it. */
export const REPLICAS_MAX = 100;

const TEMPLATED = ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"];

/** Kinds that would run something in a cluster, and why not here. */
const REFUSED: Readonly<Record<string, string>> = {
  CronJob: "a laptop runs no schedules; expected a Job",
  ReplicationController: "expected its successor, a Deployment",
};

/** Whether objects of this kind become pods. */
export function isWorkload(kind: unknown): boolean {
  return kind === "Pod" || (typeof kind === "string" && TEMPLATED.includes(kind));
}

/**
 * Reads a workload and checks that its pods can run. null: an object of another kind. Throws a
 * `FieldFault` for what is wrong.
 */
export function readWorkload(manifest: Manifest, defaultNamespace: string): Workload | null {
  const object = new Reader(manifest);
  const kind = object.at("kind").textOr("");
  const refusal = REFUSED[kind];
  if (refusal !== undefined) throw new FieldFault(["kind"], `${kind} cannot be run: ${refusal}`);
  if (!isWorkload(kind)) return null;
  const metadata = object.at("metadata");
  const name = metadata.at("name").text();
  const namespace = metadata.at("namespace").textOr(null) || defaultNamespace;
  const spec = object.at("spec");
  const bare = kind === "Pod";
  const template = bare ? object : spec.at("template");
  if (!template.present) throw template.wrong("a pod template");
  const model = checkTemplate(template, name, kind);
  const json = templateJson(template);
  return {
    kind,
    name,
    namespace,
    replicas: replicasOf(kind, spec),
    template: json,
    hash: templateHash(json),
    model,
    subdomain: kind === "StatefulSet" ? spec.at("serviceName").textOr(null) || null : null,
  };
}

/** The pods of a workload, the same ones each time. */
export function podsOf(workload: Workload): readonly PodPlan[] {
  return Array.from({ length: workload.replicas }, (_, index) => {
    const name = podName(workload, index);
    const { namespace } = workload;
    return {
      key: `${namespace}/${name}`,
      name,
      namespace,
      workload,
      pod: podObject(workload, name, index),
    };
  });
}

function replicasOf(kind: string, spec: Reader): number {
  switch (kind) {
    case "Deployment":
    case "ReplicaSet":
    case "StatefulSet":
      return spec.at("replicas").integerOr(1, 0, REPLICAS_MAX);
    case "Job":
      return spec.at("completions").integerOr(1, 1, REPLICAS_MAX);
    default:
      return 1;
  }
}

function podName(workload: Workload, index: number): string {
  const { kind, name, namespace, hash } = workload;
  const suffix = stableSuffix(`${kind}/${namespace}/${name}/${hash}/${index}`, 5);
  switch (kind) {
    case "Pod":
      return name;
    case "StatefulSet":
      return `${name}-${index}`;
    case "Deployment":
      return `${name}-${hash}-${suffix}`;
    default:
      return `${name}-${suffix}`;
  }
}

function podObject(workload: Workload, name: string, index: number): Manifest {
  const { kind, namespace, template, hash } = workload;
  const metadata = new Reader(template["metadata"]);
  const spec = template["spec"] as Manifest;
  const labels = { ...metadata.at("labels").textMap(), ...ownLabels(workload, name, index) };
  const owner = ownerReference(workload);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      uid: stableUid(`pod/${namespace}/${name}/${hash}`),
      labels,
      annotations: metadata.at("annotations").textMap(),
      ...(owner === null ? {} : { ownerReferences: [owner] }),
    },
    spec: {
      ...spec,
      serviceAccountName: spec["serviceAccountName"] ?? spec["serviceAccount"] ?? "default",
      nodeName: NODE_NAME,
      ...(kind === "StatefulSet" ? { hostname: spec["hostname"] ?? name } : {}),
      ...(workload.subdomain === null
        ? {}
        : { subdomain: spec["subdomain"] ?? workload.subdomain }),
    },
  };
}

function ownLabels(workload: Workload, name: string, index: number): Record<string, string> {
  const { kind, hash } = workload;
  switch (kind) {
    case "Deployment":
      return { "pod-template-hash": hash };
    case "StatefulSet":
      return {
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": String(index),
        "controller-revision-hash": `${workload.name}-${hash}`,
      };
    case "Job":
      return { "job-name": workload.name, "batch.kubernetes.io/job-name": workload.name };
    default:
      return {};
  }
}

function ownerReference(workload: Workload): Manifest | null {
  const { kind, name, namespace, hash } = workload;
  if (kind === "Pod") return null;
  const viaSet = kind === "Deployment";
  const owner = viaSet ? `${name}-${hash}` : name;
  return {
    apiVersion: kind === "Job" ? "batch/v1" : "apps/v1",
    kind: viaSet ? "ReplicaSet" : kind,
    name: owner,
    uid: stableUid(`${kind}/${namespace}/${owner}`),
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The only node of the mesh. */
export const NODE_NAME = "laptop";

/** A UUID that follows from the seed alone. */
export function stableUid(seed: string): string {
  const hex = Array.from(
    stableSuffix(seed, 32),
    (letter) => (letter.charCodeAt(0) % 16).toString(16),
  ).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${
    hex.slice(20)
  }`;
}

function templateJson(template: Reader): Manifest {
  return { metadata: template.at("metadata").value ?? {}, spec: template.at("spec").value };
}

/** Reads the template as a pod once, so that what cannot run is refused before anything starts. */
function checkTemplate(template: Reader, name: string, kind: string): PodModel {
  const spec = template.at("spec");
  if (!spec.present) throw spec.wrong("a pod's spec");
  if (spec.at("hostNetwork").flag(false)) {
    throw spec.at("hostNetwork").wrong("false: pods of a laptop mesh have networks of their own");
  }
  const policy = spec.at("restartPolicy");
  if (kind === "Job" && !["OnFailure", "Never"].includes(policy.textOr(""))) {
    throw policy.wrong("OnFailure or Never, since a Job ends");
  }
  if (kind !== "Job" && kind !== "Pod" && policy.textOr("Always") !== "Always") {
    throw policy.wrong("Always");
  }
  const metadata = { ...(template.at("metadata").value as object | null), name };
  try {
    return readPod(new Reader({ metadata, spec: spec.value }));
  } catch (error) {
    if (!(error instanceof FieldFault)) throw error;
    throw new FieldFault([...template.path, ...error.path], error.reason);
  }
}

/** Whether two plans of one name would run the same pod. */
export function samePlan(a: PodPlan, b: PodPlan): boolean {
  return canonical(a.pod) === canonical(b.pod);
}
