/**
 * `malla proxy-core NUMBER`: one core of a proxy that uses several. Not for people: the proxy starts it as a
 * thread, with the environment and the words that it was given itself.
 */

import { parentThread } from "../lib/host/worker.ts";
import { runOtherCore } from "../lib/proxy/other-core.ts";
import { startBytePath } from "../lib/proxy/path.ts";
import { coreHost, loadSettingsOf } from "./proxy-host.ts";

/** Serves until the main thread ends it. */
export function run([number, ...args]: readonly string[]): Promise<number> {
  // What the main thread has warned of is not told again.
  const { settings } = loadSettingsOf(args, () => {});
  const host = coreHost(settings, true);
  runOtherCore(parentThread(), {
    number: Number(number),
    settings,
    host,
    startPath: startBytePath,
  });
  return new Promise(() => {});
}
