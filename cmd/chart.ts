/**
 * Writes the Helm charts into `deploy/chart` and `deploy/chart-cni`: `bun run chart`. No mode of the
 * executable; a test compares the committed files.
 */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Chart, chartFiles, CNI_CHART, CONTROL_PLANE_CHART } from "../lib/install/chart.ts";

/** Where the control plane's chart lies. */
export const CHART_FOLDER = new URL("../deploy/chart", import.meta.url).pathname;

/** Where the CNI plugin's chart lies. */
export const CNI_CHART_FOLDER = new URL("../deploy/chart-cni", import.meta.url).pathname;

/** Writes all files of a chart anew. */
export function writeChart(folder: string, chart: Chart): void {
  rmSync(folder, { recursive: true, force: true });
  for (const [path, text] of chartFiles(chart)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
}

if (import.meta.main) {
  writeChart(CHART_FOLDER, CONTROL_PLANE_CHART);
  writeChart(CNI_CHART_FOLDER, CNI_CHART);
}
