/**
 * Injection: from a pod to the JSON Patch that puts the redirect and the proxy beside its containers.
 * Pure and deterministic; the webhook, `malla inject` and the laptop mesh all use this one function.
 */

import { Fault } from "../base/fault.ts";
import { CONFIG_PREFIX, configure, inheritedAnnotations } from "./annotations.ts";
import {
  INIT_CONTAINER,
  initContainer,
  PROXY_CONTAINER,
  proxyContainer,
  proxyVolumes,
} from "./containers.ts";
import { type Json, type JsonPatchOperation, pointer } from "./json-patch.ts";
import type { Container, Pod, StringMap } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import type { ProxyConfig } from "./proxy-config.ts";
import { sha256Hex } from "../host/digest.ts";

/** The namespace that a pod is in. */
export interface InjectNamespace {
  readonly name: string;
  readonly annotations: StringMap;
}

/** The workload that a pod belongs to, for the label `linkerd.io/proxy-<kind>`. */
export interface Owner {
  readonly kind: string;
  readonly name: string;
}

/** What injection came to. With `skipped` the patch is empty. */
export interface Injection {
  readonly patch: readonly JsonPatchOperation[];
  /** Why nothing is injected. */
  readonly skipped?: string;
  /** What the user should know although the pod was injected. */
  readonly warnings: readonly string[];
}

const OWNER_KINDS = [
  "Deployment",
  "ReplicaSet",
  "ReplicationController",
  "DaemonSet",
  "StatefulSet",
  "Job",
  "CronJob",
];

const DECIDING = ["malla.dev/inject", "linkerd.io/inject"];

/**
 * Gives the patch for one pod. Throws `invalid_argument` for a wrong annotation. `owner` is found from
 * the pod's owner references when it is not given.
 */
export function injectPod(
  pod: Pod,
  namespace: InjectNamespace,
  options: InjectOptions,
  owner: Owner | undefined = ownerOf(pod),
): Injection {
  const annotations = pod.metadata?.annotations ?? {};
  const mode = injectMode(pod, namespace, options);
  if (mode.skipped !== undefined) return { patch: [], skipped: mode.skipped, warnings: [] };
  const ports = portNames(pod);
  const ofNamespace = configure(
    options.proxy,
    namespace.annotations,
    `namespace ${namespace.name}`,
    ports,
  );
  const config = {
    ...configure(ofNamespace, annotations, `pod ${podName(pod)}`, ports),
    ingress: mode.ingress,
  };
  return {
    patch: [
      ...annotationOperations(pod, namespace, options),
      ...labelOperations(pod, namespace, options, owner),
      ...volumeOperations(pod),
      ...containerOperations(pod, config, options),
    ],
    warnings: udpWarnings(pod),
  };
}

/** The workload that made a pod; a ReplicaSet of a Deployment counts as the Deployment. */
export function ownerOf(pod: Pod): Owner | undefined {
  const references = pod.metadata?.ownerReferences ?? [];
  const reference = references.find(({ controller }) => controller === true) ?? references[0];
  if (reference === undefined) return undefined;
  const hash = pod.metadata?.labels?.["pod-template-hash"];
  if (
    reference.kind === "ReplicaSet" && hash !== undefined && reference.name.endsWith(`-${hash}`)
  ) {
    return { kind: "Deployment", name: reference.name.slice(0, -hash.length - 1) };
  }
  return { kind: reference.kind, name: reference.name };
}

/** Whether the pod is to be injected, and how; the pod's word counts more than the namespace's. */
function injectMode(
  pod: Pod,
  namespace: InjectNamespace,
  options: InjectOptions,
): { readonly ingress: boolean; readonly skipped?: string } {
  const skip = (skipped: string) => ({ ingress: false, skipped });
  const keys = options.obeyLinkerd ? DECIDING : DECIDING.slice(0, 1);
  const places = [
    { annotations: pod.metadata?.annotations ?? {}, place: `pod ${podName(pod)}` },
    { annotations: namespace.annotations, place: `namespace ${namespace.name}` },
  ];
  let ingress = false;
  let asked = options.injectByDefault;
  search: for (const { annotations, place } of places) {
    for (const key of keys) {
      const value = annotations[key];
      if (value === undefined) continue;
      if (value === "disabled") return skip(`${key} is "disabled" on the ${place}`);
      if (value !== "enabled" && value !== "ingress") {
        throw new Fault(
          "invalid_argument",
          `Cannot use annotation ${key} of ${place}: ` +
            `expected one of enabled, disabled, ingress, got "${value}"`,
        );
      }
      asked = true;
      ingress = value === "ingress";
      break search;
    }
  }
  if (!asked) return skip(`neither pod nor namespace has ${keys[0]}: enabled`);
  if (pod.spec.hostNetwork === true) return skip("hostNetwork is on: there is no pod network");
  const present = allContainers(pod).find(({ name }) =>
    name === PROXY_CONTAINER || name === INIT_CONTAINER
  );
  if (present !== undefined) return skip(`it already has a container ${present.name}`);
  return { ingress };
}

function annotationOperations(
  pod: Pod,
  namespace: InjectNamespace,
  options: InjectOptions,
): JsonPatchOperation[] {
  const annotations = pod.metadata?.annotations ?? {};
  const wanted: Record<string, string> = {
    ...inheritedAnnotations(namespace.annotations, annotations),
    [`${CONFIG_PREFIX}pod-inbound-ports`]: inboundPorts(pod).join(","),
    "linkerd.io/created-by": `malla/injector ${options.version}`,
    "linkerd.io/proxy-version": options.version,
    "linkerd.io/trust-root-sha256": sha256Hex(options.trustAnchors),
  };
  return addToMap("annotations", pod, wanted);
}

function labelOperations(
  pod: Pod,
  namespace: InjectNamespace,
  options: InjectOptions,
  owner: Owner | undefined,
): JsonPatchOperation[] {
  const wanted: Record<string, string> = {
    "linkerd.io/control-plane-ns": options.controlPlaneNamespace,
    "linkerd.io/workload-ns": namespace.name,
  };
  // A label's value has at most 63 characters; the name of a workload may be longer.
  if (owner !== undefined && OWNER_KINDS.includes(owner.kind)) {
    const name = owner.name.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, "");
    wanted[`linkerd.io/proxy-${owner.kind.toLowerCase()}`] = name;
  }
  return addToMap("labels", pod, wanted);
}

function addToMap(
  field: "annotations" | "labels",
  pod: Pod,
  wanted: StringMap,
): JsonPatchOperation[] {
  const operations: JsonPatchOperation[] = [];
  if (!pod.metadata) operations.push({ op: "add", path: "/metadata", value: {} });
  if (!pod.metadata?.[field]) operations.push({ op: "add", path: `/metadata/${field}`, value: {} });
  for (const [key, value] of Object.entries(wanted)) {
    operations.push({ op: "add", path: pointer("metadata", field, key), value });
  }
  return operations;
}

function volumeOperations(pod: Pod): JsonPatchOperation[] {
  return addToList("/spec/volumes", pod.spec.volumes, proxyVolumes(), "last");
}

/**
 * A native sidecar runs before the application's init containers, so that they have the mesh too. An
 * ordinary sidecar starts after them: then the redirect comes last, else they would have no network.
 */
function containerOperations(
  pod: Pod,
  config: ProxyConfig,
  options: InjectOptions,
): JsonPatchOperation[] {
  const init = initContainer(config, options);
  const proxy = proxyContainer(config, options, inboundPorts(pod));
  const { initContainers } = pod.spec;
  if (config.nativeSidecar) {
    return addToList("/spec/initContainers", initContainers, [init, proxy], "first");
  }
  return [
    ...addToList("/spec/initContainers", initContainers, [init], "last"),
    // With `await` the proxy must be first, since kubelet starts containers in their order.
    ...addToList("/spec/containers", pod.spec.containers, [proxy], config.await ? "first" : "last"),
  ];
}

function addToList(
  path: string,
  present: readonly unknown[] | null | undefined,
  values: readonly Json[],
  where: "first" | "last",
): JsonPatchOperation[] {
  const operations: JsonPatchOperation[] = [];
  if (!present) operations.push({ op: "add", path, value: [] });
  values.forEach((value, index) => {
    operations.push({ op: "add", path: `${path}/${where === "first" ? index : "-"}`, value });
  });
  return operations;
}

/** Containers that run beside each other: the ordinary ones and native sidecars. */
function runningContainers(pod: Pod): Container[] {
  const sidecars = (pod.spec.initContainers ?? []).filter((container) =>
    container.restartPolicy === "Always"
  );
  return [...sidecars, ...pod.spec.containers];
}

function allContainers(pod: Pod): Container[] {
  return [...(pod.spec.initContainers ?? []), ...pod.spec.containers];
}

function inboundPorts(pod: Pod): number[] {
  const ports = runningContainers(pod).flatMap((container) => container.ports ?? [])
    .filter(({ protocol }) => protocol === undefined || protocol === "TCP")
    .map(({ containerPort }) => containerPort);
  return [...new Set(ports)].sort((a, b) => a - b);
}

function portNames(pod: Pod): ReadonlyMap<string, number> {
  const names = new Map<string, number>();
  for (const { ports } of runningContainers(pod)) {
    for (const { name, containerPort } of ports ?? []) {
      if (name !== undefined) names.set(name, containerPort);
    }
  }
  return names;
}

function udpWarnings(pod: Pod): string[] {
  return runningContainers(pod).flatMap(({ name, ports }) =>
    (ports ?? []).filter(({ protocol }) => protocol === "UDP").map(({ containerPort }) =>
      `UDP port ${containerPort} of container ${name} stays outside the mesh: only TCP is carried`
    )
  );
}

function podName(pod: Pod): string {
  return pod.metadata?.name ?? pod.metadata?.generateName ?? "without a name";
}
