/**
 * Figures: one sample is what one measurement of one data plane gave; rounds interleave the planes, so
 * that the machine's noise falls on all of them; a table shows medians, the spread (lowest–highest) and
 * the ratio to each baseline.
 */

import { cpuTimes } from "../support/lab.ts";
import type { DataPlane } from "./place.ts";

/** One measurement's figures by name. */
export type Sample = Readonly<Record<string, number>>;

/** All samples of each data plane, by its name. */
export type Samples = ReadonlyMap<string, readonly Sample[]>;

/** How one figure is shown. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly digits: number;
  /** Also shown as a multiple of each baseline's. */
  readonly ratio?: true;
}

/** Whose figures others are compared with, where they were measured. */
const BASELINES = ["envoy", "linkerd2-proxy"];

/** CPU of a plane's proxies since `before`, per unit of work, in microseconds. */
export function cpuSince(plane: DataPlane, before: CpuTimes, units: number): Sample {
  const now = cpuOf(plane);
  const userMicros = (now.userMicros - before.userMicros) / units;
  const kernelMicros = (now.kernelMicros - before.kernelMicros) / units;
  return { cpuMicros: userMicros + kernelMicros, userMicros, kernelMicros };
}

/** CPU time of a plane's proxies together. */
export interface CpuTimes {
  readonly userMicros: number;
  readonly kernelMicros: number;
}

/** What the proxies of a plane have used so far. */
export function cpuOf(plane: DataPlane): CpuTimes {
  const all = plane.proxies.map(({ pid }) => cpuTimes(pid));
  return {
    userMicros: all.reduce((sum, { userMicros }) => sum + userMicros, 0),
    kernelMicros: all.reduce((sum, { kernelMicros }) => sum + kernelMicros, 0),
  };
}

/** Measures each plane once a round; each round begins with another plane. */
export async function interleave<P extends { readonly name: string }>(
  planes: readonly P[],
  rounds: number,
  measure: (plane: P) => Promise<Sample>,
): Promise<Samples> {
  const samples = new Map<string, Sample[]>(planes.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < planes.length; turn++) {
      const plane = planes[(round + turn) % planes.length];
      if (plane !== undefined) samples.get(plane.name)?.push(await measure(plane));
    }
  }
  return samples;
}

/** A table in Markdown, under a title, with ratios to those of the baselines that were measured. */
export function table(
  title: string,
  samples: Samples,
  columns: readonly Column[],
  against: readonly string[] = BASELINES,
): string {
  const baselines = against.filter((name) => samples.has(name));
  const head = ["data plane"];
  for (const { title, ratio } of columns) {
    head.push(title, ...(ratio ? baselines.map((name) => `× ${name}`) : []));
  }
  const rows = [...samples].map(([name, list]) => [
    name,
    ...columns.flatMap((column) => cells(column, list, baselines, samples)),
  ]);
  return `\n### ${title}\n\n${markdown([head, ...rows])}`;
}

/** The middle value of a figure; NaN when nothing was measured. */
export function median(list: readonly Sample[], key: string): number {
  return sorted(list, key)[Math.floor(list.length / 2)] ?? NaN;
}

/** The value below which a share of all values lie; `values` must be in rising order. */
export function quantile(values: readonly number[], share: number): number {
  return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
}

function cells(
  column: Column,
  list: readonly Sample[],
  baselines: readonly string[],
  samples: Samples,
): string[] {
  const values = sorted(list, column.key);
  const text = (value: number) => value.toFixed(column.digits);
  const [low = NaN, high = NaN] = [values[0], values.at(-1)];
  if (!values.some(Number.isFinite)) return ["", ...(column.ratio ? baselines.map(() => "") : [])];
  const middle = median(list, column.key);
  const spread = values.length === 1 ? "" : ` (${text(low)}–${text(high)})`;
  const ratios = baselines.map((name) =>
    (middle / median(samples.get(name) ?? [], column.key)).toFixed(2)
  );
  return [`${text(middle)}${spread}`, ...(column.ratio ? ratios : [])];
}

function sorted(list: readonly Sample[], key: string): number[] {
  return list.map((sample) => sample[key] ?? NaN).sort((a, b) => a - b);
}

function markdown(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(3, ...rows.map((row) => (row[column] ?? "").length))
  );
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const [head = [], ...body] = rows;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [line(head), rule, ...body.map(line)].join("\n");
}
