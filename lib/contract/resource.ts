/**
 * References to configured objects. Two forms exist on the wire: a `Metadata` message, and in server
 * policies a map of labels. In a `Metadata` the core group has the name "core", here and in the labels
 * it is empty. A default (kind `default`) has a name and nothing else.
 */

import type { ResourceRef } from "../mesh/policy.ts";
import { type DeepPartial, Metadata } from "./gen/meta.ts";

const CORE_GROUP = "core";

/** A reference to a default. */
export function defaultResource(name: string): ResourceRef {
  return { group: "", kind: "default", name, namespace: "", port: 0 };
}

/** The `Metadata` of a reference. */
export function resourceToWire(resource: ResourceRef): Metadata {
  return Metadata.fromPartial(resourceInit(resource));
}

/** Like `resourceToWire`, as a part of a larger message. */
export function resourceInit(resource: ResourceRef): DeepPartial<Metadata> {
  const { group, kind, name, namespace, port } = resource;
  if (kind === "default") return { kind: { $case: "default", value: name } };
  const value = { group: group === "" ? CORE_GROUP : group, kind, name, namespace, port };
  return { kind: { $case: "resource", value } };
}

/** The reference in a `Metadata`; a default named `missing` where there is none. */
export function resourceFromWire(message: Metadata | undefined, missing = ""): ResourceRef {
  switch (message?.kind?.$case) {
    case "default":
      return defaultResource(message.kind.value);
    case "resource": {
      const { group, kind, name, namespace, port } = message.kind.value;
      return { group: group === CORE_GROUP ? "" : group, kind, name, namespace, port };
    }
    default:
      return defaultResource(missing);
  }
}

/** The labels of a reference. */
export function resourceToLabels(resource: ResourceRef): Record<string, string> {
  return { group: resource.group, kind: resource.kind, name: resource.name };
}

/** The reference in a map of labels; they tell neither namespace nor port. */
export function resourceFromLabels(labels: Readonly<Record<string, string>>): ResourceRef {
  const { group = "", kind = "default", name = "" } = labels;
  return { group, kind, name, namespace: "", port: 0 };
}
