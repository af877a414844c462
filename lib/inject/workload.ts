/**
 * Injection of whole manifests: the pod template of a workload, a bare pod, a list of objects, and the
 * annotation that a Service takes over from its namespace.
 */

import { Fault } from "../base/fault.ts";
import { CONFIG_PREFIX, OWN_CONFIG_PREFIX } from "./annotations.ts";
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
  readonly outcome: "injected" | "annotated" | "uninjected" | "skipped" | "unchanged";
  /** Why it was skipped. */
  readonly reason?: string;
  readonly warnings?: readonly string[];
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

/** Where the pod is in an object; undefined for one that holds none. */
export function podPath(object: Readonly<Record<string, unknown>>): readonly string[] | undefined {
  return POD_PATHS[String(object["kind"])];
}

/** Names an object for reports. Throws `invalid_argument` for metadata that is none. */
export function objectPlace(
  object: Readonly<Record<string, unknown>>,
  namespaces: NamespaceLookup,
): { readonly object: string; readonly namespace: string } {
  checkMetadata(object["metadata"], "metadata");
  const { name, generateName, namespace } = object["metadata"] ?? {};
  const title = `${String(object["kind"]).toLowerCase()}/${name ?? generateName ?? ""}`;
  return { object: title, namespace: namespaces(namespace).name };
}

/** Changes an object, or each item of a list. Throws `invalid_argument` for what is no object. */
export function changeItems(
  object: unknown,
  change: (item: Readonly<Record<string, unknown>>) => InjectedObject,
): InjectedObject {
  if (!isObject(object) || typeof object["kind"] !== "string") {
    throw new Fault("invalid_argument", `Cannot inject: expected a Kubernetes object with a kind`);
  }
  if (object["kind"] !== "List" || !Array.isArray(object["items"])) return change(object);
  const items = object["items"].map((item: unknown) => changeItems(item, change));
  return {
    object: { ...object, items: items.map((item) => item.object) },
    reports: items.flatMap(({ reports }) => reports),
  };
}

/** A copy of an object in which the value at a path is another one; as it was where no path leads. */
export function replaceAt(
  object: Readonly<Record<string, unknown>>,
  path: readonly string[],
  change: (value: unknown) => unknown,
): Record<string, unknown> {
  const [step, ...rest] = path;
  if (step === undefined) return change(object) as Record<string, unknown>;
  const value = object[step];
  if (rest.length === 0) return { ...object, [step]: change(value) };
  return isObject(value) ? { ...object, [step]: replaceAt(value, rest, change) } : { ...object };
}

/** Puts an object's name before what is wrong with it. */
export function titled<T>(title: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (!(cause instanceof Fault)) throw cause;
    throw new Fault(cause.code, `${title}: ${cause.message}`);
  }
}

/** Injects one object of a manifest. Throws `invalid_argument` with the object's name for bad input. */
export function injectWorkload(
  object: unknown,
  namespaces: NamespaceLookup,
  options: InjectOptions,
): InjectedObject {
  return changeItems(object, (item) => {
    const place = objectPlace(item, namespaces);
    checkMetadata(item["metadata"], "metadata");
    const namespace = namespaces(item["metadata"]?.namespace);
    const path = podPath(item);
    if (path === undefined) {
      const patch = item["kind"] === "Service" ? servicePatch(item, namespace) : [];
      const outcome = patch.length === 0 ? "unchanged" as const : "injected" as const;
      return { object: applyPatch(item, patch), reports: [{ ...place, outcome }] };
    }
    const name = place.object.slice(place.object.indexOf("/") + 1);
    const owner = item["kind"] === "Pod" ? undefined : { kind: String(item["kind"]), name };
    const injection = injectTemplate(item, place.object, path, namespace, options, owner);
    const { warnings } = injection;
    const report: ObjectReport = injection.skipped === undefined
      ? { ...place, outcome: "injected", warnings }
      : { ...place, outcome: "skipped", reason: injection.skipped, warnings };
    return { object: applyPatch(item, injection.patch), reports: [report] };
  });
}

/** The patch by which a Service takes over its namespace's opaque ports, where it names none itself. */
export function servicePatch(object: unknown, namespace: InjectNamespace): JsonPatchOperation[] {
  const key = `${CONFIG_PREFIX}opaque-ports`;
  const ownKey = `${OWN_CONFIG_PREFIX}opaque-ports`;
  if (!isObject(object)) return [];
  checkMetadata(object["metadata"], "metadata");
  const annotations = object["metadata"]?.annotations ?? undefined;
  const wanted = annotations?.[ownKey] ?? annotations?.[key] ??
    namespace.annotations[ownKey] ?? namespace.annotations[key];
  if (wanted === undefined || annotations?.[key] === wanted) return [];
  const map: JsonPatchOperation = { op: "add", path: "/metadata/annotations", value: {} };
  return [
    ...(annotations === undefined ? [map] : []),
    { op: "add", path: pointer("metadata", "annotations", key), value: wanted },
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
  return titled(title, () => {
    checkPod(template, path.join("."));
    const named = owner === undefined ? template : namedAfter(template, owner);
    const injection = injectPod(named, namespace, options, owner);
    const prefix = pointer(...path);
    const patch = injection.patch.map((operation) => ({
      ...operation,
      path: `${prefix}${operation.path}`,
    }));
    return { ...injection, patch };
  });
}

/** A template has no name of its own; messages show the workload's. */
function namedAfter(template: Pod, owner: Owner): Pod {
  if (template.metadata === undefined) return template;
  return { ...template, metadata: { generateName: `${owner.name}-`, ...template.metadata } };
}
