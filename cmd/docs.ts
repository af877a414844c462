/**
 * Writes `docs/configuration.md` from the schemas of all modes: `bun run docs`. No mode of the
 * executable; a test compares the committed page.
 */

import { writeFileSync } from "node:fs";
import { referencePage } from "../lib/config/mod.ts";
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

if (import.meta.main) writeFileSync(REFERENCE_PATH, configurationPage());
