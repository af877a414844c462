/** ConfigMaps and Secrets of the manifests, decoded for environments and volumes. */

import type { ConfigLookup } from "./environment.ts";
import { Reader } from "./reader.ts";
import type { Manifest } from "./workloads.ts";

/** Looks entries up in a changing set of manifests. */
export class ConfigObjects implements ConfigLookup {
  #entries = new Map<string, ReadonlyMap<string, Uint8Array>>();

  /** Replaces everything by what is in the manifests; each has a namespace by now. */
  replace(manifests: Iterable<Manifest>): void {
    const entries = new Map<string, ReadonlyMap<string, Uint8Array>>();
    for (const manifest of manifests) {
      const object = new Reader(manifest);
      const kind = object.at("kind").value;
      if (kind !== "ConfigMap" && kind !== "Secret") continue;
      const { namespace, name } = nameOf(object);
      entries.set(
        keyOf(kind === "Secret" ? "secret" : "configMap", namespace, name),
        kind === "Secret" ? secretEntries(object) : configMapEntries(object),
      );
    }
    this.#entries = entries;
  }

  entries(
    kind: "configMap" | "secret",
    namespace: string,
    name: string,
  ): ReadonlyMap<string, Uint8Array> | undefined {
    return this.#entries.get(keyOf(kind, namespace, name));
  }
}

function nameOf(object: Reader): { readonly namespace: string; readonly name: string } {
  const metadata = object.at("metadata");
  return {
    namespace: metadata.at("namespace").textOr("default"),
    name: metadata.at("name").text(),
  };
}

function keyOf(kind: "configMap" | "secret", namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

function configMapEntries(object: Reader): Map<string, Uint8Array> {
  const entries = new Map<string, Uint8Array>();
  for (const [key, text] of Object.entries(object.at("data").textMap())) {
    entries.set(key, new TextEncoder().encode(text));
  }
  for (const member of object.at("binaryData").members()) entries.set(key(member), decode(member));
  return entries;
}

function secretEntries(object: Reader): Map<string, Uint8Array> {
  const entries = new Map<string, Uint8Array>();
  for (const member of object.at("data").members()) entries.set(key(member), decode(member));
  for (const [key, text] of Object.entries(object.at("stringData").textMap())) {
    entries.set(key, new TextEncoder().encode(text));
  }
  return entries;
}

function key(member: Reader): string {
  return String(member.path.at(-1));
}

function decode(member: Reader): Uint8Array {
  try {
    const text = atob(member.textOr("").replaceAll(/\s/g, ""));
    return Uint8Array.from(text, (character) => character.charCodeAt(0));
  } catch {
    throw member.wrong("base64");
  }
}
