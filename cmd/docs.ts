/**
 * Writes `docs/configuration.md` from the schemas of all modes and `docs/values.md` from the values of
 * an installation: `bun run docs`. No mode of the executable; a test compares the committed pages.
 */

import { writeFileSync } from "node:fs";
import { flagsByPath } from "../lib/cli/value-flags.ts";
import { referencePage, valuesTable } from "../lib/config/mod.ts";
import { INSTALL_VALUES } from "../lib/install/values.ts";
import { proxySettings } from "../lib/proxy/settings.ts";
import { vizSettings } from "../lib/viz/settings.ts";
import { controllerSettings } from "./controller.ts";
import { identitySettings } from "./identity.ts";
import { initSettings } from "./init.ts";
import { injectModeSettings, uninjectModeSettings } from "./inject.ts";
import { injectorSettings } from "./injector.ts";

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

/** The values' page as it must be. */
export function valuesPage(): string {
  return VALUES_INTRODUCTION + valuesTable(INSTALL_VALUES, flagsByPath());
}

if (import.meta.main) {
  writeFileSync(REFERENCE_PATH, configurationPage());
  writeFileSync(VALUES_PATH, valuesPage());
}
