/**
 * Asking for a proxy, and taking it back: what `malla inject` and `malla uninject` do to manifests. The
 * first leaves the rest to the webhook; the second undoes that, and a proxy that is in the manifest.
 */

import { CONFIG_PREFIX, OWN_CONFIG_PREFIX } from "./annotations.ts";
import {
  DEBUG_CONTAINER,
  INIT_CONTAINER,
  PROXY_CONTAINER,
  PROXY_VOLUMES,
  VALIDATOR_CONTAINER,
} from "./containers.ts";
import { decide, INJECT_ANNOTATION } from "./decision.ts";
import { checkMetadata, checkPod, isObject, type StringMap } from "./object.ts";
import {
  changeItems,
  type InjectedObject,
  type NamespaceLookup,
  objectPlace,
  podPath,
  replaceAt,
  titled,
} from "./workload.ts";

const OWN_CONTAINERS: ReadonlySet<unknown> = new Set([
  INIT_CONTAINER,
  VALIDATOR_CONTAINER,
  PROXY_CONTAINER,
  DEBUG_CONTAINER,
]);

/** Annotations and labels that belong to the mesh. */
const OWN_PREFIXES = ["linkerd.io/", CONFIG_PREFIX, "malla.dev/", OWN_CONFIG_PREFIX] as const;
const OLDER_PREFIX = /^config\.(alpha|beta)\.linkerd\.io\//;

/** Says nothing of namespaces: with `malla inject` the user's word is the only one. */
const DECIDING = { obeyLinkerd: true, injectByDefault: true };

/**
 * Puts annotations that ask for a proxy on the pods of one object of a manifest, and on a Namespace.
 * Throws `invalid_argument` with the object's name for bad input.
 */
export function annotateWorkload(
  object: unknown,
  namespaces: NamespaceLookup,
  annotations: StringMap,
): InjectedObject {
  return changeItems(object, (item) => {
    const place = objectPlace(item, namespaces);
    const path = item["kind"] === "Namespace" ? [] : podPath(item);
    if (path === undefined) return { object: item, reports: [{ ...place, outcome: "unchanged" }] };
    const refusal = item["kind"] === "Namespace" ? undefined : refusalOf(item, path, place.object);
    if (refusal !== undefined) {
      return { object: item, reports: [{ ...place, outcome: "skipped", reason: refusal }] };
    }
    return {
      object: replaceAt(item, [...path, "metadata"], (metadata) => {
        const known = isObject(metadata) ? metadata : {};
        const present = isObject(known["annotations"]) ? known["annotations"] : {};
        return { ...known, annotations: { ...present, ...annotations } };
      }),
      reports: [{ ...place, outcome: "annotated" }],
    };
  });
}

/** Why the webhook would not inject it although it is asked to. */
function refusalOf(
  item: Readonly<Record<string, unknown>>,
  path: readonly string[],
  title: string,
): string | undefined {
  let template: unknown = item;
  for (const step of path) template = isObject(template) ? template[step] : undefined;
  return titled(title, () => {
    checkPod(template, path.join("."));
    return decide(template, { name: "", annotations: {} }, DECIDING).skipped;
  });
}

/** Takes proxies, and what asks for them, out of one object of a manifest. */
export function uninjectWorkload(object: unknown, namespaces: NamespaceLookup): InjectedObject {
  return changeItems(object, (item) => {
    const place = objectPlace(item, namespaces);
    const path = item["kind"] === "Namespace" ? [] : podPath(item);
    if (path === undefined) return { object: item, reports: [{ ...place, outcome: "unchanged" }] };
    const clean = replaceAt(item, path, (pod) => isObject(pod) ? withoutProxy(pod) : pod);
    const isSame = JSON.stringify(clean) === JSON.stringify(item);
    return { object: clean, reports: [{ ...place, outcome: isSame ? "unchanged" : "uninjected" }] };
  });
}

function withoutProxy(pod: Readonly<Record<string, unknown>>): Record<string, unknown> {
  checkMetadata(pod["metadata"], "metadata");
  const clean: Record<string, unknown> = { ...pod };
  const { metadata, spec } = pod;
  if (isObject(metadata)) {
    clean["metadata"] = withoutKeys(withoutKeys(metadata, "annotations"), "labels");
  }
  if (!isObject(spec)) return clean;
  const isOwn = (name: unknown) => OWN_CONTAINERS.has(name);
  const isVolume = (name: unknown) => PROXY_VOLUMES.has(String(name));
  clean["spec"] = withoutNamed(
    withoutNamed(withoutNamed(spec, "containers", isOwn), "initContainers", isOwn),
    "volumes",
    isVolume,
  );
  return clean;
}

/** A map of metadata without the mesh's keys; and without the map when nothing else was in it. */
function withoutKeys(
  metadata: Readonly<Record<string, unknown>>,
  field: "annotations" | "labels",
): Record<string, unknown> {
  const map = metadata[field];
  if (!isObject(map)) return { ...metadata };
  const kept = Object.entries(map).filter(([key]) => !isOwnKey(key));
  const { [field]: _map, ...rest } = metadata;
  if (kept.length === Object.keys(map).length) return { ...metadata };
  return kept.length === 0 ? rest : { ...rest, [field]: Object.fromEntries(kept) };
}

function isOwnKey(key: string): boolean {
  return OWN_PREFIXES.some((prefix) => key.startsWith(prefix)) || OLDER_PREFIX.test(key);
}

function withoutNamed(
  spec: Readonly<Record<string, unknown>>,
  field: "containers" | "initContainers" | "volumes",
  isOwn: (name: unknown) => boolean,
): Record<string, unknown> {
  const list = spec[field];
  if (!Array.isArray(list)) return { ...spec };
  const kept = list.filter((item: unknown) => !isObject(item) || !isOwn(item["name"]));
  if (kept.length === list.length) return { ...spec };
  const { [field]: _list, ...rest } = spec;
  return kept.length === 0 && field !== "containers" ? rest : { ...rest, [field]: kept };
}

/** The annotations that ask for a proxy, with options in Malla's own words. */
export function askingAnnotations(
  mode: "enabled" | "ingress",
  options: Readonly<Record<string, string>>,
): StringMap {
  const config = Object.entries(options).map(([name, value]) =>
    [`${OWN_CONFIG_PREFIX}${name}`, value] as const
  );
  return { [INJECT_ANNOTATION]: mode, ...Object.fromEntries(config) };
}
