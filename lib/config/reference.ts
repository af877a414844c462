/** The reference page of all settings, as Markdown, written from the same schemas as `--help`. */

import { type Definition, envNames, type Schema, type Setting } from "./definition.ts";
import { CONFIG_FLAG } from "./flags.ts";
import { CONFIG_ENV } from "./load.ts";

const INTRODUCTION = `# Configuration

This page is generated from the schemas of the program by \`bun run docs\`.

Every mode reads its settings once, at start, from four places; the later wins:

1. defaults
2. a YAML or JSON file, named by \`--${CONFIG_FLAG} FILE\` or \`${CONFIG_ENV}\`: one object whose keys are the
   names in the first column
3. environment variables
4. flags, as \`--flag value\` or \`--flag=value\`

A wrong setting stops the start with exit code 64 and a message that names each wrong setting, its value
and what was expected. Durations carry their unit: \`300ms\`, \`10s\`, \`1m\`, \`1h\`, \`1d\`.
`;

/** Writes the page for the modes in the order given. */
export function referencePage(definitions: readonly Definition<Schema>[]): string {
  return [INTRODUCTION, ...definitions.map(section)].join("\n");
}

function section({ mode, settings }: Definition<Schema>): string {
  const rows = Object.entries(settings).map(([key, setting]) => row(key, setting));
  return `## malla ${mode}\n\n` +
    "| Name | Environment | Flag | Value | Default | Meaning |\n" +
    "| --- | --- | --- | --- | --- | --- |\n" +
    rows.join("");
}

function row(key: string, setting: Setting): string {
  const environment = envNames(setting).map(code).join(", ");
  const flag = setting.flag === undefined ? "" : code(`--${setting.flag}`);
  const value = escape(setting.type.expected);
  const cells = [code(key), environment, flag, value, defaultOf(setting), escape(setting.help)];
  return `| ${cells.join(" | ")} |\n`;
}

function defaultOf(setting: Setting): string {
  if (setting.required === true) return "required";
  if (setting.default === undefined) return "";
  return setting.default === "" ? "empty" : code(setting.default);
}

function code(text: string): string {
  return `\`${escape(text)}\``;
}

/** A bar would end the cell. */
function escape(text: string): string {
  return text.replaceAll("|", "\\|");
}
