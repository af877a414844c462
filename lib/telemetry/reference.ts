/** The reference of all metrics, as Markdown, written from the families that the program registers. */

import type { Registered, Registry } from "./registry.ts";

/** What one mode shows on its `/metrics`. */
export interface ModeMetrics {
  /** The section's heading. */
  readonly title: string;
  /** Where it is asked for, and what is special; a sentence or two. */
  readonly text: string;
  readonly registry: Registry;
}

/** Units by the end of a name, before `_total`. */
const UNITS: readonly (readonly [RegExp, string])[] = [
  [/_timestamp_seconds$|_start_time_seconds$/, "s since 1970"],
  [/_seconds$/, "s"],
  [/_ms$/, "ms"],
  [/_bytes$/, "bytes"],
  [/_info$/, "always 1"],
];

/** The tables of the modes in the order given. */
export function metricsTables(modes: readonly ModeMetrics[]): string {
  return modes.map(({ title, text, registry }) =>
    `## ${title}\n\n${text}\n\n` +
    "| Name | Type | Unit | Labels | Meaning |\n| --- | --- | --- | --- | --- |\n" +
    registry.families().map(row).join("")
  ).join("\n");
}

function row({ type, family: { name, help, labels }, bounds }: Registered): string {
  const unit = UNITS.find(([end]) => end.test(name.replace(/_total$/, "")))?.[1] ?? "";
  const buckets = bounds === undefined ? "" : ` Buckets: ${bounds.join(", ")}`;
  const shown = labels.map((label) => `\`${label}\``).join(" ");
  const cells = [`\`${name}\``, type, unit, shown, `${help}.${buckets && `${buckets}.`}`];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |\n`;
}
