/** What the main thread of a proxy and its other cores have alike: settings, and the machine as they use it. */

import { ACCESS_LOG_PENDING_CHARS_MAX } from "../lib/base/limits.ts";
import { createBunNet } from "../lib/host/bun-net.ts";
import { systemClock } from "../lib/host/clock.ts";
import { resolveHost } from "../lib/host/dns.ts";
import { createLineWriter } from "../lib/host/line-writer.ts";
import { environment } from "../lib/host/process.ts";
import type { CoreHost } from "../lib/proxy/core.ts";
import {
  type LoadedSettings,
  loadProxySettings,
  type ProxySettings,
} from "../lib/proxy/settings.ts";
import { createLogger } from "../lib/telemetry/logger.ts";
import { readSettingsText } from "./settings-mode.ts";

const STANDARD_ERROR = 2;

/** Reads the settings. Throws a `ConfigFault` that names every problem. */
export function loadSettingsOf(
  args: readonly string[],
  warn: (message: string) => void,
): LoadedSettings {
  return loadProxySettings({ env: environment(), args, readFile: readSettingsText, warn });
}

/** The machine; with several cores, each of them listens on the same ports. */
export function coreHost(settings: ProxySettings, sharesPorts: boolean): CoreHost {
  return {
    net: createBunNet({ sharesPorts }),
    clock: systemClock,
    random: Math.random,
    resolve: resolveHost,
    log: createLogger({ level: settings.logLevel, format: settings.logFormat, name: "proxy" }),
    openAccessLog: () => createLineWriter(STANDARD_ERROR, ACCESS_LOG_PENDING_CHARS_MAX),
  };
}
