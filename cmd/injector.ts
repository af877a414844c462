/**
 * `malla injector`: the mutating webhook of a cluster. Pods that ask for it, themselves or by their
 * namespace, are created with a proxy. Its certificate is read from files and again when they change.
 */

import { describeError, Fault } from "../lib/base/fault.ts";
import {
  defineSettings,
  filePath,
  logSettings,
  type Settings,
  socketAddress,
  sourceSettings,
} from "../lib/config/mod.ts";
import { systemClock } from "../lib/host/clock.ts";
import { watchFolder } from "../lib/host/files.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { serveWeb, type WebHandler, type WebServer } from "../lib/host/web-server.ts";
import { type InjectNamespace, injectOptionsOf, injectSettings } from "../lib/inject/mod.ts";
import { clusterNamespaces, type FindNamespace } from "../lib/inject/namespaces.ts";
import { type Admission, webhookApp } from "../lib/inject/webhook.ts";
import { filesSource } from "../lib/source/files/mod.ts";
import { clusterAccess } from "../lib/source/kube/access.ts";
import { problemLog } from "../lib/source/problem-log.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import { type Logger } from "../lib/telemetry/logger.ts";
import { Registry } from "../lib/telemetry/registry.ts";
import { loggerOf, readSettingsText, runMode } from "./settings-mode.ts";

/** What the injector is told. */
export const injectorSettings = defineSettings("injector", {
  ...injectSettings,
  ...logSettings,
  ...sourceSettings,
  listen: {
    env: "MALLA_INJECTOR_LISTEN_ADDR",
    flag: "listen",
    type: socketAddress(),
    default: "0.0.0.0:8443",
    help: "Where the webhook is served.",
  },
  adminListen: {
    env: "MALLA_ADMIN_LISTEN_ADDR",
    flag: "admin-listen",
    type: socketAddress(),
    default: "0.0.0.0:9995",
    help: "Where /live, /ready and /metrics are served.",
  },
  tlsFolder: {
    env: "MALLA_INJECTOR_TLS_DIR",
    flag: "tls-dir",
    type: filePath(),
    default: "/var/run/malla/tls",
    help: "The folder with tls.crt and tls.key.",
  },
});

type InjectorSettings = Settings<typeof injectorSettings.settings>;

/** The kubelet swaps a mounted secret's files one after another; then both are read. */
const SETTLE_MS = 1_000;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(injectorSettings, args, async (settings) => {
    await serve(settings, loggerOf(injectorSettings, settings));
    return 0;
  });
}

async function serve(settings: InjectorSettings, log: Logger): Promise<void> {
  const registry = new Registry();
  const admissions = registry.counter(
    "malla_injector_admissions_total",
    "Objects that the API server asked about, by what became of them.",
  );
  const namespaces = await openNamespaces(settings, log);
  const app = webhookApp({
    inject: injectOptionsOf(settings, false, readSettingsText),
    namespace: namespaces.find,
    decided(admission) {
      const { resource, namespace, outcome } = admission;
      admissions.with({ resource, namespace, outcome }).add(1);
      tell(log, admission);
    },
  });
  const stopping = Promise.withResolvers<string>();
  const off = onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal));
  const webhook = serveWebhook(settings, log, (request) => app.fetch(request));
  const { ip, port } = settings.adminListen;
  const handler = adminHandler({
    registry,
    waitingFor: () => namespaces.synced() ? [] : ["the namespaces"],
    refresh() {},
  });
  const admin = serveWeb({ ip, port, handler });
  log.info("serving", { webhook: settings.listen, admin: settings.adminListen });
  log.info("stopping", { signal: await stopping.promise });
  off();
  namespaces.stop();
  await webhook.stop();
  await admin.stop();
}

function tell(log: Logger, { outcome, ...fields }: Admission): void {
  if (outcome === "failed") log.warn("not injected", fields);
  else log.info(outcome, fields);
}

/** Serves HTTPS, and again with the new certificate whenever its files change. */
function serveWebhook(
  settings: InjectorSettings,
  log: Logger,
  handler: WebHandler,
): { stop(): Promise<void> } {
  const { tlsFolder, listen: { ip, port } } = settings;
  const start = (): WebServer => {
    const tls = { cert: readTls(tlsFolder, "tls.crt"), key: readTls(tlsFolder, "tls.key") };
    return serveWeb({ ip, port, handler, tls, shared: true });
  };
  let server = start();
  let timer = systemClock.after(0, () => {});
  const unwatch = watchFolder(tlsFolder, () => {
    timer.cancel();
    timer = systemClock.after(SETTLE_MS, () => {
      try {
        const former = server;
        server = start();
        void former.drain();
        log.info("serving with a new certificate");
      } catch (cause) {
        log.error("cannot use the new certificate", { error: describeError(cause) });
      }
    });
  });
  return {
    async stop() {
      timer.cancel();
      unwatch();
      await server.stop();
    },
  };
}

function readTls(folder: string, name: string): string {
  try {
    return readSettingsText(`${folder}/${name}`);
  } catch (cause) {
    throw new Fault("failed_precondition", `Cannot read ${folder}/${name} (--tls-dir)`, { cause });
  }
}

/** Where annotations of namespaces are found. */
interface Namespaces {
  readonly find: FindNamespace;
  synced(): boolean;
  stop(): void;
}

async function openNamespaces(settings: InjectorSettings, log: Logger): Promise<Namespaces> {
  if (settings.source.kind === "kube") {
    // Asked, not watched: a namespace that is minutes or milliseconds old counts with its first pod.
    const access = await clusterAccess(settings.kubeconfig, environment());
    return { find: clusterNamespaces(access, systemClock), synced: () => true, stop() {} };
  }
  const known = new Map<string, InjectNamespace>();
  let synced = false;
  const source = filesSource(settings.source.path, systemClock);
  const watch = await source.watch(new Set(["Namespace"]), {
    applied({ metadata: { name, annotations } }) {
      known.set(name, { name, annotations });
    },
    deleted: ({ name }) => void known.delete(name),
    synced: () => void (synced = true),
    problems: problemLog(log, source.name),
  });
  return {
    find: (name) => Promise.resolve(known.get(name) ?? { name, annotations: {} }),
    synced: () => synced,
    stop: () => watch.stop(),
  };
}
