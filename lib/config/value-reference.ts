/** The reference page of a tree of values, so that it cannot differ from the code. */

import { type Value, valuesOf, type ValueTree } from "./value-tree.ts";

/** Writes the table of all values. `flags` holds flags that give single ones, by their paths. */
export function valuesTable(tree: ValueTree, flags: ReadonlyMap<string, string>): string {
  const rows = valuesOf(tree).map(({ path, value }) => {
    const name = path.join(".");
    const flag = flags.get(name);
    const cells = [
      code(name),
      flag === undefined ? "" : code(`--${flag}`),
      escape(expectedOf(value)),
      defaultOf(value),
      escape(value.help),
    ];
    return `| ${cells.join(" | ")} |\n`;
  });
  return "| Value | Flag | What | Default | Meaning |\n| --- | --- | --- | --- | --- |\n" +
    rows.join("");
}

function expectedOf({ kind, type }: Value): string {
  if (type !== undefined) return type.expected;
  return {
    text: "a text",
    integer: "a number",
    boolean: "true or false",
    map: "a map",
    list: "a list",
  }[kind];
}

function defaultOf({ default: preset }: Value): string {
  if (preset === "") return "empty";
  return code(typeof preset === "string" ? preset : JSON.stringify(preset));
}

function code(text: string): string {
  return `\`${escape(text)}\``;
}

/** A bar would end the cell. */
function escape(text: string): string {
  return text.replaceAll("|", "\\|");
}
