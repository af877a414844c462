/**
 * Values in a tree, as the values of a Helm chart are: what each may be, and reading them from layers
 * (`defaults < files < --set < flags`). Other than settings, values stay what they are in YAML, because
 * they are passed on; they are checked by the types of settings all the same.
 */

import { nearest } from "../base/nearest.ts";
import { ConfigFault } from "./fault.ts";
import type { SettingType } from "./type.ts";

/** A value of YAML or JSON. */
export type Yaml = null | boolean | number | string | readonly Yaml[] | YamlMap;

/** A map of YAML or JSON. */
export interface YamlMap {
  readonly [key: string]: Yaml;
}

/** One value of a tree. Maps and lists are taken as they are; their reader is Kubernetes. */
export interface Value {
  readonly kind: "text" | "integer" | "boolean" | "map" | "list";
  /** Checks a text or number, when it is not empty. */
  readonly type?: SettingType<unknown>;
  readonly default: Yaml;
  /** One or more sentences. */
  readonly help: string;
  /** Never shown in messages, and not kept where others may read it. */
  readonly secret?: true;
}

/** A tree of values. */
export interface ValueTree {
  readonly [key: string]: Value | ValueTree;
}

/** What is read for a tree. */
export type Values<T> = T extends { readonly kind: infer K; readonly default: Yaml }
  ? ValueOfKind<K>
  : { readonly [P in keyof T]: Values<T[P]> };

type ValueOfKind<K> = K extends "text" ? string
  : K extends "integer" ? number
  : K extends "boolean" ? boolean
  : K extends "map" ? YamlMap
  : readonly Yaml[];

/** A layer over the defaults: a tree of YAML, and where it is from, for messages. */
export interface ValueLayer {
  /** Such as `values.yaml` or `--set`. */
  readonly name: string;
  readonly tree: YamlMap;
}

/** Whether a node of a tree is a value. */
export function isValue(node: Value | ValueTree): node is Value {
  return typeof node["kind"] === "string" && "default" in node;
}

/** All values of a tree with their paths, in their order. */
export function valuesOf(
  tree: ValueTree,
  above: readonly string[] = [],
): readonly { readonly path: readonly string[]; readonly value: Value }[] {
  return Object.entries(tree).flatMap(([key, node]) => {
    const path = [...above, key];
    return isValue(node) ? [{ path, value: node }] : valuesOf(node, path);
  });
}

/**
 * Reads a tree; the later layer wins. Throws a `ConfigFault` that names every problem with its layer
 * and path. `what` is configured, for the fault's message.
 */
export function readValues<const T extends ValueTree>(
  what: string,
  tree: T,
  layers: readonly ValueLayer[],
): Values<T> {
  const problems: string[] = [];
  const read = readNode(tree, layers, [], problems);
  if (problems.length > 0) throw new ConfigFault(what, problems);
  // Each leaf was checked by its kind above; the mapped type cannot be followed by the compiler.
  return read as Values<T>;
}

function readNode(
  tree: ValueTree,
  layers: readonly ValueLayer[],
  above: readonly string[],
  problems: string[],
): YamlMap {
  for (const layer of layers) reportUnknown(tree, layer, above, problems);
  return Object.fromEntries(
    Object.entries(tree).map(([key, node]): [string, Yaml] => {
      const path = [...above, key];
      const inner = layers.flatMap(({ name, tree: given }) => {
        const value = given[key];
        return value === undefined || value === null ? [] : [{ name, value }];
      });
      if (isValue(node)) return [key, readValue(node, inner, path, problems)];
      const maps = inner.flatMap(({ name, value }) => {
        if (isMap(value)) return [{ name, tree: value }];
        problems.push(
          `Cannot use ${shown(node, value)} for ${path.join(".")} of ${name}: ` +
            `expected a map with ${Object.keys(node).join(", ")}`,
        );
        return [];
      });
      return [key, readNode(node, maps, path, problems)];
    }),
  );
}

function reportUnknown(
  tree: ValueTree,
  { name, tree: given }: ValueLayer,
  above: readonly string[],
  problems: string[],
): void {
  for (const key of Object.keys(given)) {
    if (Object.hasOwn(tree, key)) continue;
    const meant = nearest(key, Object.keys(tree));
    const hint = meant === undefined ? "" : `: did you mean "${[...above, meant].join(".")}"?`;
    problems.push(`Unknown value "${[...above, key].join(".")}" of ${name}${hint}`);
  }
}

function readValue(
  value: Value,
  given: readonly { readonly name: string; readonly value: Yaml }[],
  path: readonly string[],
  problems: string[],
): Yaml {
  let result = value.default;
  for (const { name, value: raw } of given) {
    const read = convert(value, raw);
    if (read === undefined) {
      problems.push(
        `Cannot use ${shown(value, raw)} for ${path.join(".")} of ${name}: ` +
          `expected ${expectedOf(value)}`,
      );
      // Maps are merged, as Helm does; everything else is replaced.
    } else if (isMap(read) && isMap(result)) result = { ...result, ...read };
    else result = read;
  }
  return result;
}

/** The value as its kind has it; undefined when it is none. */
function convert(value: Value, raw: Yaml): Yaml | undefined {
  switch (value.kind) {
    case "map":
      return isMap(raw) ? raw : undefined;
    case "list":
      return Array.isArray(raw) ? raw : undefined;
    case "boolean":
      return typeof raw === "boolean" ? raw : ({ true: true, false: false })[String(raw)];
    case "integer": {
      const number = typeof raw === "string" && /^-?\d+$/.test(raw) ? Number(raw) : raw;
      if (typeof number !== "number" || !Number.isInteger(number)) return undefined;
      return isRight(value, String(number)) ? number : undefined;
    }
    case "text": {
      if (typeof raw !== "string" && typeof raw !== "number" && typeof raw !== "boolean") {
        return undefined;
      }
      // What has a default cannot do without a value.
      if (raw === "" && value.default === "") return "";
      return isRight(value, String(raw)) && raw !== "" ? String(raw) : undefined;
    }
  }
}

function isRight({ type }: Value, text: string): boolean {
  return type === undefined || type.parse(text).ok;
}

function expectedOf({ kind, type }: Value): string {
  if (type !== undefined) return type.expected;
  const words = {
    text: "a text",
    integer: "a whole number",
    boolean: "true or false",
    map: "a map",
    list: "a list",
  };
  return words[kind];
}

function shown(node: Value | ValueTree, raw: Yaml): string {
  if (isValue(node) && node.secret === true) return "the secret value";
  const text = typeof raw === "string" ? raw : JSON.stringify(raw);
  return `"${text.length <= 100 ? text : `${text.slice(0, 99)}…`}"`;
}

/** Whether a value of YAML is a map. */
export function isMap(value: Yaml | undefined): value is YamlMap {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
