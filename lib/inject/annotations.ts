/**
 * The annotations `config.linkerd.io/…` that configure a pod's proxy: one reader for each, from text to
 * fields of `ProxyConfig`. A wrong value is an error that names annotation, value and what was expected.
 */

import { Fault } from "../base/fault.ts";
import { parseNetwork } from "../mesh/address.ts";
import { isObject, type StringMap } from "./object.ts";
import { INBOUND_POLICIES } from "../mesh/policy.ts";
import { isPort, parsePortRanges, PORTS_EXPECTED } from "../mesh/port-range.ts";
import type { EnvVar, ProxyConfig } from "./proxy-config.ts";

/** The prefix of the annotations that configure proxies. */
export const CONFIG_PREFIX = "config.linkerd.io/";

/** Turns an annotation's text into fields, or throws what was expected instead. */
type Reader = (value: string, context: ReaderContext) => Partial<ProxyConfig>;

interface ReaderContext {
  readonly portNames: ReadonlyMap<string, number>;
}

/** Thrown by readers: the text says what was expected. */
class Expected extends Error {}

const READERS: Readonly<Record<string, Reader>> = {
  "proxy-image": (value) => ({ image: word(value, "the name of an image") }),
  "proxy-version": (value) => ({ imageVersion: word(value, "the tag of an image") }),
  "image-pull-policy": (value) => ({
    imagePullPolicy: oneOf(value, ["Always", "IfNotPresent", "Never"]),
  }),
  "inbound-port": (value) => ({ inboundPort: port(value) }),
  "outbound-port": (value) => ({ outboundPort: port(value) }),
  "admin-port": (value) => ({ adminPort: port(value) }),
  "control-port": (value) => ({ controlPort: port(value) }),
  "proxy-uid": (value) => ({ uid: integer(value, 1, 4_294_967_294, "a user id above 0") }),
  "proxy-gid": (value) => ({ gid: integer(value, 1, 4_294_967_294, "a group id above 0") }),
  "skip-inbound-ports": (value, { portNames }) => ({ skipInboundPorts: ports(value, portNames) }),
  "skip-outbound-ports": (value) => ({ skipOutboundPorts: ports(value) }),
  "skip-subnets": (value) => ({ skipSubnets: subnets(value) }),
  "opaque-ports": (value, { portNames }) => ({ opaquePorts: ports(value, portNames) }),
  "proxy-require-identity-inbound-ports": (value, { portNames }) => ({
    requireIdentityPorts: ports(value, portNames),
  }),
  "proxy-cpu-request": (value) => ({ cpuRequest: quantity(value) }),
  "proxy-cpu-limit": (value) => ({ cpuLimit: quantity(value) }),
  "proxy-cpu-ratio-limit": (value) => ({ cpuRatioLimit: ratio(value) }),
  "proxy-memory-request": (value) => ({ memoryRequest: quantity(value) }),
  "proxy-memory-limit": (value) => ({ memoryLimit: quantity(value) }),
  "proxy-ephemeral-storage-request": (value) => ({ storageRequest: quantity(value) }),
  "proxy-ephemeral-storage-limit": (value) => ({ storageLimit: quantity(value) }),
  "proxy-log-level": (value) => ({ logLevel: word(value, "a log level such as warn or debug") }),
  "proxy-log-format": (value) => ({ logFormat: oneOf(value, ["plain", "json"]) }),
  "proxy-log-http-headers": (value) => ({
    logHttpHeaders: oneOf(value, ["insecure", "off", "disabled"]),
  }),
  "access-log": (value) => ({ accessLog: oneOf(value, ["apache", "json"]) }),
  "default-inbound-policy": (value) => ({ defaultInboundPolicy: oneOf(value, INBOUND_POLICIES) }),
  "proxy-admin-shutdown": (value) => ({
    adminShutdown: oneOf(value, ["enabled", "disabled"]) === "enabled",
  }),
  "enable-external-profiles": (value) => ({ externalProfiles: boolean(value) }),
  "proxy-metrics-hostname-labels": (value) => ({ hostnameLabels: boolean(value) }),
  "proxy-outbound-connect-timeout": (value) => ({ outboundConnectTimeout: duration(value) }),
  "proxy-inbound-connect-timeout": (value) => ({ inboundConnectTimeout: duration(value) }),
  "proxy-outbound-discovery-cache-unused-timeout": (value) => ({
    outboundDiscoveryUnused: duration(value),
  }),
  "proxy-inbound-discovery-cache-unused-timeout": (value) => ({
    inboundDiscoveryUnused: duration(value),
  }),
  "proxy-disable-outbound-protocol-detect-timeout": (value) => ({
    disableOutboundDetectTimeout: boolean(value),
  }),
  "proxy-disable-inbound-protocol-detect-timeout": (value) => ({
    disableInboundDetectTimeout: boolean(value),
  }),
  "proxy-enable-native-sidecar": (value) => ({ nativeSidecar: boolean(value) }),
  "proxy-await": (value) => ({ await: oneOf(value, ["enabled", "disabled"]) === "enabled" }),
  "proxy-wait-before-exit-seconds": (value) => ({
    waitBeforeExitSeconds: integer(value, 0, 86_400, "a number of seconds, at most a day"),
  }),
  "shutdown-grace-period": (value) => ({ shutdownGracePeriod: duration(value) }),
  "close-wait-timeout": (value) => ({ closeWaitSeconds: closeWait(value) }),
  "proxy-additional-env": (value) => ({ additionalEnv: environment(value) }),
};

/** Older spellings that still configure: full key → name without prefix. */
const ALIASES: Readonly<Record<string, string>> = {
  "config.alpha.linkerd.io/proxy-wait-before-exit-seconds": "proxy-wait-before-exit-seconds",
  "config.alpha.linkerd.io/proxy-enable-native-sidecar": "proxy-enable-native-sidecar",
  "config.beta.linkerd.io/proxy-enable-native-sidecar": "proxy-enable-native-sidecar",
};

/**
 * The configuration after the annotations of one object. Call it for the namespace first and for the
 * pod after that, so that the pod's win; additional variables are merged by name.
 */
export function configure(
  config: ProxyConfig,
  annotations: StringMap,
  owner: string,
  portNames: ReadonlyMap<string, number> = new Map(),
): ProxyConfig {
  let result = config;
  for (const [key, value] of Object.entries(annotations)) {
    const name = configName(key);
    const reader = name === undefined ? undefined : READERS[name];
    if (reader === undefined) continue;
    const fields = readAnnotation(reader, key, value, owner, { portNames });
    const additionalEnv = mergeEnv(config.additionalEnv, fields.additionalEnv ?? []);
    result = name === "proxy-additional-env"
      ? { ...result, additionalEnv }
      : { ...result, ...fields };
  }
  return result;
}

/** The annotations of a namespace that its pods take over, where they do not say otherwise. */
export function inheritedAnnotations(namespace: StringMap, pod: StringMap): StringMap {
  const inherited = Object.entries(namespace).filter(([key]) => {
    const name = configName(key);
    return name !== undefined && Object.hasOwn(READERS, name) && !Object.hasOwn(pod, key);
  });
  return Object.fromEntries(inherited);
}

function configName(key: string): string | undefined {
  if (key.startsWith(CONFIG_PREFIX)) return key.slice(CONFIG_PREFIX.length);
  return ALIASES[key];
}

function readAnnotation(
  reader: Reader,
  key: string,
  value: string,
  owner: string,
  context: ReaderContext,
): Partial<ProxyConfig> {
  try {
    return reader(value, context);
  } catch (cause) {
    if (!(cause instanceof Expected)) throw cause;
    throw new Fault(
      "invalid_argument",
      `Cannot use annotation ${key} of ${owner}: expected ${cause.message}, got "${value}"`,
    );
  }
}

function mergeEnv(first: readonly EnvVar[], second: readonly EnvVar[]): EnvVar[] {
  const merged = new Map([...first, ...second].map((variable) => [variable.name, variable]));
  return [...merged.values()];
}

function word(value: string, expected: string): string {
  if (!/^\S+$/.test(value)) throw new Expected(expected);
  return value;
}

function oneOf(value: string, values: readonly string[]): string {
  if (!values.includes(value)) throw new Expected(`one of ${values.join(", ")}`);
  return value;
}

function boolean(value: string): boolean {
  return oneOf(value, ["true", "false"]) === "true";
}

function integer(value: string, min: number, max: number, expected: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < min || number > max) throw new Expected(expected);
  return number;
}

function port(value: string): number {
  if (!/^\d+$/.test(value) || !isPort(Number(value))) throw new Expected("a port number 1–65535");
  return Number(value);
}

function ports(value: string, names?: ReadonlyMap<string, number>): ProxyConfig["opaquePorts"] {
  try {
    return parsePortRanges(value, names);
  } catch {
    // The fault names the single item; the annotation's own message shows the whole value.
    throw new Expected(names === undefined ? PORTS_EXPECTED : `${PORTS_EXPECTED}, or port names`);
  }
}

function subnets(value: string): ProxyConfig["skipSubnets"] {
  try {
    return value.split(",").map((item) => item.trim()).filter(Boolean).map(parseNetwork);
  } catch {
    // As for ports: the annotation's own message shows the whole value.
    throw new Expected("networks such as 10.0.0.0/8 or fd00::/8, with commas between");
  }
}

function quantity(value: string): string {
  if (!/^\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|e\d+)?$/.test(value)) {
    throw new Expected("a quantity such as 100m, 2 or 250Mi");
  }
  return value;
}

function ratio(value: string): number {
  const number = Number(value);
  if (value.trim() === "" || !(number > 0 && number <= 1)) {
    throw new Expected("a share above 0, at most 1, such as 0.5");
  }
  return number;
}

function duration(value: string): string {
  if (!/^\d+(ms|s|m|h|d)$/.test(value)) {
    throw new Expected("a duration with unit, such as 500ms, 2s or 1m");
  }
  return value;
}

function closeWait(value: string): number {
  const [, amount, unit = "s"] = /^(\d+)(s|m|h)?$/.exec(value) ?? [];
  const seconds = Number(amount) * ({ s: 1, m: 60, h: 3600 }[unit] ?? Number.NaN);
  if (!(seconds >= 0 && seconds <= 86_400)) {
    throw new Expected("a duration in whole seconds, minutes or hours, such as 60s");
  }
  return seconds;
}

function environment(value: string): EnvVar[] {
  const expected = 'a JSON list of variables such as [{"name":"KEY","value":"text"}]';
  let list: unknown;
  try {
    list = JSON.parse(value);
  } catch {
    // Not JSON: the message below says what is wanted.
    throw new Expected(expected);
  }
  if (!Array.isArray(list)) throw new Expected(expected);
  return list.map((item: unknown) => {
    if (!isObject(item) || typeof item["name"] !== "string") throw new Expected(expected);
    const text = item["value"] ?? "";
    if (typeof text !== "string") throw new Expected(expected);
    return { name: item["name"], value: text };
  });
}
