/**
 * Loading: defaults < file < environment < flags. Every problem is collected before anything is
 * thrown, so that one start shows all that has to be mended.
 */

import { nearest } from "../base/nearest.ts";
import {
  type Definition,
  envNames,
  type Schema,
  type Setting,
  type Settings,
} from "./definition.ts";
import { ConfigFault } from "./fault.ts";
import { readSettingsFile } from "./file.ts";
import { CONFIG_FLAG, readFlags } from "./flags.ts";

/** Variables by name; what a process was given. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The variable that names a file of settings, like the flag `--config`. */
export const CONFIG_ENV = "MALLA_CONFIG";

/** Where settings come from. */
export interface SettingSources {
  /** The process's environment. */
  readonly env?: Environment;
  /** The words after the mode. */
  readonly args?: readonly string[];
  /** Reads the file that `--config` names; throws when it cannot. */
  readonly readFile?: (path: string) => string;
  /** Takes what is odd but no reason to stop: a variable of ours that this mode does not know. */
  readonly warn?: (message: string) => void;
}

/** The text that counts for a setting and the name under which it was given. */
interface Given {
  readonly name: string;
  readonly text: string;
}

/** Reads and checks all settings of a mode. Throws a `ConfigFault` that names every problem. */
export function loadSettings<S extends Schema>(
  definition: Definition<S>,
  sources: SettingSources,
): Settings<S> {
  const { mode, settings } = definition;
  const env = sources.env ?? {};
  const flags = readFlags(settings, sources.args ?? []);
  const problems = [...flags.problems];
  const path = flags.configFile ?? (env[CONFIG_ENV] || undefined);
  const file = path === undefined
    ? undefined
    : readSettingsFile(settings, path, sources.readFile ?? refuseFile);
  problems.push(...file?.problems ?? []);

  const values: Record<string, unknown> = {};
  for (const [key, setting] of Object.entries(settings)) {
    const given = fromFlags(key, setting, flags.values) ?? fromEnvironment(setting, env) ??
      fromFile(key, setting, path, file?.values) ?? fromDefault(key, setting);
    if (given === undefined) {
      values[key] = undefined;
      if (setting.required === true) problems.push(missing(key, setting));
      continue;
    }
    const parsed = setting.type.parse(given.text);
    if (parsed.ok) values[key] = parsed.value;
    else problems.push(wrong(given, setting));
  }
  for (const warning of unknownVariables(settings, env)) sources.warn?.(warning);
  if (problems.length > 0) throw new ConfigFault(mode, problems);
  // Each key was filled by its own type above; the mapped type cannot be followed by the compiler.
  return values as Settings<S>;
}

function fromFlags(
  key: string,
  setting: Setting,
  values: ReadonlyMap<string, string>,
): Given | undefined {
  const text = values.get(key);
  return text === undefined ? undefined : { name: `--${setting.flag}`, text };
}

function fromEnvironment(setting: Setting, env: Environment): Given | undefined {
  for (const name of envNames(setting)) {
    const text = env[name];
    if (text !== undefined && (text !== "" || setting.type.emptyIsValue)) return { name, text };
  }
  return undefined;
}

function fromFile(
  key: string,
  setting: Setting,
  path: string | undefined,
  values: ReadonlyMap<string, string> | undefined,
): Given | undefined {
  const text = values?.get(key);
  if (text === undefined || (text === "" && !setting.type.emptyIsValue)) return undefined;
  return { name: `"${key}" in ${path}`, text };
}

function fromDefault(key: string, setting: Setting): Given | undefined {
  return setting.default === undefined
    ? undefined
    : { name: `the default of ${key}`, text: setting.default };
}

function wrong({ name, text }: Given, setting: Setting): string {
  const value = setting.secret === true ? "the secret value" : `"${shorten(text)}"`;
  return `Cannot use ${value} for ${name}: expected ${setting.type.expected}`;
}

function missing(key: string, setting: Setting): string {
  const ways = [...envNames(setting), ...(setting.flag ? [`--${setting.flag}`] : [])];
  const name = ways.length === 0 ? `"${key}" in the file of --${CONFIG_FLAG}` : ways.join(" or ");
  return `Missing setting: set ${name} to ${setting.type.expected}`;
}

/** A wrong PEM or JSON may be long, and one line must stay one line. */
function shorten(text: string): string {
  const line = text.replaceAll(/\s+/g, " ");
  return line.length <= 120 ? line : `${line.slice(0, 117)}…`;
}

function refuseFile(path: string): string {
  throw new TypeError(`this mode takes no file, but ${path} was given`);
}

/**
 * Kubernetes gives every container variables for every Service (MALLA_IDENTITY_SERVICE_HOST,
 * MALLA_IDENTITY_PORT_8080_TCP_ADDR …); those are nobody's mistake.
 */
const SERVICE_LINK =
  /_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

function* unknownVariables(settings: Schema, env: Environment): Generator<string> {
  // A mode that is told by flags alone has no say in the environment.
  if (Object.values(settings).every((setting) => envNames(setting).length === 0)) return;
  const known = new Set([CONFIG_ENV, ...Object.values(settings).flatMap(envNames)]);
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith("MALLA_") || known.has(name) || SERVICE_LINK.test(name)) continue;
    const meant = nearest(name, [...known].filter((other) => other.startsWith("MALLA_")));
    yield `Ignoring the unknown variable ${name}${meant ? `: did you mean ${meant}?` : ""}`;
  }
}
