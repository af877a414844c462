/** All metric families of a proxy, for the reference; which of them it shows depends on its settings. */

import { registerProcessMetrics } from "../telemetry/process-metrics.ts";
import type { Registry } from "../telemetry/registry.ts";
import { accessLogFamily } from "./access-log.ts";
import { balancerFamilies } from "./balancer-gauges.ts";
import { controlFamilies } from "./control-metrics.ts";
import { coreFamily } from "./core.ts";
import { identityAgentFamilies } from "./identity-agent.ts";
import { buildFamily, tlsFamily } from "./info-families.ts";
import { pathFamilies } from "./path-families.ts";
import { routeFamilies } from "./route-series.ts";
import { traceFamilies } from "./trace-queue.ts";

/** Registers them. */
export function proxyFamilies(registry: Registry): void {
  pathFamilies(registry);
  routeFamilies(registry);
  balancerFamilies(registry);
  controlFamilies(registry);
  identityAgentFamilies(registry);
  buildFamily(registry);
  tlsFamily(registry);
  coreFamily(registry);
  accessLogFamily(registry);
  traceFamilies(registry);
  registerProcessMetrics(registry, () => {
    throw new Error("nobody asks for these figures");
  });
}
