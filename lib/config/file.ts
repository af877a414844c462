/**
 * Settings from a YAML or JSON file: one object, each key the setting's name in the program
 * (`inboundListen`). Values become text, so that all sources are read by the same types.
 */

import { describeError } from "../base/fault.ts";
import { nearest } from "../base/nearest.ts";
import { parseYaml } from "../host/yaml.ts";
import type { Schema } from "./definition.ts";

/** What a file says, and what is wrong with it. */
export interface FileValues {
  readonly values: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

/** Reads the settings of a file. `readFile` throws when there is none. */
export function readSettingsFile(
  settings: Schema,
  path: string,
  readFile: (path: string) => string,
): FileValues {
  const values = new Map<string, string>();
  const problems: string[] = [];
  const content = readObject(path, readFile);
  if (typeof content === "string") return { values, problems: [content] };
  for (const [key, value] of Object.entries(content)) {
    const setting = settings[key];
    if (setting === undefined) {
      const meant = nearest(key, Object.keys(settings));
      const hint = meant === undefined ? "" : `: did you mean "${meant}"?`;
      problems.push(`Unknown setting "${key}" in ${path}${hint}`);
    } else if (value !== null) values.set(key, textOf(value));
  }
  return { values, problems };
}

/** The file's object, or the sentence that says why there is none. */
function readObject(
  path: string,
  readFile: (path: string) => string,
): Readonly<Record<string, unknown>> | string {
  let content: unknown;
  try {
    const text = readFile(path);
    content = path.endsWith(".json") ? JSON.parse(text) : parseYaml(text);
  } catch (error) {
    return `Cannot read the settings file ${path}: ${describeError(error)}`;
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content)) {
    return `Cannot read the settings file ${path}: expected an object such as "logLevel: info"`;
  }
  return { ...content };
}

function textOf(value: unknown): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map(textOf).join(",");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
