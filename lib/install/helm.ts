/**
 * Writing templates as a Helm chart's: YAML with Go's template language in the open places. Everything
 * that a value gives is written as JSON, which YAML takes wherever it takes a value.
 */

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
  type TemplateMap,
  Text,
  type TextPart,
  ValuesText,
  When,
} from "./template.ts";

/** One document of a chart, without the line that parts it from the next. */
export function helmDocument(template: TemplateMap | When): string {
  if (template instanceof When) {
    const inner = template.template;
    if (isExpression(inner) || isList(inner) || typeof inner !== "object" || inner === null) {
      throw new TypeError("a document's condition is around a map");
    }
    return `${open(template.condition)}\n${mapLines(inner, 0).join("\n")}\n{{- end }}\n`;
  }
  return `${mapLines(template, 0).join("\n")}\n`;
}

/** A line that stops the chart with a message unless the condition holds. */
export function helmRequirement(condition: Condition, message: string): string {
  return `{{- if not ${parens(condition)} }}{{ fail ${quoted(message)} }}{{- end }}\n`;
}

function mapLines(map: TemplateMap, depth: number): string[] {
  return Object.entries(map).flatMap(([key, value]) => entryLines(key, value, depth));
}

function entryLines(key: string, value: Template, depth: number): string[] {
  const pad = "  ".repeat(depth);
  const name = `${pad}${keyText(key)}:`;
  if (value instanceof When) {
    return [
      `${pad}${open(value.condition)}`,
      ...entryLines(key, value.template, depth),
      `${pad}{{- end }}`,
    ];
  }
  if (value instanceof ValuesText) return [`${name} |`, ...valuesLines(depth + 1)];
  if (value instanceof Merged) {
    return [
      name,
      `${pad}  {{- with ${reference(value.values)} }}`,
      `${pad}  {{- toYaml . | nindent ${2 * (depth + 1)} }}`,
      `${pad}  {{- end }}`,
      ...mapLines(value.fixed, depth + 1),
    ];
  }
  if (isExpression(value) || typeof value !== "object" || value === null) {
    return [`${name} ${scalar(value)}`];
  }
  if (isList(value)) {
    return value.length === 0 ? [`${name} []`] : [name, ...listLines(value, depth)];
  }
  const lines = mapLines(value, depth + 1);
  return lines.length === 0 ? [`${name} {}`] : [name, ...lines];
}

function listLines(list: readonly Template[], depth: number): string[] {
  const pad = "  ".repeat(depth);
  return list.flatMap((item): string[] => {
    if (item instanceof When) {
      return [
        `${pad}${open(item.condition)}`,
        ...itemLines(item.template, depth),
        `${pad}{{- end }}`,
      ];
    }
    return itemLines(item, depth);
  });
}

function itemLines(item: Template, depth: number): string[] {
  const pad = "  ".repeat(depth);
  if (isExpression(item) || typeof item !== "object" || item === null) {
    return [`${pad}- ${scalar(item)}`];
  }
  if (isList(item)) throw new TypeError("a list in a list has no place in a chart");
  const [first = "", ...rest] = mapLines(item, depth + 1);
  return [`${pad}- ${first.trimStart()}`, ...rest];
}

/** What stands behind a key or dash: JSON, or an action that writes JSON. */
function scalar(value: Template): string {
  if (!isExpression(value)) return JSON.stringify(value);
  if (value instanceof Text || value instanceof Choose || value instanceof Encoded) {
    return `{{ ${pipeline(value)} | toJson }}`;
  }
  if (value instanceof Ref || value instanceof Namespace) {
    return `{{ ${pipeline(value)} | toJson }}`;
  }
  throw new TypeError("this node has no place behind a key");
}

/** An expression of the template language, without its braces. */
function pipeline(part: TextPart | number): string {
  if (typeof part === "number") return `${part}`;
  if (typeof part === "string") return quoted(part);
  if (part instanceof Ref) return reference(part);
  if (part instanceof Namespace) return ".Release.Namespace";
  if (part instanceof Choose) {
    return `ternary ${argument(part.yes)} ${argument(part.no)} (not (not ${
      parens(part.condition)
    }))`;
  }
  if (part instanceof Text) {
    const format = part.parts.map((one) => typeof one === "string" ? escaped(one) : "%v").join("");
    const rest = part.parts.filter((one) => typeof one !== "string").map(printed);
    return rest.length === 0 ? quoted(format) : `printf ${quoted(format)} ${rest.join(" ")}`;
  }
  const call = { json: "toJson", base64: "b64enc", sha256: "sha256sum" }[part.as];
  return `${call} ${argument(part.of)}`;
}

/** Numbers of a values file are floats to Go, and a large one would be printed with an exponent. */
function printed(part: TextPart): string {
  if (part instanceof Ref && part.kind === "integer") return `(int64 ${reference(part)})`;
  return argument(part);
}

function argument(part: TextPart | number): string {
  const isSimple = typeof part === "string" || typeof part === "number" || part instanceof Ref ||
    part instanceof Namespace;
  return isSimple ? pipeline(part) : `(${pipeline(part)})`;
}

function open(condition: Condition): string {
  return `{{- if ${test(condition)} }}`;
}

function test(condition: Condition): string {
  if (condition instanceof Ref) return reference(condition);
  switch (condition.is) {
    case "equal":
      return `eq ${reference(condition.ref)} ${quoted(condition.to)}`;
    case "not":
      return `not ${parens(condition.condition)}`;
    case "all":
      return `and ${condition.conditions.map(parens).join(" ")}`;
    case "any":
      return `or ${condition.conditions.map(parens).join(" ")}`;
  }
}

function parens(condition: Condition): string {
  return condition instanceof Ref ? reference(condition) : `(${test(condition)})`;
}

/** A name with a hyphen cannot stand after a dot. */
function reference({ path }: Ref): string {
  if (path.every((step) => /^\w+$/.test(step))) return `.Values.${path.join(".")}`;
  return `(index .Values ${path.map(quoted).join(" ")})`;
}

/** The values without the issuer's key, so that whoever reads the ConfigMap has no more than that. */
function valuesLines(depth: number): string[] {
  const pad = "  ".repeat(depth);
  return [
    `${pad}{{- $values := deepCopy .Values }}`,
    `${pad}{{- $_ := set $values.identity.issuer.tls "keyPEM" "" }}`,
    `${pad}{{- toYaml $values | nindent ${2 * depth} }}`,
  ];
}

function keyText(key: string): string {
  return /^[A-Za-z_][\w./-]*$/.test(key) ? key : JSON.stringify(key);
}

/** JSON's strings are Go's, as long as nothing stranger than line breaks is in them. */
function quoted(text: string): string {
  return JSON.stringify(text);
}

/** A percent sign means something to printf. */
function escaped(text: string): string {
  return text.replaceAll("%", "%%");
}
