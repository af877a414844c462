/**
 * `malla inject FILE|DIR|-`: manifests in, the same manifests with proxies out, on standard output; what
 * was done to which object on standard error. For `kubectl apply -f -`.
 */

import { statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describeError, Fault } from "../lib/base/fault.ts";
import {
  ConfigFault,
  defineSettings,
  exitCodeOf,
  helpText,
  loadSettings,
  nonEmpty,
  oneOf,
  type Setting,
  wantsHelp,
} from "../lib/config/mod.ts";
import { environment } from "../lib/host/process.ts";
import {
  type InjectNamespace,
  injectOptionsOf,
  injectSettings,
  injectWorkload,
  type NamespaceLookup,
  type ObjectReport,
} from "../lib/inject/mod.ts";
import { checkMetadata } from "../lib/inject/object.ts";
import { type Manifest, parseManifests } from "../lib/source/files/manifest.ts";
import { formatManifests } from "../lib/source/files/manifest-text.ts";
import { readSettingsText } from "./settings-mode.ts";

/** What `malla inject` is told. */
export const injectModeSettings = defineSettings("inject", {
  ...injectSettings,
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
});

const USAGE = "Usage: malla inject FILE|DIR|- … [--flag value …]\n\n" +
  "Reads Kubernetes manifests (- is standard input), adds the proxy to every pod that does not refuse\n" +
  "it, and writes all objects to standard output.\n\n";

/** Flags that people know from kubectl. */
const SHORT_FLAGS: Readonly<Record<string, string>> = { "-o": "--output", "-n": "--namespace" };

/** Runs the mode; resolves to 0, 1 (nothing written) or 64 (wrong flags). */
export async function run(args: readonly string[]): Promise<number> {
  if (wantsHelp(args)) {
    process.stdout.write(USAGE + helpText(injectModeSettings).split("\n").slice(1).join("\n"));
    return 0;
  }
  try {
    const { places, flags } = splitWords(args);
    const sources = { args: flags, env: environment(), readFile: readSettingsText };
    const settings = loadSettings(injectModeSettings, sources);
    if (places.length === 0) throw new ConfigFault("inject", ["expected FILE, DIR or -"]);
    const options = injectOptionsOf(settings, true, readSettingsText);
    const manifests = (await Promise.all(places.map(readPlace))).flat();
    const namespaces = namespacesOf(manifests, settings.namespace);
    const injected = manifests.map((manifest) => {
      try {
        return injectWorkload(manifest.raw, namespaces, options);
      } catch (cause) {
        const where = `${manifest.file}:${manifest.line}`;
        throw new Fault("invalid_argument", `${where}: ${describeError(cause)}`);
      }
    });
    for (const { reports } of injected) reports.forEach(report);
    const objects = injected.map(({ object }) => object);
    process.stdout.write(settings.output === "yaml" ? formatManifests(objects) : asList(objects));
    return 0;
  } catch (cause) {
    process.stderr.write(`malla inject: ${describeError(cause)}\n`);
    return exitCodeOf(cause);
  }
}

/** Tells places from flags: a word that follows a flag without `=` is its value. */
function splitWords(args: readonly string[]): { places: string[]; flags: string[] } {
  const places: string[] = [];
  const flags: string[] = [];
  const settings: readonly Setting[] = Object.values(injectModeSettings.settings);
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
async function readPlace(place: string): Promise<readonly Manifest[]> {
  const texts = await readTexts(place);
  const read = texts.map(({ name, text }) => parseManifests(text, name));
  const errors = read.flatMap((file) => file.errors);
  if (errors.length > 0) throw new Fault("invalid_argument", errors.join("\nmalla inject: "));
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
    known.set(name, { name, annotations: metadata?.annotations ?? {} });
  }
  return (name) => {
    const wanted = name ?? unnamed;
    return known.get(wanted) ?? { name: wanted, annotations: {} };
  };
}

function report({ object, outcome, reason, warnings }: ObjectReport): void {
  const why = reason === undefined ? "" : `: ${reason}`;
  process.stderr.write(`${object} ${outcome}${why}\n`);
  for (const warning of warnings) process.stderr.write(`  warning: ${warning}\n`);
}

function asList(items: readonly unknown[]): string {
  return `${JSON.stringify({ apiVersion: "v1", kind: "List", items }, null, 2)}\n`;
}
