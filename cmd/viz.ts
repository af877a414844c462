/** `malla viz`: the metrics API and the live page of a mesh. */

import { systemClock } from "../lib/host/clock.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { openSource } from "../lib/source/open.ts";
import { startViz } from "../lib/viz/server.ts";
import { vizSettings } from "../lib/viz/settings.ts";
import { loggerOf, runMode } from "./settings-mode.ts";

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(vizSettings, args, async (settings) => {
    const log = loggerOf(vizSettings, settings);
    const source = await openSource({ ...settings, env: environment(), random: Math.random });
    const viz = await startViz({ settings, source, clock: systemClock, log });
    await new Promise<void>((resolve) => void onSignals(["SIGTERM", "SIGINT"], () => resolve()));
    await viz.stop();
    return 0;
  });
}
