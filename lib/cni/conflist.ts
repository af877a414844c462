/**
 * Network configurations of a node, as texts: which one counts, and the plugin's place at the end of its
 * chain. Whatever others have written stays; only its layout as JSON may change.
 */

import { Fault } from "../base/fault.ts";
import { isRecord } from "../source/shape.ts";
import { EXCLUDED_NAMESPACES, PLUGIN } from "./names.ts";
import { CNI_VERSIONS, isKnownVersion } from "./protocol.ts";

/** What a configuration says of the plugin. */
export interface PluginEntry {
  readonly type: typeof PLUGIN;
  readonly kubeconfig: string;
  readonly excludeNamespaces: readonly string[];
}

/** The entry of a plugin with this kubeconfig, whose path is the node's. */
export function pluginEntry(kubeconfig: string): PluginEntry {
  return { type: PLUGIN, kubeconfig, excludeNamespaces: EXCLUDED_NAMESPACES };
}

/** The files of a folder that runtimes read, in the order in which they do: the first good one counts. */
export function configurationFiles(names: readonly string[]): readonly string[] {
  return names.filter((name) => /\.(?:conf|conflist|json)$/.test(name)).toSorted();
}

/** Whether the file holds a list of plugins; others hold a single one. */
export function isList(name: string): boolean {
  return name.endsWith(".conflist");
}

/** The name of the list that takes a single plugin's place. */
export function listName(name: string): string {
  return name.replace(/\.(?:conf|json)$/, ".conflist");
}

/**
 * A list with the entry at its end and nowhere else; undefined when it is so already. Throws
 * `invalid_argument` for what is no list that plugins can be chained in.
 */
export function withEntry(text: string, entry: PluginEntry): string | undefined {
  const list = listIn(text);
  const last = list.plugins.at(-1);
  const others = list.plugins.filter((plugin) => !isOurs(plugin));
  if (others.length === 0) throw wrong("it has no plugin that could make a pod's network");
  const isThere = others.length === list.plugins.length - 1 &&
    JSON.stringify(last) === JSON.stringify(entry);
  return isThere ? undefined : jsonText({ ...list.fields, plugins: [...others, entry] });
}

/** A list without the entry; undefined when there was none. Throws as `withEntry` does. */
export function withoutEntry(text: string): string | undefined {
  const { fields, plugins } = listIn(text);
  const others = plugins.filter((plugin) => !isOurs(plugin));
  return others.length === plugins.length ? undefined : jsonText({ ...fields, plugins: others });
}

/** The list of one plugin that a single plugin's configuration means. Throws `invalid_argument`. */
export function listOfOne(text: string): string {
  const { cniVersion, name, ...plugin } = objectIn(text);
  if (typeof plugin["type"] !== "string") throw wrong("it names no plugin by its type");
  return jsonText({
    ...(cniVersion === undefined ? {} : { cniVersion }),
    ...(name === undefined ? {} : { name }),
    plugins: [plugin],
  });
}

interface List {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly plugins: readonly unknown[];
}

function listIn(text: string): List {
  const fields = objectIn(text);
  const { plugins, cniVersion } = fields;
  if (!Array.isArray(plugins)) throw wrong("it has no list of plugins");
  if (!isKnownVersion(cniVersion)) {
    throw wrong(
      `its cniVersion is ${JSON.stringify(cniVersion)}: plugins are chained in ` +
        CNI_VERSIONS.join(", "),
    );
  }
  return { fields, plugins };
}

function objectIn(text: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw wrong("it is no JSON");
  }
  if (isRecord(value) && !Array.isArray(value)) return value;
  throw wrong("it is no object");
}

function isOurs(plugin: unknown): boolean {
  return isRecord(plugin) && plugin["type"] === PLUGIN;
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function wrong(reason: string): Fault {
  return new Fault("invalid_argument", reason);
}
