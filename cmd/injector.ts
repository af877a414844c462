/**
 * `malla injector`: the mutating webhook of a cluster. Pods that ask for it, themselves or by their
 * namespace, are created with a proxy. Its certificate comes from files, or from an authority of its
 * own that its replicas keep in the cluster.
 */

import { describeError } from "../lib/base/fault.ts";
import {
  boolean,
  ConfigFault,
  defineSettings,
  duration,
  filePath,
  logSettings,
  nonEmpty,
  oneOf,
  type Settings,
  socketAddress,
  sourceSettings,
} from "../lib/config/mod.ts";
import { sleep, systemClock } from "../lib/host/clock.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { serveWeb, type WebHandler, type WebServer } from "../lib/host/web-server.ts";
import { recordAdmission } from "../lib/inject/injection-events.ts";
import { type InjectNamespace, injectOptionsOf, injectSettings } from "../lib/inject/mod.ts";
import { INJECTOR, WEBHOOK_AUTHORITY_SECRET, WEBHOOK_CONFIGURATION } from "../lib/inject/names.ts";
import { Readiness } from "../lib/inject/readiness.ts";
import { clusterSurroundings, type FindSurroundings } from "../lib/inject/surroundings.ts";
import { type Admission, webhookApp } from "../lib/inject/webhook.ts";
import { folderTls, OwnTls, type WebhookTls } from "../lib/inject/webhook-tls.ts";
import { filesSource } from "../lib/source/files/mod.ts";
import { clusterAccess } from "../lib/source/kube/access.ts";
import { KubeClient } from "../lib/source/kube/client.ts";
import { EventRecorder } from "../lib/source/kube/events.ts";
import { Leadership } from "../lib/source/kube/lease.ts";
import { problemLog } from "../lib/source/problem-log.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import { type Logger } from "../lib/telemetry/logger.ts";
import type { Counter, Family } from "../lib/telemetry/metric.ts";
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
    help: "The folder with tls.crt and tls.key; without it the injector's replicas make their own.",
  },
  onInvalid: {
    flag: "on-invalid",
    type: oneOf(["refuse", "admit"]),
    default: "refuse",
    help: "Whether a pod with a wrong annotation is refused, or admitted without a proxy.",
  },
  takeOverLinkerd: {
    flag: "take-over-linkerd",
    type: boolean(),
    default: "false",
    help: "Whether linkerd.io/inject is obeyed although Linkerd's own injector is there.",
  },
  acceptUnservedPolicy: {
    flag: "accept-unserved-policy",
    type: boolean(),
    default: "false",
    help: "Whether pods are open although objects select them that Malla does not serve yet.",
  },
  drainDelay: {
    flag: "drain-delay",
    type: duration(),
    default: "0s",
    help: "How long reviews are answered after SIGTERM, until nobody sends any more.",
  },
  podName: {
    env: "HOSTNAME",
    type: nonEmpty(),
    default: "injector",
    help: "This replica's name.",
  },
});

type InjectorSettings = Settings<typeof injectorSettings.settings>;

/** The API server waits 10 s for a webhook; of those a question may take a part. */
const QUESTION_IDLE_MS = 3_000;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(injectorSettings, args, async (settings) => {
    await serve(settings, loggerOf(injectorSettings, settings));
    return 0;
  });
}

async function serve(settings: InjectorSettings, log: Logger): Promise<void> {
  const stopping = Promise.withResolvers<string>();
  // Whatever was begun is ended in the opposite order, also when a later step fails.
  const ends: (() => unknown)[] = [
    onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal)),
  ];
  try {
    const registry = new Registry();
    const world = await openWorld(settings, log, ends);
    const app = webhookApp({
      inject: injectOptionsOf(settings, false, readSettingsText),
      surroundings: world.surroundings,
      onInvalid: settings.onInvalid,
      decided: decider(registry, log, world.tell),
    });
    const webhook = new WebhookListener(settings, log, (request) => app.fetch(request));
    ends.push(() => webhook.stop());
    await startCertificates(settings, log, world.client, webhook, ends);
    const { ip, port } = settings.adminListen;
    const handler = adminHandler({
      registry,
      waitingFor: () => [
        ...world.waitingFor(),
        ...webhook.serves ? [] : ["a certificate"],
      ],
      refresh() {},
    });
    const admin = serveWeb({ ip, port, handler });
    ends.push(() => admin.stop());
    log.info("serving", { webhook: settings.listen, admin: settings.adminListen });
    log.info("stopping", { signal: await stopping.promise });
    await sleep(systemClock, settings.drainDelay);
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Registers what the injector counts. */
export function injectorFamily(registry: Registry): Family<Counter> {
  return registry.counter(
    "malla_injector_admissions_total",
    "Objects that the API server asked about, by what became of them",
    ["namespace", "outcome", "resource"],
  );
}

/** Counts, logs and tells each decision. */
function decider(registry: Registry, log: Logger, tell: (admission: Admission) => void) {
  const admissions = injectorFamily(registry);
  return (admission: Admission): void => {
    const { resource, namespace, name, outcome, reason } = admission;
    admissions.with({ resource, namespace, outcome }).add(1);
    const fields = { resource, namespace, name, ...reason === undefined ? {} : { reason } };
    if (outcome === "failed") log.warn("not injected", fields);
    else log.info(outcome, fields);
    tell(admission);
  };
}

/** Serves HTTPS as soon as there is a certificate, and again whenever there is another one. */
class WebhookListener {
  readonly #settings: InjectorSettings;
  readonly #log: Logger;
  readonly #handler: WebHandler;
  #server: WebServer | undefined;

  constructor(settings: InjectorSettings, log: Logger, handler: WebHandler) {
    this.#settings = settings;
    this.#log = log;
    this.#handler = handler;
  }

  get serves(): boolean {
    return this.#server !== undefined;
  }

  use(tls: WebhookTls): void {
    const { ip, port } = this.#settings.listen;
    const former = this.#server;
    try {
      this.#server = serveWeb({ ip, port, handler: this.#handler, tls, shared: true });
    } catch (cause) {
      if (former === undefined) throw cause;
      this.#log.error("cannot use the new certificate", { error: describeError(cause) });
      return;
    }
    void former?.drain();
    this.#log.info(former === undefined ? "certified" : "serving with a new certificate");
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }
}

async function startCertificates(
  settings: InjectorSettings,
  log: Logger,
  client: KubeClient | undefined,
  webhook: WebhookListener,
  ends: (() => unknown)[],
): Promise<void> {
  const events = {
    changed: (tls: WebhookTls) => webhook.use(tls),
    failed: (reason: string) => log.error("trouble with certificates", { reason }),
  };
  if (settings.tlsFolder !== undefined) {
    const folder = await folderTls(settings.tlsFolder, systemClock, events);
    ends.push(() => folder.stop());
    return;
  }
  if (client === undefined) {
    throw new ConfigFault("injector", ["Missing setting: --tls-dir, expected where no cluster is"]);
  }
  const namespace = settings.controlPlaneNamespace;
  const leadership = new Leadership({
    client,
    clock: systemClock,
    namespace,
    lease: INJECTOR,
    holder: settings.podName,
    changed(leads) {
      log.info(leads ? "leads" : "does not lead any more");
      if (leads) own.look();
    },
    failed: (reason) => log.warn("cannot take part in the election", { reason }),
  });
  const own = new OwnTls({
    client,
    clock: systemClock,
    place: {
      namespace,
      secret: WEBHOOK_AUTHORITY_SECRET,
      configuration: WEBHOOK_CONFIGURATION,
      dnsName: `${INJECTOR}.${namespace}.svc`,
    },
    leads: () => leadership.leads(),
    events,
  });
  leadership.start();
  own.start();
  ends.push(() => leadership.stop(), () => own.stop());
}

/** What is around the pods that are admitted. */
interface World {
  readonly surroundings: FindSurroundings;
  readonly client?: KubeClient;
  /** What must be known before pods can be decided on, as phrases for people. */
  waitingFor(): readonly string[];
  tell(admission: Admission): void;
}

async function openWorld(
  settings: InjectorSettings,
  log: Logger,
  ends: (() => unknown)[],
): Promise<World> {
  if (settings.source.kind === "files") return await filesWorld(settings.source.path, log, ends);
  const access = await clusterAccess(settings.kubeconfig, environment());
  const client = new KubeClient(access, QUESTION_IDLE_MS);
  const source = { component: INJECTOR, instance: settings.podName };
  const recorder = new EventRecorder(client, systemClock, source, (thrown) => {
    log.warn("cannot write an event", { error: describeError(thrown) });
  });
  const surroundings = clusterSurroundings({
    client,
    clock: systemClock,
    takeOverLinkerd: settings.takeOverLinkerd,
    acceptUnserved: settings.acceptUnservedPolicy,
  });
  const readiness = new Readiness({
    surroundings,
    namespace: settings.controlPlaneNamespace,
    clock: systemClock,
    changed(missing) {
      if (missing === undefined) log.info("may look around pods again");
      else log.error("cannot decide on any pod", { reason: missing });
    },
  });
  readiness.start();
  ends.push(() => readiness.stop());
  return {
    client,
    surroundings,
    waitingFor: () => readiness.waitingFor(),
    tell: (admission) => recordAdmission(admission, recorder, client),
  };
}

async function filesWorld(path: string, log: Logger, ends: (() => unknown)[]): Promise<World> {
  const known = new Map<string, InjectNamespace>();
  let synced = false;
  const source = filesSource(path, systemClock);
  const watch = await source.watch(new Set(["Namespace"]), {
    applied({ metadata: { name, annotations } }) {
      known.set(name, { name, annotations });
    },
    deleted: ({ name }) => void known.delete(name),
    synced: () => void (synced = true),
    problems: problemLog(log, source.name),
  });
  ends.push(() => watch.stop());
  return {
    surroundings: (name) => {
      const namespace = known.get(name) ?? { name, annotations: {} };
      return Promise.resolve({ namespace, obeyLinkerd: true });
    },
    waitingFor: () => synced ? [] : ["the namespaces"],
    tell() {},
  };
}
