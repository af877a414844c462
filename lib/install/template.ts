/**
 * Objects with open places: JSON in which some nodes stand for values of an installation. They are
 * written once and read in two ways: `evaluate.ts` fills them in, `helm.ts` writes them as a chart. So
 * a node can say no more than both can do.
 */

import { isValue, type Value, type ValueTree, type Yaml } from "../config/mod.ts";

/** A node that stands for something. */
export type Expression = Ref | Namespace | Text | When | Choose | Encoded | Merged | ValuesText;

/** A template: JSON with such nodes. */
export type Template =
  | null
  | boolean
  | number
  | string
  | Expression
  | readonly Template[]
  | TemplateMap;

/** A map of a template. A `When` in it may be left out with its key. */
export interface TemplateMap {
  readonly [key: string]: Template;
}

/** What a text is put together from. */
export type TextPart = string | Ref | Namespace | Choose | Text | Encoded;

/** The value at a path. */
export class Ref {
  readonly path: readonly string[];
  readonly kind: Value["kind"];
  constructor(path: readonly string[], kind: Value["kind"]) {
    this.path = path;
    this.kind = kind;
  }
}

/** The namespace of the control plane. */
export class Namespace {
  readonly node = "namespace";
}

/** Parts joined to a text. */
export class Text {
  readonly parts: readonly TextPart[];
  constructor(parts: readonly TextPart[]) {
    this.parts = parts;
  }
}

/** A part of a map or list (or a whole object) that is there under a condition only. */
export class When {
  readonly condition: Condition;
  readonly template: Template;
  constructor(condition: Condition, template: Template) {
    this.condition = condition;
    this.template = template;
  }
}

/** One of two texts or numbers. */
export class Choose {
  readonly condition: Condition;
  readonly yes: TextPart | number;
  readonly no: TextPart | number;
  constructor(condition: Condition, yes: TextPart | number, no: TextPart | number) {
    this.condition = condition;
    this.yes = yes;
    this.no = no;
  }
}

/** A value in another writing. */
export class Encoded {
  readonly as: "json" | "base64" | "sha256";
  readonly of: TextPart;
  constructor(as: Encoded["as"], of: TextPart) {
    this.as = as;
    this.of = of;
  }
}

/** A map of values, and entries that stand fast. */
export class Merged {
  readonly values: Ref;
  readonly fixed: TemplateMap;
  constructor(values: Ref, fixed: TemplateMap) {
    this.values = values;
    this.fixed = fixed;
  }
}

/** All values as YAML, without the secret ones. */
export class ValuesText {
  readonly node = "values";
}

/** What a `When` asks. */
export type Condition =
  /** The value is neither false, 0 nor empty. */
  | Ref
  | { readonly is: "equal"; readonly ref: Ref; readonly to: string }
  | { readonly is: "not"; readonly condition: Condition }
  | { readonly is: "all" | "any"; readonly conditions: readonly Condition[] };

/** The namespace of the control plane. */
export const NAMESPACE: Namespace = new Namespace();

/** A text with nodes in it: text`malla.${NAMESPACE}`. */
export function text(strings: TemplateStringsArray, ...nodes: readonly TextPart[]): Text {
  const parts = strings.flatMap((string, index): TextPart[] => {
    const node = nodes[index];
    return [...(string === "" ? [] : [string]), ...(node === undefined ? [] : [node])];
  });
  return new Text(parts);
}

/** A part that is there under a condition. */
export function when(condition: Condition, template: Template): When {
  return new When(condition, template);
}

/** One of two. */
export function choose(
  condition: Condition,
  yes: TextPart | number,
  no: TextPart | number,
): Choose {
  return new Choose(condition, yes, no);
}

/** A value, or another text where it is empty. */
export function orElse(ref: Ref, other: TextPart): Choose {
  return new Choose(ref, ref, other);
}

/** Whether a value is this text. */
export function equal(ref: Ref, to: string): Condition {
  return { is: "equal", ref, to };
}

/** The opposite. */
export function not(condition: Condition): Condition {
  return { is: "not", condition };
}

/** Whether all of the conditions hold. */
export function both(...conditions: readonly Condition[]): Condition {
  return { is: "all", conditions };
}

/** Whether one of the conditions holds. */
export function either(...conditions: readonly Condition[]): Condition {
  return { is: "any", conditions };
}

/** The references of a tree, in its form. */
export type Refs<T> = T extends { readonly kind: Value["kind"]; readonly default: Yaml } ? Ref
  : { readonly [P in keyof T]: Refs<T[P]> };

/** Makes a reference for each value of a tree. */
export function refsOf<const T extends ValueTree>(tree: T): Refs<T> {
  const node = (value: Value | ValueTree, path: readonly string[]): unknown => {
    if (isValue(value)) return new Ref(path, value.kind);
    return Object.fromEntries(
      Object.entries(value).map(([key, inner]) => [key, node(inner, [...path, key])]),
    );
  };
  // The same walk as the mapped type's.
  return node(tree, []) as Refs<T>;
}

/** Whether a template is a node that stands for something. */
export function isExpression(template: Template): template is Expression {
  return typeof template === "object" && template !== null && !isList(template) &&
    Object.getPrototypeOf(template) !== Object.prototype;
}

/** Whether a template is a list. */
export function isList(template: Template): template is readonly Template[] {
  return Array.isArray(template);
}
