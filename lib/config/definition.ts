/** The schema of a mode's settings, and the typed object that it promises. */

import { assert } from "../base/assert.ts";
import type { SettingType } from "./type.ts";

/** One setting. With neither a default nor `required`, it is undefined when nobody gives it. */
export interface Setting {
  /** What values it takes. */
  readonly type: SettingType<unknown>;
  /** Names of environment variables; the first that is set counts. */
  readonly env?: string | readonly string[];
  /** The flag without its dashes. */
  readonly flag?: string;
  /** In the form that a user would write. */
  readonly default?: string;
  /** Without it the start fails. */
  readonly required?: true;
  /** One sentence for the help. */
  readonly help: string;
  /** Never shown in messages. */
  readonly secret?: true;
}

/** Settings by the name that the program uses for them; in files they have the same name. */
export type Schema = Readonly<Record<string, Setting>>;

/** A mode and its settings. */
export interface Definition<S extends Schema> {
  /** The mode that is configured, such as `proxy`. */
  readonly mode: string;
  /** The settings by their names. */
  readonly settings: S;
}

/** The value of one setting once loaded. */
export type ValueOf<S extends Setting> = S["type"] extends SettingType<infer T>
  ? S extends { readonly default: string } | { readonly required: true } ? T : T | undefined
  : never;

/** What `loadSettings` returns for a schema. */
export type Settings<S extends Schema> = { readonly [K in keyof S]: ValueOf<S[K]> };

/** Declares the settings of a mode; two settings must not share a flag or a variable. */
export function defineSettings<const S extends Schema>(mode: string, settings: S): Definition<S> {
  const taken = new Set<string>();
  for (const [key, setting] of Object.entries(settings)) {
    const names = [...envNames(setting), ...(setting.flag ? [`--${setting.flag}`] : [])];
    for (const name of names) {
      assert(!taken.has(name), `${mode}: setting ${key} shares the name ${name} with another`);
      taken.add(name);
    }
  }
  return { mode, settings };
}

/** The environment variables of a setting, in the order in which they count. */
export function envNames(setting: Setting): readonly string[] {
  if (setting.env === undefined) return [];
  return typeof setting.env === "string" ? [setting.env] : setting.env;
}
