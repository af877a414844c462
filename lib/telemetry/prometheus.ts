/**
 * The Prometheus text exposition format, version 0.0.4: what `/metrics` of every mode answers. Knows
 * the registry only; refreshing gauges that are read on demand is the caller's work before the call.
 */

import { type Counter, type Family, type Gauge, Histogram, type Labels } from "./metric.ts";
import type { Registry } from "./registry.ts";

/** The content type of the answer. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Writes all families that have a series, in the registry's order. */
export function prometheusText(registry: Registry): string {
  const out: string[] = [];
  for (const { type, family } of registry.families()) {
    let headed = false;
    for (const { labels, metric } of family.series()) {
      if (!headed) head(out, family, type);
      headed = true;
      if (metric instanceof Histogram) histogram(out, family.name, labels, metric);
      else out.push(`${family.name}${braces(labelText(labels))} ${number(metric.value)}\n`);
    }
  }
  return out.join("");
}

function head(out: string[], family: Family<Counter | Gauge | Histogram>, type: string): void {
  const help = family.help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
  out.push(`# HELP ${family.name} ${help}\n# TYPE ${family.name} ${type}\n`);
}

function histogram(out: string[], name: string, labels: Labels, metric: Histogram): void {
  const text = labelText(labels);
  const before = text === "" ? "" : `${text},`;
  let cumulative = 0;
  for (const [index, count] of metric.counts.entries()) {
    cumulative += count;
    // The last count is of the observations above every bound.
    const bound = metric.bounds[index];
    const le = bound === undefined ? "+Inf" : number(bound);
    out.push(`${name}_bucket{${before}le="${le}"} ${cumulative}\n`);
  }
  out.push(`${name}_sum${braces(text)} ${number(metric.sum)}\n`);
  out.push(`${name}_count${braces(text)} ${cumulative}\n`);
}

function braces(text: string): string {
  return text === "" ? "" : `{${text}}`;
}

function labelText(labels: Labels): string {
  const parts: string[] = [];
  for (const name in labels) parts.push(`${name}="${escapeLabel(labels[name] ?? "")}"`);
  return parts.join(",");
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value;
}

function number(value: number): string {
  if (value === Infinity) return "+Inf";
  return value === -Infinity ? "-Inf" : String(value);
}
