/** Environment variables of a container, as its manifest writes them. */

import { FieldFault, type Reader } from "./reader.ts";

/** Where a variable's value comes from. */
export type EnvSource =
  | { readonly kind: "value"; readonly value: string }
  | { readonly kind: "field"; readonly fieldPath: string }
  | { readonly kind: "resource"; readonly container: string | null; readonly resource: string }
  | {
    readonly kind: "configMap" | "secret";
    readonly name: string;
    readonly key: string;
    readonly optional: boolean;
  };

/** One variable. */
export interface EnvVar {
  readonly name: string;
  readonly source: EnvSource;
}

/** All entries of a ConfigMap or Secret as variables. */
export interface EnvFrom {
  readonly prefix: string;
  readonly kind: "configMap" | "secret";
  readonly name: string;
  readonly optional: boolean;
}

/** Reads an entry of `env`. */
export function readEnv(entry: Reader): EnvVar {
  const name = entry.at("name").text();
  if (name.includes("=")) throw entry.at("name").wrong("a name without =");
  const from = entry.at("valueFrom");
  if (!from.present) {
    return { name, source: { kind: "value", value: entry.at("value").textOr("") } };
  }
  return { name, source: readSource(from) };
}

/** Reads an entry of `envFrom`. */
export function readEnvFrom(entry: Reader): EnvFrom {
  for (const [field, kind] of [["configMapRef", "configMap"], ["secretRef", "secret"]] as const) {
    const ref = entry.at(field);
    if (!ref.present) continue;
    return {
      prefix: entry.at("prefix").textOr(""),
      kind,
      name: ref.at("name").text(),
      optional: ref.at("optional").flag(false),
    };
  }
  throw entry.wrong("configMapRef or secretRef");
}

function readSource(from: Reader): EnvSource {
  const field = from.at("fieldRef");
  if (field.present) return { kind: "field", fieldPath: field.at("fieldPath").text() };
  const resource = from.at("resourceFieldRef");
  if (resource.present) {
    return {
      kind: "resource",
      container: resource.at("containerName").textOr(null),
      resource: resource.at("resource").text(),
    };
  }
  for (
    const [key, kind] of [["configMapKeyRef", "configMap"], ["secretKeyRef", "secret"]] as const
  ) {
    const ref = from.at(key);
    if (!ref.present) continue;
    return {
      kind,
      name: ref.at("name").text(),
      key: ref.at("key").text(),
      optional: ref.at("optional").flag(false),
    };
  }
  throw new FieldFault(
    from.path,
    "expected fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef",
  );
}
