/**
 * Writes the Helm chart into `deploy/chart`: `bun run chart`. No mode of the executable; a test
 * compares the committed files.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { chartFiles } from "../lib/install/chart.ts";

/** Where the chart lies. */
export const CHART_FOLDER = new URL("../deploy/chart", import.meta.url).pathname;

/** Writes all files anew. */
export function writeChart(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  for (const [path, text] of chartFiles()) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

if (import.meta.main) writeChart(CHART_FOLDER);
