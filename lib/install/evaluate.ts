/** Filling templates in: from values to plain objects. Pure; the same values always give the same. */

import { isMap, isValue, type ValueTree, type Yaml, type YamlMap } from "../config/mod.ts";
import { sha256Hex } from "../host/digest.ts";
import { formatManifests } from "../source/files/manifest-text.ts";
import {
  Choose,
  type Condition,
  Encoded,
  isExpression,
  isList,
  Merged,
  Namespace,
  Ref,
  type Template,
  Text,
  type TextPart,
  ValuesText,
  When,
} from "./template.ts";

/** What templates are filled in with. */
export interface Scope {
  readonly namespace: string;
  readonly values: YamlMap;
  /** The tree that the values are of: tells which are secret. */
  readonly tree: ValueTree;
}

/** Fills a template in; undefined for one whose condition does not hold. */
export function evaluate(template: Template, scope: Scope): Yaml | undefined {
  if (isExpression(template)) return expression(template, scope);
  if (isList(template)) {
    return template.flatMap((item) => {
      const value = evaluate(item, scope);
      return value === undefined ? [] : [value];
    });
  }
  if (typeof template !== "object" || template === null) return template;
  const entries = Object.entries(template).flatMap(([key, inner]): [string, Yaml][] => {
    const value = evaluate(inner, scope);
    return value === undefined ? [] : [[key, value]];
  });
  return Object.fromEntries(entries);
}

/** Whether a condition holds. */
export function holds(condition: Condition, scope: Scope): boolean {
  if (condition instanceof Ref) return isTruthy(valueAt(condition, scope));
  switch (condition.is) {
    case "equal":
      return valueAt(condition.ref, scope) === condition.to;
    case "not":
      return !holds(condition.condition, scope);
    case "all":
      return condition.conditions.every((one) => holds(one, scope));
    case "any":
      return condition.conditions.some((one) => holds(one, scope));
  }
}

/** The values as they may be kept where others can read them. */
export function withoutSecrets(values: YamlMap, tree: ValueTree): YamlMap {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => {
      const node = tree[key];
      if (node === undefined) return [key, value];
      if (isValue(node)) return [key, node.secret === true ? "" : value];
      return [key, isMap(value) ? withoutSecrets(value, node) : value];
    }),
  );
}

/** JSON as Go writes it (and so Helm): keys in order, and no character that HTML would read. */
export function goJson(value: Yaml): string {
  const sorted = (one: Yaml): Yaml => {
    if (Array.isArray(one)) return one.map(sorted);
    if (!isMap(one)) return one;
    return Object.fromEntries(
      Object.keys(one).sort().map((key): [string, Yaml] => [key, sorted(one[key] ?? null)]),
    );
  };
  return JSON.stringify(sorted(value)).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function expression(node: Template, scope: Scope): Yaml | undefined {
  if (node instanceof When) {
    return holds(node.condition, scope) ? evaluate(node.template, scope) : undefined;
  }
  if (node instanceof Ref) return valueAt(node, scope);
  if (node instanceof Choose) {
    return part(holds(node.condition, scope) ? node.yes : node.no, scope);
  }
  if (node instanceof Merged) {
    const values = valueAt(node.values, scope);
    const fixed = evaluate(node.fixed, scope);
    return { ...(isMap(values) ? values : {}), ...(isMap(fixed) ? fixed : {}) };
  }
  if (node instanceof ValuesText) {
    return formatManifests([withoutSecrets(scope.values, scope.tree)]);
  }
  return part(node as TextPart, scope);
}

/** A scalar: a text, or what a choice of numbers gives. */
function part(node: TextPart | number, scope: Scope): Yaml {
  if (typeof node === "number" || typeof node === "string") return node;
  if (node instanceof Namespace) return scope.namespace;
  if (node instanceof Ref) return valueAt(node, scope);
  if (node instanceof Choose) {
    return part(holds(node.condition, scope) ? node.yes : node.no, scope);
  }
  if (node instanceof Text) return node.parts.map((inner) => String(part(inner, scope))).join("");
  return encoded(node, scope);
}

function encoded({ as, of }: Encoded, scope: Scope): string {
  const value = part(of, scope);
  if (as === "json") return goJson(value);
  const text = String(value);
  return as === "base64" ? new TextEncoder().encode(text).toBase64() : sha256Hex(text);
}

function valueAt({ path }: Ref, { values }: Scope): Yaml {
  let value: Yaml = values;
  for (const step of path) value = isMap(value) ? value[step] ?? null : null;
  return value;
}

/** As Go's templates see it. */
function isTruthy(value: Yaml): boolean {
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return Object.keys(value).length > 0;
  return Boolean(value);
}
