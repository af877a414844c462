/**
 * Holds objects against the types of the Kubernetes API, as its client library has them from the API's
 * own OpenAPI document: no unknown field, and each value of its type.
 */

import * as client from "@kubernetes/client-node";

/** A field of a type. */
interface Attribute {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
}

const models = client as unknown as Readonly<
  Record<string, { getAttributeTypeMap?: () => readonly Attribute[] } | undefined>
>;

/** What is wrong with an object; empty when nothing is. */
export function kubeTypeProblems(object: unknown): string[] {
  if (!isRecord(object)) return ["no object"];
  const name = `V1${String(object["kind"])}`;
  if (models[name]?.getAttributeTypeMap === undefined) return [`unknown kind ${object["kind"]}`];
  return problemsOf(name, object, String(object["kind"]));
}

function problemsOf(type: string, value: unknown, path: string): string[] {
  const [, item] = /^(?:Array|Set)<(.*)>$/.exec(type) ?? [];
  if (item !== undefined) {
    if (!Array.isArray(value)) return [`${path}: expected a list`];
    return value.flatMap((one: unknown, index) => problemsOf(item, one, `${path}[${index}]`));
  }
  const [, inner] = /^\{ \[key: string\]: (.*); \}$/.exec(type) ?? [];
  if (inner !== undefined) {
    if (!isRecord(value)) return [`${path}: expected a map`];
    return Object.entries(value).flatMap(([key, one]) => problemsOf(inner, one, `${path}.${key}`));
  }
  if (type === "any") return [];
  if (type === "IntOrString") {
    return typeof value === "number" || typeof value === "string"
      ? []
      : [`${path}: expected a port`];
  }
  const attributes = models[type]?.getAttributeTypeMap?.();
  if (attributes === undefined) {
    const wanted = type === "Date" || type === "V1MicroTime" ? "string" : type;
    const found: string = typeof value;
    return found === wanted ? [] : [`${path}: expected a ${type}, got ${found}`];
  }
  if (!isRecord(value)) return [`${path}: expected ${type}`];
  return Object.entries(value).flatMap(([key, one]) => {
    const attribute = attributes.find(({ baseName }) => baseName === key);
    if (attribute === undefined) return [`${path}.${key}: ${type} has no such field`];
    return problemsOf(attribute.type, one, `${path}.${key}`);
  });
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
