/**
 * `malla await`: waits until the proxy of this pod is ready. The hook by which an ordinary sidecar holds
 * back the containers after it; a native sidecar needs none.
 */

import { describeError } from "../lib/base/fault.ts";
import { defineSettings, duration, port } from "../lib/config/mod.ts";
import { sleep, systemClock } from "../lib/host/clock.ts";
import { httpGet } from "../lib/host/http-get.ts";
import { runMode } from "./settings-mode.ts";

const awaitSettings = defineSettings("await", {
  port: {
    flag: "port",
    type: port(),
    default: "4191",
    help: "The proxy's admin port.",
  },
  timeout: {
    flag: "timeout",
    type: duration(),
    default: "2m",
    help: "How long to wait; after that the exit code is 1.",
  },
});

/** How often the proxy is asked: a certificate takes some tenths of a second. */
const PERIOD_MS = 100;
const ANSWER_BYTES_MAX = 65_536;

/** Runs the mode; resolves to 0 (ready), 1 (not in time) or 64 (wrong flags). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(awaitSettings, args, async ({ port, timeout }) => {
    const url = `http://127.0.0.1:${port}/ready`;
    const endMs = systemClock.monotonicMs() + timeout;
    let last = "";
    for (let leftMs = timeout; leftMs > 0; leftMs = endMs - systemClock.monotonicMs()) {
      last = await ask(url, leftMs);
      if (last === "") return 0;
      await sleep(systemClock, PERIOD_MS);
    }
    process.stderr.write(`malla await: the proxy is not ready in time: ${last}\n`);
    return 1;
  });
}

/** Empty when the proxy is ready, else why it is not. */
async function ask(url: string, timeoutMs: number): Promise<string> {
  try {
    const { status, text } = await httpGet(url, { timeoutMs, bytesMax: ANSWER_BYTES_MAX });
    return status === 200 ? "" : `status ${status}: ${text.trim()}`;
  } catch (cause) {
    // It may not listen yet: that is what is being waited for.
    return describeError(cause);
  }
}
