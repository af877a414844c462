/** Tables of text: aligned columns, never wrapped, nothing behind the last column. */

import { visibleLength } from "./style.ts";

/** A column. */
export interface Column {
  readonly title: string;
  readonly align: "left" | "right";
}

const GAP = "   ";

/** Formats rows under their titles; each line ends with a line break. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map((_, index) =>
    Math.max(...lines.map((cells) => visibleLength(cells[index] ?? "")))
  );
  return lines.map((cells) => {
    const padded = columns.map(({ align }, index) => {
      const cell = cells[index] ?? "";
      const blanks = " ".repeat((widths[index] ?? 0) - visibleLength(cell));
      return align === "right" ? blanks + cell : cell + blanks;
    });
    return `${padded.join(GAP).trimEnd()}\n`;
  }).join("");
}
