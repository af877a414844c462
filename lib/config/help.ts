/** `--help` of a mode, written from its settings. */

import { type Definition, envNames, type Schema, type Setting } from "./definition.ts";
import { CONFIG_FLAG } from "./flags.ts";
import { CONFIG_ENV } from "./load.ts";

const HELP_WORDS: ReadonlySet<string> = new Set(["--help", "-h"]);

/** Whether the arguments ask for help instead of a start. */
export function wantsHelp(args: readonly string[]): boolean {
  return args.some((word) => HELP_WORDS.has(word));
}

/** The help of a mode: each setting with its flag, variable, default and meaning. */
export function helpText(definition: Definition<Schema>): string {
  const blocks = Object.entries(definition.settings).map(([key, setting]) => block(key, setting));
  return `Usage: malla ${definition.mode} [--flag value …]\n\n` +
    `Settings come from defaults, a file, the environment and flags; the later wins.\n\n` +
    `${blocks.join("\n")}\n` +
    `  --${CONFIG_FLAG} FILE, ${CONFIG_ENV}\n` +
    `      A YAML or JSON file of settings, each under its name in this help's brackets.\n`;
}

function block(key: string, setting: Setting): string {
  const flag = setting.flag === undefined ? [] : [
    setting.type.isBoolean ? `--${setting.flag}` : `--${setting.flag} ${setting.type.placeholder}`,
  ];
  const names = [...flag, ...envNames(setting)].join(", ");
  return `  ${names} [${key}]\n      ${setting.help} ${status(setting)}\n`;
}

function status(setting: Setting): string {
  if (setting.required === true) return `Required: ${setting.type.expected}.`;
  if (setting.default === undefined) return `Optional: ${setting.type.expected}.`;
  const shown = setting.default === "" ? "empty" : setting.default;
  return `Default: ${shown}.`;
}
