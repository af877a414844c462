/** What a proxy says of itself: what it was built from, and how it keeps its connections secret. */

import { TLS_GROUPS, TLS_VERSIONS } from "../host/bun-tls.ts";
import type { Family, Gauge, Labels } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";

/** Registers `proxy_build_info`. */
export function buildFamily(registry: Registry): Family<Gauge> {
  return registry.gauge("proxy_build_info", "What this proxy was built from", [
    "git_sha",
    "profile",
    "vendor",
    "version",
  ]);
}

/**
 * Registers `malla_tls_info`. Which group a single connection has agreed on cannot be read: the runtime
 * says nothing of it. Two of our proxies agree on the first one.
 */
export function tlsFamily(registry: Registry): Family<Gauge> {
  return registry.gauge(
    "malla_tls_info",
    "Versions of TLS and groups of key exchange that this proxy offers, the preferred one first",
    ["kx_groups", "versions"],
  );
}

/** Its one series. */
export const TLS_LABELS: Labels = {
  kx_groups: TLS_GROUPS.join(","),
  versions: TLS_VERSIONS.join(","),
};
