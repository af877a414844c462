/** `malla viz`: the metrics API and the live page of a mesh. */

import { readFileSync } from "node:fs";
import { describeError } from "../lib/base/fault.ts";
import { exitCodeOf, helpText, loadSettings, wantsHelp } from "../lib/config/mod.ts";
import { systemClock } from "../lib/host/clock.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { openSource } from "../lib/source/open.ts";
import { createLogger } from "../lib/telemetry/logger.ts";
import { startViz } from "../lib/viz/server.ts";
import { vizSettings } from "../lib/viz/settings.ts";

/** Runs until SIGTERM or SIGINT. */
export async function run(args: readonly string[]): Promise<number> {
  if (wantsHelp(args)) {
    process.stdout.write(helpText(vizSettings));
    return 0;
  }
  try {
    const settings = loadSettings(vizSettings, {
      env: environment(),
      args,
      readFile: (path) => readFileSync(path, "utf8"),
      warn: (message) => void process.stderr.write(`${message}\n`),
    });
    const log = createLogger({ level: settings.logLevel, format: settings.logFormat, name: "viz" });
    const source = await openSource({ ...settings, env: environment(), random: Math.random });
    const viz = await startViz({ settings, source, clock: systemClock, log });
    await new Promise<void>((resolve) => void onSignals(["SIGTERM", "SIGINT"], () => resolve()));
    await viz.stop();
    return 0;
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}
