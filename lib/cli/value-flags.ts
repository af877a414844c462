/**
 * Flags for single values of an installation, with the names that Linkerd's command line has for them,
 * and the options that take values as Helm does. All become layers over the defaults.
 */

import { describeError, Fault } from "../base/fault.ts";
import {
  ConfigFault,
  isMap,
  readSets,
  setPath,
  type Value,
  type ValueLayer,
  valuesOf,
  type ValueTree,
  type Yaml,
  type YamlMap,
} from "../config/mod.ts";
import { readText } from "../host/files.ts";
import { parseYaml } from "../host/yaml.ts";
import { CNI_VALUES } from "../install/cni-values.ts";
import { INSTALL_VALUES } from "../install/values.ts";
import { PROXY_OPTIONS } from "../inject/proxy-options.ts";
import type { Verb } from "./verb.ts";

/** A flag and the value that it gives. */
export interface ValueFlag {
  readonly flag: string;
  readonly path: string;
  /** The value that the flag alone means, where it is a switch. */
  readonly means?: Yaml;
}

/** The flags of a tree of values. */
export interface ValueFlags {
  readonly tree: ValueTree;
  readonly flags: readonly ValueFlag[];
  /** Flags that name files whose text is the value, with the values' paths. */
  readonly files: Readonly<Record<string, string>>;
  /** Habits of Linkerd's command line that mean what is so anyway. */
  readonly silent: readonly string[];
}

const ISSUER = "identity.issuer";

const FLAGS: readonly ValueFlag[] = [
  { flag: "cluster-domain", path: "clusterDomain" },
  { flag: "cluster-networks", path: "clusterNetworks" },
  { flag: "disable-ipv6", path: "disableIPv6" },
  { flag: "linkerd-cni-enabled", path: "cniEnabled" },
  { flag: "image-pull-policy", path: "image.pullPolicy" },
  { flag: "controller-replicas", path: "controllerReplicas" },
  { flag: "controller-log-level", path: "controllerLogLevel" },
  { flag: "controller-uid", path: "controllerUID" },
  { flag: "controller-gid", path: "controllerGID" },
  { flag: "identity-trust-domain", path: "identityTrustDomain" },
  { flag: "identity-issuance-lifetime", path: `${ISSUER}.issuanceLifetime` },
  { flag: "identity-clock-skew-allowance", path: `${ISSUER}.clockSkewAllowance` },
  { flag: "identity-external-issuer", path: `${ISSUER}.scheme`, means: "kubernetes.io/tls" },
  { flag: "identity-external-ca", path: "identity.externalCA" },
  { flag: "accept-unserved-policy", path: "acceptUnservedPolicy" },
  optionFlag("proxyImage", "proxy.image.name"),
  optionFlag("proxyVersion", "proxy.image.version"),
  optionFlag("inboundPort", "proxy.ports.inbound"),
  optionFlag("outboundPort", "proxy.ports.outbound"),
  optionFlag("adminPort", "proxy.ports.admin"),
  optionFlag("controlPort", "proxy.ports.control"),
  optionFlag("proxyUid", "proxy.uid"),
  optionFlag("proxyGid", "proxy.gid"),
  optionFlag("skipInboundPorts", "proxyInit.ignoreInboundPorts"),
  optionFlag("skipOutboundPorts", "proxyInit.ignoreOutboundPorts"),
  optionFlag("skipSubnets", "proxyInit.skipSubnets"),
  optionFlag("opaquePorts", "proxy.opaquePorts"),
  optionFlag("requireIdentityPorts", "proxy.requireIdentityOnInboundPorts"),
  optionFlag("cpuRequest", "proxy.resources.cpu.request"),
  optionFlag("cpuLimit", "proxy.resources.cpu.limit"),
  optionFlag("memoryRequest", "proxy.resources.memory.request"),
  optionFlag("memoryLimit", "proxy.resources.memory.limit"),
  optionFlag("proxyLogLevel", "proxy.logLevel"),
  optionFlag("accessLog", "proxy.accessLog"),
  optionFlag("inboundConcurrencyLimit", "proxy.inboundConcurrencyLimit"),
  optionFlag("defaultInboundPolicy", "proxy.defaultInboundPolicy"),
  optionFlag("externalProfiles", "proxy.enableExternalProfiles"),
  optionFlag("waitBeforeExitSeconds", "proxy.waitBeforeExitSeconds"),
  optionFlag("nativeSidecar", "proxy.nativeSidecar"),
];

/** The flags of `malla install` and `malla upgrade`. */
export const INSTALL_FLAGS: ValueFlags = {
  tree: INSTALL_VALUES,
  flags: FLAGS,
  files: {
    "identity-trust-anchors-file": "identityTrustAnchorsPEM",
    "identity-issuer-certificate-file": `${ISSUER}.tls.crtPEM`,
    "identity-issuer-key-file": `${ISSUER}.tls.keyPEM`,
  },
  silent: ["disable-heartbeat", "enable-endpoint-slices"],
};

/** The flags of `malla install-cni`. */
export const CNI_FLAGS: ValueFlags = {
  tree: CNI_VALUES,
  flags: [
    { flag: "dest-cni-net-dir", path: "destCNINetDir" },
    { flag: "dest-cni-bin-dir", path: "destCNIBinDir" },
    { flag: "cni-image", path: "image.name" },
    { flag: "cni-image-version", path: "image.version" },
    { flag: "image-pull-policy", path: "image.pullPolicy" },
    { flag: "cni-log-level", path: "logLevel" },
    { flag: "priority-class-name", path: "priorityClassName" },
  ],
  files: {},
  silent: [],
};

/** The flags that give single values, by the values' paths; for the reference. */
export function flagsByPath({ flags, files }: ValueFlags): ReadonlyMap<string, string> {
  const ofFiles = Object.entries(files).map(([flag, path]) => [path, flag] as const);
  return new Map([...flags.map(({ flag, path }) => [path, flag] as const), ...ofFiles]);
}

/** Adds all of them to a verb. */
export function addValueOptions(verb: Verb, set: ValueFlags = INSTALL_FLAGS): Verb {
  const values = new Map(
    valuesOf(set.tree).map(({ path, value }) => [path.join("."), value]),
  );
  const repeated = (text: string, former: readonly string[]) => [...former, text];
  verb
    .option("-f, --values <file>", "a YAML file of values, or - (may be repeated)", repeated, [])
    .option("--set <name=value>", "a value, such as image.version=v1", repeated, [])
    .option("--set-string <name=value>", "the same, always as a text", repeated, [])
    .option("--set-file <name=file>", "a value that is a file's text", repeated, [])
    .option("--registry <name>", "where the image is: its name is then <name>/malla");
  for (const { flag, path, means } of set.flags) {
    const value = values.get(path);
    if (value === undefined) throw new TypeError(`there is no value ${path}`);
    const words = value.type?.words?.join(", ");
    const meaning = means === undefined ? firstSentence(value.help) : `${path} is ${means}`;
    verb.option(
      `--${flag} ${placeholderOf(value, means)}`,
      `${meaning}${words === undefined || means !== undefined ? "" : ` (${words})`}`,
    );
  }
  for (const [flag, path] of Object.entries(set.files)) {
    verb.option(`--${flag} <file>`, firstSentence(values.get(path)?.help ?? ""));
  }
  for (const flag of set.silent) verb.option(`--${flag}`, "accepted: it is so anyway");
  return verb;
}

/** Reads the layers, in the order in which they count: files, flags, and what was set one by one. */
export async function valueLayers(
  verb: string,
  options: Verb,
  set: ValueFlags = INSTALL_FLAGS,
): Promise<readonly ValueLayer[]> {
  const given = options.opts<Readonly<Record<string, unknown>>>();
  const list = (name: string) => (given[name] ?? []) as readonly string[];
  const layers: ValueLayer[] = [];
  for (const file of list("values")) layers.push(await valuesFile(file));
  layers.push(...await flagLayers(verb, set, given));
  layers.push({ name: "--set", tree: readSets(verb, list("set"), "typed") });
  layers.push({ name: "--set-string", tree: readSets(verb, list("setString"), "text") });
  for (const word of list("setFile")) {
    const at = word.indexOf("=");
    if (at <= 0) throw new ConfigFault(verb, [`Cannot use "${word}": expected NAME=FILE`]);
    const text = await fileText(word.slice(at + 1), "--set-file");
    layers.push({ name: "--set-file", tree: setPath(verb, word.slice(0, at), text) });
  }
  return layers;
}

async function flagLayers(
  verb: string,
  set: ValueFlags,
  given: Readonly<Record<string, unknown>>,
): Promise<readonly ValueLayer[]> {
  const layers: ValueLayer[] = [];
  const { registry } = given;
  if (typeof registry === "string") {
    const name = `${registry.replace(/\/+$/, "")}/malla`;
    layers.push({ name: "--registry", tree: { image: { name } } });
  }
  for (const { flag, path, means } of set.flags) {
    const value = given[camelCase(flag)];
    if (value === undefined || (means !== undefined && value !== true)) continue;
    // A switch without a word is true.
    const yaml = means ?? (value as Yaml);
    layers.push({ name: `--${flag}`, tree: setPath(verb, path, yaml) });
  }
  for (const [flag, path] of Object.entries(set.files)) {
    const file = given[camelCase(flag)];
    if (typeof file !== "string") continue;
    const text = await fileText(file, `--${flag}`);
    layers.push({ name: `--${flag}`, tree: setPath(verb, path, text) });
  }
  return layers;
}

async function valuesFile(file: string): Promise<ValueLayer> {
  const text = await fileText(file === "-" ? "/dev/stdin" : file, "--values");
  let tree: YamlMap;
  try {
    const read = (parseYaml(text) ?? {}) as Yaml;
    if (!isMap(read)) throw new TypeError("expected a map of values");
    tree = read;
  } catch (cause) {
    throw new Fault("invalid_argument", `Cannot read ${file} as YAML: ${describeError(cause)}`);
  }
  return { name: file, tree };
}

async function fileText(file: string, flag: string): Promise<string> {
  try {
    return await readText(file);
  } catch (cause) {
    throw new Fault("invalid_argument", `Cannot read "${file}" for ${flag}`, { cause });
  }
}

function optionFlag(name: keyof typeof PROXY_OPTIONS, path: string): ValueFlag {
  return { flag: PROXY_OPTIONS[name].flag, path };
}

function placeholderOf({ kind, type }: Value, means: Yaml | undefined): string {
  if (kind === "boolean" || means !== undefined) {
    return "[true|false]";
  }
  return type?.words === undefined ? `<${(type?.placeholder ?? kind).toLowerCase()}>` : "<word>";
}

function firstSentence(help: string): string {
  const end = help.search(/[.?:] |\.$/);
  return end < 0 ? help : help.slice(0, end);
}

function camelCase(flag: string): string {
  return flag.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
