/**
 * The environment of a container, resolved: ConfigMaps, Secrets, fields of the pod, resources, and
 * `$(NAME)` in values, commands and arguments. Pure; what is missing is told by the variable's name.
 */

import { Fault } from "../base/fault.ts";
import type { EnvSource } from "./env-model.ts";
import type { ContainerModel, PodModel } from "./pod-model.ts";

/** What the values of a pod's variables and files are taken from. */
export interface PodContext {
  readonly pod: PodModel;
  /** One for each IP version of the mesh; the first is the pod's main address. */
  readonly podIps: readonly string[];
  readonly nodeName: string;
  readonly hostIps: readonly string[];
  readonly objects: ConfigLookup;
  /** What a resource limit is when the container names none: the machine's. */
  readonly machine: { readonly cores: number; readonly memoryBytes: number };
}

/** Finds the entries of a ConfigMap or Secret, decoded; undefined when there is none. */
export interface ConfigLookup {
  entries(
    kind: "configMap" | "secret",
    namespace: string,
    name: string,
  ): ReadonlyMap<string, Uint8Array> | undefined;
}

/** Resolves the variables in the order in which Kubernetes does: envFrom, then env. */
export function resolveEnvironment(
  container: ContainerModel,
  context: PodContext,
): Record<string, string> {
  const env: Record<string, string> = {};
  for (const { kind, name, optional, prefix } of container.envFrom) {
    const entries = context.objects.entries(kind, context.pod.namespace, name);
    if (entries === undefined && !optional) throw missing(kind, name, context, container);
    for (const [key, bytes] of entries ?? []) env[prefix + key] = decode(bytes);
  }
  for (const { name, source } of container.env) {
    const value = resolveSource(source, container, context);
    // A reference sees only what was defined before it.
    if (value !== null) env[name] = source.kind === "value" ? expand(value, env) : value;
  }
  return env;
}

/**
 * Replaces `$(NAME)` by the variable's value. `$$` stands for one `$`; a name that is not defined stays
 * as it is written, as Kubernetes does it.
 */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^)]*)\)/g, (found, name: string | undefined) => {
    if (found === "$$") return "$";
    return name !== undefined && Object.hasOwn(env, name) ? env[name] ?? "" : found;
  });
}

/** The value of a field of the pod. Throws `invalid_argument` for a path that a pod has not. */
export function podField(fieldPath: string, context: PodContext): string {
  const { pod } = context;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(fieldPath);
  if (keyed !== null) {
    return (keyed[1] === "labels" ? pod.labels : pod.annotations)[keyed[2] ?? ""] ?? "";
  }
  switch (fieldPath) {
    case "metadata.name":
      return pod.name;
    case "metadata.namespace":
      return pod.namespace;
    case "metadata.uid":
      return pod.uid;
    case "metadata.labels":
      return mapLines(pod.labels);
    case "metadata.annotations":
      return mapLines(pod.annotations);
    case "spec.nodeName":
      return context.nodeName;
    case "spec.serviceAccountName":
      return pod.serviceAccount;
    case "status.hostIP":
      return context.hostIps[0] ?? "";
    case "status.hostIPs":
      return context.hostIps.join(",");
    case "status.podIP":
      return context.podIps[0] ?? "";
    case "status.podIPs":
      return context.podIps.join(",");
    default:
      throw new Fault(
        "invalid_argument",
        `Cannot resolve field "${fieldPath}" of pod ${pod.namespace}/${pod.name}: expected ` +
          "metadata.{name,namespace,uid,labels['KEY'],annotations['KEY']}, " +
          "spec.{nodeName,serviceAccountName} or status.{hostIP,hostIPs,podIP,podIPs}",
      );
  }
}

/** The value of a resource as Kubernetes gives it: whole cores, whole bytes. */
export function resourceValue(
  resource: string,
  container: ContainerModel,
  context: PodContext,
): string {
  const kind = resource.split(".").slice(1).join(".");
  const written = container.resources[resource] ??
    (resource.startsWith("requests.") ? container.resources[`limits.${kind}`] : undefined);
  if (kind === "cpu") {
    return String(written === undefined ? context.machine.cores : Math.ceil(quantity(written)));
  }
  if (written === undefined) {
    return kind === "memory" && resource.startsWith("limits.")
      ? String(context.machine.memoryBytes)
      : "0";
  }
  return String(Math.ceil(quantity(written)));
}

/** A quantity such as `500m`, `2`, `1Gi` as a number. Throws `invalid_argument`. */
export function quantity(text: string): number {
  const match = /^([0-9.]+)(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$/.exec(text);
  const factor = QUANTITY_FACTORS[match?.[2] ?? ""];
  const value = Number(match?.[1]);
  if (factor === undefined || !Number.isFinite(value)) {
    throw new Fault(
      "invalid_argument",
      `Cannot read quantity "${text}": expected a number such as 500m, 2 or 1Gi`,
    );
  }
  return value * factor;
}

const QUANTITY_FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
};

function resolveSource(
  source: EnvSource,
  container: ContainerModel,
  context: PodContext,
): string | null {
  switch (source.kind) {
    case "value":
      return source.value;
    case "field":
      return podField(source.fieldPath, context);
    case "resource":
      return resourceValue(
        source.resource,
        containerNamed(source.container, container, context.pod),
        context,
      );
    default: {
      const entries = context.objects.entries(source.kind, context.pod.namespace, source.name);
      const bytes = entries?.get(source.key);
      if (bytes !== undefined) return decode(bytes);
      if (source.optional) return null;
      throw missing(source.kind, source.name, context, container, source.key);
    }
  }
}

function containerNamed(
  name: string | null,
  self: ContainerModel,
  pod: PodModel,
): ContainerModel {
  const all = [...pod.containers, ...pod.initContainers];
  return all.find((candidate) => candidate.name === name) ?? self;
}

function missing(
  kind: "configMap" | "secret",
  name: string,
  context: PodContext,
  container: ContainerModel,
  key?: string,
): Fault {
  const what = kind === "configMap" ? "ConfigMap" : "Secret";
  const { namespace } = context.pod;
  return new Fault(
    "not_found",
    `Cannot start container ${container.name} of pod ${namespace}/${context.pod.name}: ` +
      (key === undefined
        ? `there is no ${what} "${name}" in namespace ${namespace}`
        : `there is no key "${key}" in ${what} "${name}" of namespace ${namespace}`),
  );
}

function mapLines(map: Readonly<Record<string, string>>): string {
  return Object.entries(map).map(([key, value]) => `${key}=${JSON.stringify(value)}`).join("\n");
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
