/**
 * `malla inject FILE|DIR|-` and `malla uninject`: manifests in, the same manifests out, on standard
 * output; what was done to which object on standard error. For `kubectl apply -f -`.
 */

import { statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describeError, Fault } from "../lib/base/fault.ts";
import { VERSION } from "../lib/base/version.ts";
import {
  boolean,
  ConfigFault,
  defineSettings,
  type Definition,
  exitCodeOf,
  helpText,
  loadSettings,
  meshSettings,
  networkSettings,
  nonEmpty,
  oneOf,
  readTrustAnchors,
  type Schema,
  type Setting,
  type Settings,
  trustAnchorSettings,
  wantsHelp,
} from "../lib/config/mod.ts";
import { environment } from "../lib/host/process.ts";
import { processTerminal } from "../lib/host/terminal.ts";
import { GIVEN_OPTIONS, givenAnnotations, givenConfig } from "../lib/inject/given-options.ts";
import {
  annotateWorkload,
  askingAnnotations,
  controlServices,
  type InjectedObject,
  type InjectNamespace,
  type InjectOptions,
  injectWorkload,
  type NamespaceLookup,
  type ObjectReport,
  uninjectWorkload,
} from "../lib/inject/mod.ts";
import { checkMetadata } from "../lib/inject/object.ts";
import { type Manifest, parseManifests } from "../lib/source/files/manifest.ts";
import { formatManifests } from "../lib/source/files/manifest-text.ts";
import { readSettingsText } from "./settings-mode.ts";

const MANIFEST_SETTINGS = {
  namespace: {
    flag: "namespace",
    type: nonEmpty(),
    default: "default",
    help: "The namespace of objects that name none.",
  },
  output: {
    flag: "output",
    type: oneOf(["yaml", "json"]),
    default: "yaml",
    help: "YAML documents, or one list in JSON.",
  },
} as const;

/** What `malla inject` is told. */
export const injectModeSettings = defineSettings("inject", {
  ...MANIFEST_SETTINGS,
  ingress: {
    flag: "ingress",
    type: boolean(),
    default: "false",
    help: "Whether proxies route by the name that a request asks for, as an ingress needs it.",
  },
  manual: {
    flag: "manual",
    type: boolean(),
    default: "false",
    help: "Whether the proxy itself is added, and not only the annotation for the webhook.",
  },
  ...GIVEN_OPTIONS,
  ...meshSettings,
  ...networkSettings,
  ...trustAnchorSettings,
  ipv6: {
    flag: "ipv6",
    type: boolean(),
    default: "false",
    help: "With --manual: whether pods have IPv6.",
  },
  cni: {
    flag: "linkerd-cni-enabled",
    type: boolean(),
    default: "false",
    help: "With --manual: whether a CNI plugin redirects pods' traffic.",
  },
});

/** What `malla uninject` is told. */
export const uninjectModeSettings = defineSettings("uninject", MANIFEST_SETTINGS);

/** Flags that people know from kubectl. */
const SHORT_FLAGS: Readonly<Record<string, string>> = { "-o": "--output", "-n": "--namespace" };

/** Does something to one object of a manifest. */
type Change = (object: unknown, namespaces: NamespaceLookup) => InjectedObject;

/** Runs the mode; resolves to 0, 1 (nothing written) or 64 (wrong flags). */
export function run(args: readonly string[]): Promise<number> {
  const usage =
    "Reads Kubernetes manifests (- is standard input), asks for a proxy on every pod that " +
    "does not refuse\nit, and writes all objects to standard output. With --manual the proxy is " +
    "added at once; then the\ntrust anchors are needed too.";
  return runManifestMode(injectModeSettings, usage, args, (settings) => {
    return settings.manual ? manualChange(settings) : annotatingChange(settings);
  });
}

/** Runs `malla uninject`; resolves as `run` does. */
export function runUninject(args: readonly string[]): Promise<number> {
  const usage =
    "Reads Kubernetes manifests (- is standard input), takes proxies and the annotations " +
    "that ask for\nthem away, and writes all objects to standard output.";
  return runManifestMode(uninjectModeSettings, usage, args, () => uninjectWorkload);
}

type InjectModeSettings = Settings<typeof injectModeSettings.settings>;

function annotatingChange(settings: InjectModeSettings): Change {
  const mode = settings.ingress ? "ingress" : "enabled";
  const annotations = askingAnnotations(mode, givenAnnotations(settings));
  return (object, namespaces) => annotateWorkload(object, namespaces, annotations);
}

function manualChange(settings: InjectModeSettings): Change {
  const { controlPlaneNamespace, clusterDomain, trustDomain } = settings;
  const options: InjectOptions = {
    version: VERSION,
    controlPlaneNamespace,
    clusterDomain,
    trustDomain,
    trustAnchors: readTrustAnchors("inject", settings, readSettingsText),
    ...controlServices(controlPlaneNamespace, clusterDomain, trustDomain),
    clusterNetworks: settings.clusterNetworks.map(({ text }) => text).join(","),
    ipv6: settings.ipv6,
    cni: settings.cni,
    injectByDefault: true,
    obeyLinkerd: true,
    ingress: settings.ingress,
    proxy: givenConfig(settings),
  };
  return (object, namespaces) => injectWorkload(object, namespaces, options);
}

async function runManifestMode<S extends Schema & typeof MANIFEST_SETTINGS>(
  definition: Definition<S>,
  usage: string,
  args: readonly string[],
  changeOf: (settings: Settings<S>) => Change,
): Promise<number> {
  const { mode } = definition;
  const terminal = processTerminal();
  if (wantsHelp(args)) {
    terminal.write(`Usage: malla ${mode} FILE|DIR|- … [--flag value …]\n\n${usage}\n\n`);
    terminal.write(helpText(definition).split("\n").slice(2).join("\n"));
    return 0;
  }
  try {
    const { places, flags } = splitWords(definition.settings, args);
    const sources = { args: flags, env: environment(), readFile: readSettingsText };
    const settings = loadSettings(definition, sources);
    if (places.length === 0) throw new ConfigFault(mode, ["expected FILE, DIR or -"]);
    const change = changeOf(settings);
    const { namespace, output } = settings as unknown as Settings<typeof MANIFEST_SETTINGS>;
    const manifests = (await Promise.all(places.map((place) => readPlace(mode, place)))).flat();
    const changed = changeAll(manifests, change, namespacesOf(manifests, namespace));
    for (const { reports } of changed) reports.forEach(report);
    const objects = changed.map(({ object }) => object);
    terminal.write(output === "yaml" ? formatManifests(objects) : asList(objects));
    return 0;
  } catch (cause) {
    terminal.writeError(`malla ${mode}: ${describeError(cause)}\n`);
    return exitCodeOf(cause);
  }
}

function changeAll(
  manifests: readonly Manifest[],
  change: Change,
  namespaces: NamespaceLookup,
): readonly InjectedObject[] {
  return manifests.map((manifest) => {
    try {
      return change(manifest.raw, namespaces);
    } catch (cause) {
      const where = `${manifest.file}:${manifest.line}`;
      throw new Fault("invalid_argument", `${where}: ${describeError(cause)}`);
    }
  });
}

/** Tells places from flags: a word that follows a flag without `=` is its value. */
function splitWords(
  schema: Schema,
  args: readonly string[],
): { places: string[]; flags: string[] } {
  const places: string[] = [];
  const flags: string[] = [];
  const settings: readonly Setting[] = Object.values(schema);
  const switches = new Set(
    settings.filter(({ type }) => type.isBoolean)
      .flatMap(({ flag }) => [`--${flag}`, `--no-${flag}`]),
  );
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    const flag = SHORT_FLAGS[word] ?? word;
    if (flag === "-" || !flag.startsWith("-")) places.push(flag);
    else {
      flags.push(flag);
      const value = args[at + 1];
      if (!flag.includes("=") && !switches.has(flag) && value !== undefined) {
        flags.push(value);
        at++;
      }
    }
  }
  return { places, flags };
}

/** Reads a file, the files of a folder, or standard input. Throws with every fault of the manifests. */
async function readPlace(mode: string, place: string): Promise<readonly Manifest[]> {
  const texts = await readTexts(place);
  const read = texts.map(({ name, text }) => parseManifests(text, name));
  const errors = read.flatMap((file) => file.errors);
  if (errors.length > 0) throw new Fault("invalid_argument", errors.join(`\nmalla ${mode}: `));
  return read.flatMap((file) => file.manifests);
}

async function readTexts(place: string): Promise<{ name: string; text: string }[]> {
  if (place === "-") return [{ name: "standard input", text: await Bun.stdin.text() }];
  try {
    if (!statSync(place).isDirectory()) {
      return [{ name: place, text: await readFile(place, "utf8") }];
    }
    const names = (await readdir(place)).filter((name) => /\.(ya?ml|json)$/.test(name)).sort();
    const paths = names.map((name) => join(place, name));
    return await Promise.all(
      paths.map(async (path) => ({ name: path, text: await readFile(path, "utf8") })),
    );
  } catch (cause) {
    throw new Fault("not_found", `Cannot read "${place}"`, { cause });
  }
}

/** Namespaces are known as far as they are among the manifests. */
function namespacesOf(manifests: readonly Manifest[], unnamed: string): NamespaceLookup {
  const known = new Map<string, InjectNamespace>();
  for (const { raw } of manifests) {
    const { metadata } = raw;
    if (raw["kind"] !== "Namespace") continue;
    checkMetadata(metadata, "metadata");
    const name = metadata?.name ?? "";
    const { annotations = {}, labels = {} } = metadata ?? {};
    known.set(name, { name, annotations, labels });
  }
  return (name) => {
    const wanted = name ?? unnamed;
    return known.get(wanted) ?? { name: wanted, annotations: {} };
  };
}

function report({ object, outcome, reason, warnings = [] }: ObjectReport): void {
  const why = reason === undefined ? "" : `: ${reason}`;
  process.stderr.write(`${object} ${outcome}${why}\n`);
  for (const warning of warnings) process.stderr.write(`  warning: ${warning}\n`);
}

function asList(items: readonly unknown[]): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2)}\n`;
}
