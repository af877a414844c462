/** Reading `--flag value`, `--flag=value`, `--flag` and `--no-flag` from a mode's arguments. */

import { nearest } from "../base/nearest.ts";
import { envNames, type Schema, type Setting } from "./definition.ts";

/** The flag that names a file of settings; every mode has it. */
export const CONFIG_FLAG = "config";

/** What the arguments say: text by the setting's name, and what is wrong with the rest. */
export interface Flags {
  readonly values: ReadonlyMap<string, string>;
  readonly configFile: string | undefined;
  readonly problems: readonly string[];
}

/** Reads the arguments of a mode. Of a flag given twice the last counts; lists add up. */
export function readFlags(settings: Schema, args: readonly string[]): Flags {
  const byFlag = new Map<string, string>();
  for (const [key, { flag }] of Object.entries(settings)) if (flag) byFlag.set(flag, key);
  const values = new Map<string, string>();
  const problems: string[] = [];
  let configFile: string | undefined;

  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? "";
    const match = /^--([A-Za-z0-9][A-Za-z0-9-]*)(?:=([^]*))?$/.exec(word);
    if (match === null) {
      problems.push(`Unexpected argument "${word}": expected flags such as --name value`);
      continue;
    }
    const [, name = "", inline] = match;
    const found = findFlag(name, byFlag, settings);
    if (found === undefined) {
      // Skip the value of the unknown flag too, else it would be reported a second time.
      if (inline === undefined && !(args[at + 1] ?? "--").startsWith("--")) at++;
      problems.push(unknownFlag(name, [...byFlag.keys(), CONFIG_FLAG], settings));
      continue;
    }
    const next = args[at + 1];
    const takesNext = inline === undefined && !found.isSwitch;
    if (takesNext && (next === undefined || next.startsWith("--"))) {
      problems.push(`Flag --${name} needs a value: write --${name} VALUE or --${name}=VALUE`);
      continue;
    }
    if (takesNext) at++;
    const text = inline ?? (found.isSwitch ? found.switchText : next ?? "");
    if (found.key === undefined) configFile = text;
    else if (found.isList && values.has(found.key)) {
      values.set(found.key, `${values.get(found.key)},${text}`);
    } else values.set(found.key, text);
  }
  return { values, configFile, problems };
}

/** What a flag's name stands for; `key` is undefined for the file of settings. */
interface FoundFlag {
  readonly key: string | undefined;
  readonly isSwitch: boolean;
  readonly switchText: string;
  readonly isList: boolean;
}

function findFlag(
  name: string,
  byFlag: ReadonlyMap<string, string>,
  settings: Schema,
): FoundFlag | undefined {
  if (name === CONFIG_FLAG) {
    return { key: undefined, isSwitch: false, switchText: "", isList: false };
  }
  const key = byFlag.get(name);
  const setting = key === undefined ? undefined : settings[key];
  if (setting !== undefined) {
    const { isBoolean, isList } = setting.type;
    return { key, isSwitch: isBoolean, switchText: "true", isList };
  }
  const negated = name.startsWith("no-") ? byFlag.get(name.slice(3)) : undefined;
  if (negated === undefined || settings[negated]?.type.isBoolean !== true) return undefined;
  return { key: negated, isSwitch: true, switchText: "false", isList: false };
}

function unknownFlag(name: string, flags: readonly string[], settings: Schema): string {
  const byEnv = Object.values(settings).find((setting) => isOnlyEnv(setting, name));
  if (byEnv !== undefined) return `Unknown flag --${name}: set ${envNames(byEnv)[0]}`;
  const meant = nearest(name, flags);
  const hint = meant === undefined ? "--help tells what there is" : `did you mean --${meant}?`;
  return `Unknown flag --${name}: ${hint}`;
}

function isOnlyEnv(setting: Setting, name: string): boolean {
  const asVariable = name.toUpperCase().replaceAll("-", "_");
  return setting.flag === undefined &&
    envNames(setting).some((env) => env.endsWith(`_${asVariable}`));
}
