/**
 * Writes `docs/configuration.md` from the schemas of all modes, `docs/values.md` from the values of an
 * installation and `docs/metrics.md` from the families that the modes register: `bun run docs`. No mode of
 * the executable; a test compares the committed pages.
 */

import { writeFileSync } from "node:fs";
import { CNI_FLAGS, flagsByPath, INSTALL_FLAGS, type ValueFlags } from "../lib/cli/value-flags.ts";
import { referencePage, valuesTable } from "../lib/config/mod.ts";
import { identityFamilies } from "../lib/identity/service.ts";
import { proxyFamilies } from "../lib/proxy/families.ts";
import { proxySettings } from "../lib/proxy/settings.ts";
import { metricsTables } from "../lib/telemetry/reference.ts";
import { Registry } from "../lib/telemetry/registry.ts";
import { vizSettings } from "../lib/viz/settings.ts";
import { controllerFamilies, controllerSettings, unservedFamily } from "./controller.ts";
import { cniNodeFamily, cniNodeSettings } from "./cni-node.ts";
import { identitySettings } from "./identity.ts";
import { initSettings } from "./init.ts";
import { injectModeSettings, uninjectModeSettings } from "./inject.ts";
import { injectorFamily, injectorSettings } from "./injector.ts";
import { validatorSettings } from "./network-validator.ts";

/** Where the page lies. */
export const REFERENCE_PATH = new URL("../docs/configuration.md", import.meta.url).pathname;

/** The page as it must be. */
export function configurationPage(): string {
  return referencePage([
    proxySettings,
    identitySettings,
    controllerSettings,
    vizSettings,
    injectorSettings,
    initSettings,
    validatorSettings,
    cniNodeSettings,
    injectModeSettings,
    uninjectModeSettings,
  ]);
}

/** Where the values' page lies. */
export const VALUES_PATH = new URL("../docs/values.md", import.meta.url).pathname;

const VALUES_INTRODUCTION = `# Values of an installation

This page is generated from the code by \`npm run docs\`. The values are those of \`malla install\`,
\`malla upgrade\` and of the Helm chart; a value is given, the later wins, by

1. its default, and what \`--ha\` (the chart's \`values-ha.yaml\`) changes
2. files: \`--values FILE\`
3. its flag
4. \`--set NAME=VALUE\`, \`--set-string\`, \`--set-file NAME=FILE\`

`;

const CNI_INTRODUCTION = `
## The CNI plugin

The values of \`malla install-cni\` and of the chart in \`deploy/chart-cni\`.

`;

/** The values' page as it must be. */
export function valuesPage(): string {
  const tableOf = (set: ValueFlags) => valuesTable(set.tree, flagsByPath(set));
  return VALUES_INTRODUCTION + tableOf(INSTALL_FLAGS) + CNI_INTRODUCTION + tableOf(CNI_FLAGS);
}

/** Where the metrics' page lies. */
export const METRICS_PATH = new URL("../docs/metrics.md", import.meta.url).pathname;

const METRICS_INTRODUCTION = `# Metrics

This page is generated from the code by \`npm run docs\`. Every mode answers \`GET /metrics\` on its admin port
in Prometheus' text format. A proxy's names are those of Linkerd's proxy, so its dashboards and queries work;
what begins with \`malla_\` is our own. A family without any series is not shown, and a series of a proxy that
nobody has added to for \`LINKERD2_PROXY_METRICS_RETAIN_IDLE\` is retired; if it is used again it begins at zero.

Labels that end in \`*\` stand for several:

| Labels | What they say |
| --- | --- |
| \`target_*\` | \`addr\`, \`ip\`, \`port\`: where the connection or request was going |
| \`dst_*\` | what discovery says of an endpoint: \`namespace\`, \`service\`, \`pod\`, \`deployment\` or another workload, \`serviceaccount\`, \`zone\`, \`zone_locality\`, … |
| \`srv_*\` | \`group\`, \`kind\`, \`name\`, \`port\`: the policy of an inbound port |
| \`authz_*\` | \`group\`, \`kind\`, \`name\`: what admitted the client |
| \`parent_*\` | \`group\`, \`kind\`, \`namespace\`, \`name\`, \`port\`: the Service, or the policy of an inbound port |
| \`route_*\` | \`group\`, \`kind\`, \`namespace\`, \`name\`: the route; \`probe\` for checks by the kubelet |
| \`backend_*\` | \`group\`, \`kind\`, \`namespace\`, \`name\`, \`port\`: where a route has sent an attempt |
| \`rt_*\` | a ServiceProfile's route: \`rt_route\` is its name; absent for requests of no route |

\`tls\` is \`true\`, \`no_identity\` (\`no_tls_reason\` says why) or \`opaque\` (the application's own, with its \`sni\`);
\`client_id\` and \`server_id\` are proven identities. \`peer\` is \`src\` for the client's side of the proxy, \`dst\` for
the other one. \`classification\` is \`success\` or \`failure\`: statuses from 500 on, and gRPC's 2, 4, 7, 13, 14 and 15,
unless a ServiceProfile says it otherwise. \`error\` says why there was no answer of the application's. When a
proxy lists 10,000 series, further ones are added up under \`overflow="true"\`.

`;

/** The metrics' page as it must be. */
export function metricsPage(): string {
  const admin = (port: number) => `On port ${port} of its pods.`;
  const modes: (readonly [string, string, (registry: Registry) => void])[] = [
    [
      "malla proxy",
      `${admin(4191)} With several cores the figures of all are added up.`,
      proxyFamilies,
    ],
    ["malla controller", admin(9996), (registry) => {
      controllerFamilies(registry);
      unservedFamily(registry);
    }],
    ["malla identity", admin(9990), identityFamilies],
    ["malla injector", admin(9995), injectorFamily],
    ["malla cni-node", "On 127.0.0.1:9998 of each node.", cniNodeFamily],
  ];
  const sections = modes.map(([title, text, register]) => {
    const registry = new Registry();
    register(registry);
    return { title, text, registry };
  });
  return METRICS_INTRODUCTION + metricsTables(sections);
}

if (import.meta.main) {
  writeFileSync(METRICS_PATH, metricsPage());
  writeFileSync(REFERENCE_PATH, configurationPage());
  writeFileSync(VALUES_PATH, valuesPage());
}
