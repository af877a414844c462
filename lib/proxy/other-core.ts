/** A core that is a thread of its own: does what the main thread tells it, with a byte path beside it. */

import { describeError } from "../base/fault.ts";
import type { ParentThread } from "../host/worker.ts";
import { snapshotOf } from "../telemetry/snapshot.ts";
import { type CoreOptions, ProxyCore } from "./core.ts";
import type { Credentials } from "./environment.ts";
import type { FromCore, ToCore } from "./other-cores.ts";

/** Runs a core for the main thread, which also ends it. */
export function runOtherCore(
  parent: ParentThread<ToCore, FromCore>,
  options: Omit<CoreOptions, "identity" | "morePorts">,
): void {
  let held: Credentials | null = null;
  const core = new ProxyCore({ ...options, identity: { current: () => held }, morePorts: [] });
  parent.take((message) => {
    switch (message.kind) {
      case "certified": {
        const isFirst = held === null;
        held = message.credentials;
        return isFirst ? parent.post(started(core)) : undefined;
      }
      case "level":
        return options.host.log.setLevel(message.level);
      case "measure":
        return parent.post({ kind: "figures", families: snapshotOf(core.metrics.registry) });
      case "drain":
        return void core.drain().then(() => parent.post({ kind: "drained" }));
      default:
        return message satisfies never;
    }
  });
}

function started(core: ProxyCore): FromCore {
  try {
    core.start();
    return { kind: "serving" };
  } catch (thrown) {
    return { kind: "failed", message: describeError(thrown) };
  }
}
