/**
 * The annotations that configure a pod's proxy (`proxy-options.ts` has them one by one). The contract's `config.linkerd.io/…` may also be written `config.malla.dev/…`, which
 * wins, and which alone counts beside Linkerd. A wrong value is an error that names annotation, value
 * and what was expected.
 */

import { Fault } from "../base/fault.ts";
import type { PortNames } from "../mesh/port-range.ts";
import type { StringMap } from "./object.ts";
import type { EnvVar, ProxyConfig } from "./proxy-config.ts";
import { OPTION_BY_ANNOTATION, type ProxyOption } from "./proxy-options.ts";

/** The prefix of the annotations that configure proxies. */
export const CONFIG_PREFIX = "config.linkerd.io/";

/** The same in Malla's own words. */
export const OWN_CONFIG_PREFIX = "config.malla.dev/";

/** Older spellings that still configure: full key → name without prefix. */
const ALIASES: Readonly<Record<string, string>> = {
  "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": "proxy-wait-before-exit-seconds",
  "config.alpha.linkerd.io/proxy-enable-native-sidecar": "proxy-enable-native-sidecar",
  "config.beta.linkerd.io/proxy-enable-native-sidecar": "proxy-enable-native-sidecar",
};

/** Whose annotations are read, and which of them count. */
export interface ConfigPlace {
  /** For messages: `pod web`. */
  readonly owner: string;
  /** The contract's own prefix counts as well. */
  readonly obeyLinkerd: boolean;
  /** Ports that may be named. */
  readonly portNames?: PortNames;
}

/**
 * The configuration after the annotations of one object. Call it for the namespace first and for the
 * pod after that, so that the pod's win; additional variables are merged by name.
 */
export function configure(
  config: ProxyConfig,
  annotations: StringMap,
  { owner, obeyLinkerd, portNames = new Map() }: ConfigPlace,
): ProxyConfig {
  let result = config;
  for (const { key, name, value } of configuring(annotations, obeyLinkerd)) {
    const option = OPTION_BY_ANNOTATION.get(name);
    if (option === undefined) continue;
    const parsed = option.read(value, portNames);
    if (!parsed.ok) throw wrong(key, owner, option, value);
    const fields = parsed.value;
    result = { ...result, ...fields };
    if (fields.additionalEnv === undefined) continue;
    result = { ...result, additionalEnv: mergeEnv(config.additionalEnv, fields.additionalEnv) };
  }
  return result;
}

/**
 * The annotations that a pod is to have so that the control plane reads from it, in the contract's
 * words, what its proxy was configured with: the namespace's, and Malla's own spellings.
 */
export function resolvedAnnotations(
  namespace: StringMap,
  pod: StringMap,
  obeyLinkerd: boolean,
): StringMap {
  const resolved = new Map<string, string>();
  for (const annotations of [namespace, pod]) {
    for (const { name, value } of configuring(annotations, obeyLinkerd)) {
      if (OPTION_BY_ANNOTATION.has(name)) resolved.set(`${CONFIG_PREFIX}${name}`, value);
    }
  }
  return Object.fromEntries([...resolved].filter(([key, value]) => pod[key] !== value));
}

/** Annotations that configure, by their names without prefix; later ones win. */
function configuring(
  annotations: StringMap,
  obeyLinkerd: boolean,
): { readonly key: string; readonly name: string; readonly value: string }[] {
  const contract: { key: string; name: string; value: string }[] = [];
  const own: typeof contract = [];
  for (const [key, value] of Object.entries(annotations)) {
    if (key.startsWith(OWN_CONFIG_PREFIX)) {
      own.push({ key, name: key.slice(OWN_CONFIG_PREFIX.length), value });
    } else if (obeyLinkerd && key.startsWith(CONFIG_PREFIX)) {
      contract.push({ key, name: key.slice(CONFIG_PREFIX.length), value });
    } else if (obeyLinkerd && Object.hasOwn(ALIASES, key)) {
      contract.unshift({ key, name: ALIASES[key] ?? "", value });
    }
  }
  return [...contract, ...own];
}

function wrong(key: string, owner: string, option: ProxyOption, value: string): Fault {
  const { expected } = option.type;
  return new Fault(
    "invalid_argument",
    `Cannot use annotation ${key} of ${owner}: expected ${expected}, got "${value}"`,
  );
}

function mergeEnv(first: readonly EnvVar[], second: readonly EnvVar[]): EnvVar[] {
  const merged = new Map([...first, ...second].map((variable) => [variable.name, variable]));
  return [...merged.values()];
}
