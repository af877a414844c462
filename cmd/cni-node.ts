/**
 * `malla cni-node`: the part of the mesh that runs once on each node. It keeps the CNI plugin in the
 * node's network configuration, takes it back at its end, and has pods come again that were too early.
 */

import { describeError } from "../lib/base/fault.ts";
import { NodeFiles } from "../lib/cni/node-files.ts";
import { NodeKeeper } from "../lib/cni/node-keeper.ts";
import { Repair } from "../lib/cni/repair.ts";
import {
  boolean,
  defineSettings,
  filePath,
  logSettings,
  nonEmpty,
  type Settings,
  socketAddress,
  sourceSettings,
  string,
} from "../lib/config/mod.ts";
import { systemClock } from "../lib/host/clock.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { serveWeb } from "../lib/host/web-server.ts";
import { clusterAccess } from "../lib/source/kube/access.ts";
import { KubeClient } from "../lib/source/kube/client.ts";
import { EventRecorder } from "../lib/source/kube/events.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import type { Logger } from "../lib/telemetry/logger.ts";
import type { Counter, Family } from "../lib/telemetry/metric.ts";
import { Registry } from "../lib/telemetry/registry.ts";
import { loggerOf, runMode } from "./settings-mode.ts";

/** What it is told. */
export const cniNodeSettings = defineSettings("cni-node", {
  ...logSettings,
  kubeconfig: sourceSettings.kubeconfig,
  netFolder: {
    flag: "dest-cni-net-dir",
    type: filePath(),
    default: "/etc/cni/net.d",
    help: "The node's folder of network configurations.",
  },
  binFolder: {
    flag: "dest-cni-bin-dir",
    type: filePath(),
    default: "/opt/cni/bin",
    help: "The node's folder of CNI plugins.",
  },
  root: {
    flag: "host-root",
    type: string(),
    default: "",
    help: "Below which folder both are mounted here.",
  },
  node: {
    env: "MALLA_NODE_NAME",
    flag: "node-name",
    type: nonEmpty(),
    required: true,
    help: "The node's name.",
  },
  repair: {
    flag: "repair",
    type: boolean(),
    default: "true",
    help:
      "Whether pods whose network was made without the plugin are deleted, so that they come again.",
  },
  adminListen: {
    env: "MALLA_ADMIN_LISTEN_ADDR",
    flag: "admin-listen",
    type: socketAddress(),
    default: "127.0.0.1:9998",
    help: "Where /live, /ready and /metrics are served, in the node's own network.",
  },
});

type CniNodeSettings = Settings<typeof cniNodeSettings.settings>;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (it failed) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(cniNodeSettings, args, async (settings) => {
    await serve(settings, loggerOf(cniNodeSettings, settings));
    return 0;
  });
}

/** Registers what it counts. */
export function cniNodeFamily(registry: Registry): Family<Counter> {
  return registry.counter(
    "malla_cni_repaired_pods_total",
    "Pods that were deleted because their network was made without the plugin, by their namespace",
    ["namespace"],
  );
}

async function serve(settings: CniNodeSettings, log: Logger): Promise<void> {
  const { netFolder, binFolder, root, adminListen } = settings;
  const stopping = Promise.withResolvers<string>();
  onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal));
  const registry = new Registry();
  const access = await clusterAccess(settings.kubeconfig, environment());
  const places = { netFolder, binFolder, root, executable: process.execPath };
  const keeper = new NodeKeeper({
    files: new NodeFiles(places, access),
    clock: systemClock,
    changed: (names) => log.info("changed", { names }),
    failed: (reason) => log.warn("the plugin is not in its place", { reason }),
  });
  const repair = repairOf(settings, new KubeClient(access), keeper, registry, log);
  const { ip, port } = adminListen;
  const handler = adminHandler({
    registry,
    waitingFor: () => keeper.waitingFor(),
    refresh() {},
  });
  const admin = serveWeb({ ip, port, handler });
  try {
    keeper.start();
    if (settings.repair) repair.start();
    log.info("serving", { admin: adminListen, node: settings.node });
    log.info("stopping", { signal: await stopping.promise });
  } finally {
    repair.stop();
    await keeper.stop();
    await admin.stop();
  }
}

function repairOf(
  settings: CniNodeSettings,
  client: KubeClient,
  keeper: NodeKeeper,
  registry: Registry,
  log: Logger,
): Repair {
  const repaired = cniNodeFamily(registry);
  const source = { component: "malla-cni", instance: settings.node };
  return new Repair({
    client,
    clock: systemClock,
    events: new EventRecorder(client, systemClock, source, (thrown) => {
      log.warn("cannot write an event", { error: describeError(thrown) });
    }),
    node: settings.node,
    readySinceMs: () => keeper.readySinceMs,
    repaired(namespace, name) {
      repaired.with({ namespace }).add(1);
      log.info("deleted a pod that came before the plugin", { namespace, name });
    },
    failed: (reason) => log.warn("cannot look at the node's pods", { reason }),
  });
}
