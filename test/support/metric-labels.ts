/** Holds what a registry shows against what its families say of their labels. */

import type { Registry } from "../../lib/telemetry/registry.ts";

/** Labels of series that their families do not name, as `name{label}`. */
export function unnamedLabels(registry: Registry): string[] {
  const wrong = new Set<string>();
  for (const { family } of registry.families()) {
    const isNamed = (label: string) =>
      family.labels.some((named) =>
        named.endsWith("*") ? label.startsWith(named.slice(0, -1)) : label === named
      );
    for (const { labels } of family.series()) {
      for (const label of Object.keys(labels)) {
        // What comes above the limit of series.
        if (label === "overflow" || isNamed(label)) continue;
        wrong.add(`${family.name}{${label}}`);
      }
    }
  }
  return [...wrong];
}
