/**
 * Injection: from a pod to the JSON Patch that puts the redirect and the proxy beside its containers.
 * Pure and deterministic; the webhook, `malla inject` and the laptop mesh all use this one function.
 */

import { Fault } from "../base/fault.ts";
import { sha256Hex } from "../host/digest.ts";
import { type LabelSelector, selectorMatches } from "../source/objects.ts";
import { CONFIG_PREFIX, configure, resolvedAnnotations } from "./annotations.ts";
import {
  debugContainer,
  initContainer,
  proxyContainer,
  proxyVolumes,
  validatorContainer,
} from "./containers.ts";
import { decide } from "./decision.ts";
import { type Json, type JsonPatchOperation, pointer } from "./json-patch.ts";
import type { Pod, StringMap } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import { inboundPorts, podName, podWarnings, portNames } from "./pod.ts";
import { formatRedirect, podRedirect, REDIRECT_ANNOTATION } from "./pod-redirect.ts";
import type { ProxyConfig } from "./proxy-config.ts";

/** The namespace that a pod is in. */
export interface InjectNamespace {
  readonly name: string;
  readonly annotations: StringMap;
  /** Other meshes are asked for by labels. */
  readonly labels?: StringMap;
  /** Objects that say who may reach pods, in a way that the mesh does not serve yet. */
  readonly unserved?: readonly UnservedPolicy[];
}

/** An object that admits or refuses clients, which the mesh does not serve yet. */
export interface UnservedPolicy {
  /** For messages: `Server "web"`. */
  readonly title: string;
  readonly pods: LabelSelector;
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
  /** Pod or namespace asked for a proxy; with `skipped` somebody will miss it. */
  readonly asked: boolean;
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
  const { asked, ingress, skipped } = decide(pod, namespace, options);
  if (skipped !== undefined) return { patch: [], skipped, asked, warnings: [] };
  const { config, warnings } = configurationOf(pod, namespace, options);
  return {
    patch: [
      ...annotationOperations(pod, namespace, config, options),
      ...labelOperations(pod, namespace, options, owner),
      ...volumeOperations(pod, config, options),
      ...containerOperations(
        pod,
        { ...config, ingress: ingress || options.ingress === true },
        options,
      ),
    ],
    asked,
    warnings: [...warnings, ...podWarnings(pod, config)],
  };
}

/** The proxy's configuration after all annotations, and after the policies that we cannot serve. */
function configurationOf(
  pod: Pod,
  namespace: InjectNamespace,
  { proxy, obeyLinkerd }: InjectOptions,
): { readonly config: ProxyConfig; readonly warnings: readonly string[] } {
  const places = [
    { annotations: namespace.annotations, owner: `namespace ${namespace.name}` },
    { annotations: pod.metadata?.annotations ?? {}, owner: `pod ${podName(pod)}` },
  ];
  let config = proxy;
  for (const { annotations, owner } of places) {
    config = configure(config, annotations, { owner, obeyLinkerd, portNames: portNames(pod) });
  }
  if (config.debug && config.debugImage === "") {
    throw new Fault(
      "invalid_argument",
      `Cannot add a debug container to pod ${podName(pod)}: no image is set; give it with the ` +
        `annotation ${CONFIG_PREFIX}debug-image`,
    );
  }
  const labels = pod.metadata?.labels ?? {};
  const denying = (namespace.unserved ?? []).find(({ pods }) => selectorMatches(pods, labels));
  if (denying === undefined) return { config, warnings: [] };
  return {
    config: { ...config, defaultInboundPolicy: "deny" },
    warnings: [`${denying.title} is not served by Malla yet: it refuses all clients of this pod`],
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

function annotationOperations(
  pod: Pod,
  namespace: InjectNamespace,
  config: ProxyConfig,
  options: InjectOptions,
): JsonPatchOperation[] {
  const annotations = pod.metadata?.annotations ?? {};
  const wanted: Record<string, string> = {
    ...resolvedAnnotations(namespace.annotations, annotations, options.obeyLinkerd),
    [`${CONFIG_PREFIX}pod-inbound-ports`]: inboundPorts(pod).join(","),
    "linkerd.io/created-by": `malla/injector ${options.version}`,
    "linkerd.io/proxy-version": options.version,
    "linkerd.io/trust-root-sha256": sha256Hex(options.trustAnchors),
    ...(options.cni === true
      ? { [REDIRECT_ANNOTATION]: formatRedirect(podRedirect(config, options.ipv6)) }
      : {}),
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

function volumeOperations(
  pod: Pod,
  config: ProxyConfig,
  options: InjectOptions,
): JsonPatchOperation[] {
  return addToList("/spec/volumes", pod.spec.volumes, proxyVolumes(config, options), "last");
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
  const validator = options.cni === true ? validatorContainer(config, options) : undefined;
  const init = options.cni === true
    ? validator === undefined ? [] : [validator]
    : [initContainer(config, options)];
  const proxy = proxyContainer(config, options, pod);
  const { initContainers, containers } = pod.spec;
  const debug = config.debug ? [debugContainer(config)] : [];
  if (config.nativeSidecar) {
    return [
      ...addToList("/spec/initContainers", initContainers, [...init, proxy], "first"),
      ...addToList("/spec/containers", containers, debug, "last"),
    ];
  }
  return [
    ...addToList("/spec/initContainers", initContainers, init, "last"),
    // With `await` the proxy must be first, since kubelet starts containers in their order.
    ...addToList("/spec/containers", containers, [proxy], config.await ? "first" : "last"),
    ...addToList("/spec/containers", containers, debug, "last"),
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
