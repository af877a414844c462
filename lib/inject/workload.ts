/**
 * Injection of whole manifests: the pod template of a workload, a bare pod, a list of objects, and the
 * annotation that a Service takes over from its namespace.
 */

import { Fault } from "../base/fault.ts";
import { CONFIG_PREFIX } from "./annotations.ts";
import type { Injection, InjectNamespace, Owner } from "./inject.ts";
import { injectPod } from "./inject.ts";
import { applyPatch, type JsonPatchOperation, pointer } from "./json-patch.ts";
import { checkMetadata, checkPod, isObject, type Pod } from "./object.ts";
import type { InjectOptions } from "./options.ts";

/** What became of one object of a manifest. */
export interface ObjectReport {
  /** `deployment/web` and the like. */
  readonly object: string;
  readonly namespace: string;
  readonly outcome: "injected" | "skipped" | "unchanged";
  /** Why it was skipped. */
  readonly reason?: string;
  readonly warnings: readonly string[];
}

/** An object after injection, and the report on it (for a list: on each item). */
export interface InjectedObject {
  readonly object: unknown;
  readonly reports: readonly ObjectReport[];
}

/** Gives a namespace by name, undefined being that of objects without one; unknown ones are empty. */
export type NamespaceLookup = (name: string | undefined) => InjectNamespace;

/** Where the pod is in each kind of object that holds one. */
const POD_PATHS: Readonly<Record<string, readonly string[]>> = {
  Pod: [],
  Deployment: ["spec", "template"],
  ReplicaSet: ["spec", "template"],
  ReplicationController: ["spec", "template"],
  DaemonSet: ["spec", "template"],
  StatefulSet: ["spec", "template"],
  Job: ["spec", "template"],
  CronJob: ["spec", "jobTemplate", "spec", "template"],
};

/** Injects one object of a manifest. Throws `invalid_argument` with the object's name for bad input. */
export function injectWorkload(
  object: unknown,
  namespaces: NamespaceLookup,
  options: InjectOptions,
): InjectedObject {
  if (!isObject(object) || typeof object["kind"] !== "string") {
    throw new Fault("invalid_argument", `Cannot inject: expected a Kubernetes object with a kind`);
  }
  const kind = object["kind"];
  if (kind === "List" && Array.isArray(object["items"])) {
    const items = object["items"].map((item: unknown) => injectWorkload(item, namespaces, options));
    return {
      object: { ...object, items: items.map((item) => item.object) },
      reports: items.flatMap(({ reports }) => reports),
    };
  }
  checkMetadata(object["metadata"], "metadata");
  const metadata = object["metadata"] ?? {};
  const name = metadata.name ?? metadata.generateName ?? "";
  const title = `${kind.toLowerCase()}/${name}`;
  const namespace = namespaces(metadata.namespace);
  const place = { object: title, namespace: namespace.name };
  const path = POD_PATHS[kind];
  if (path === undefined) {
    const patch = kind === "Service" ? servicePatch(object, namespace) : [];
    const outcome = patch.length === 0 ? "unchanged" as const : "injected" as const;
    return {
      object: applyPatch(object, patch),
      reports: [{ ...place, outcome, warnings: [] }],
    };
  }
  const owner = kind === "Pod" ? undefined : { kind, name };
  const injection = injectTemplate(object, title, path, namespace, options, owner);
  const report: ObjectReport = injection.skipped === undefined
    ? { ...place, outcome: "injected", warnings: injection.warnings }
    : { ...place, outcome: "skipped", reason: injection.skipped, warnings: injection.warnings };
  return { object: applyPatch(object, injection.patch), reports: [report] };
}

/** The patch by which a Service takes over its namespace's opaque ports, where it names none itself. */
export function servicePatch(object: unknown, namespace: InjectNamespace): JsonPatchOperation[] {
  const key = `${CONFIG_PREFIX}opaque-ports`;
  const inherited = namespace.annotations[key];
  if (inherited === undefined || !isObject(object)) return [];
  checkMetadata(object["metadata"], "metadata");
  const annotations = object["metadata"]?.annotations;
  if (annotations?.[key] !== undefined) return [];
  const map: JsonPatchOperation = { op: "add", path: "/metadata/annotations", value: {} };
  return [
    ...(annotations ? [] : [map]),
    { op: "add", path: pointer("metadata", "annotations", key), value: inherited },
  ];
}

function injectTemplate(
  object: Record<string, unknown>,
  title: string,
  path: readonly string[],
  namespace: InjectNamespace,
  options: InjectOptions,
  owner: Owner | undefined,
): Injection {
  let template: unknown = object;
  for (const step of path) template = isObject(template) ? template[step] : undefined;
  try {
    checkPod(template, path.join("."));
    const named = owner === undefined ? template : namedAfter(template, owner);
    const injection = injectPod(named, namespace, options, owner);
    const prefix = pointer(...path);
    const patch = injection.patch.map((operation) => ({
      ...operation,
      path: `${prefix}${operation.path}`,
    }));
    return { ...injection, patch };
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    throw new Fault(cause.code, `${title}: ${cause.message}`);
  }
}

/** A template has no name of its own; messages show the workload's. */
function namedAfter(template: Pod, owner: Owner): Pod {
  if (template.metadata === undefined) return template;
  return { ...template, metadata: { generateName: `${owner.name}-`, ...template.metadata } };
}
