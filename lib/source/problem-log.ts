/** What is wrong with a source, as log lines: each problem once, when it appears. */

import type { Logger } from "../telemetry/logger.ts";
import type { SourceWatcher } from "./mod.ts";

/** Takes all problems at each change, as a watcher is told them. `name` is the source's. */
export function problemLog(log: Logger, name: string): SourceWatcher["problems"] {
  let known: ReadonlySet<string> = new Set();
  return (problems) => {
    for (const { severity, message } of problems) {
      if (known.has(message)) continue;
      if (severity === "error") log.error("source has a problem", { problem: message });
      else log.info("source note", { note: message });
    }
    if (problems.length === 0) log.info("source has no problem any more", { source: name });
    known = new Set(problems.map(({ message }) => message));
  };
}
