/**
 * `malla controller`: destination and policy of the mesh. It watches a source of objects and answers
 * proxies over gRPC, with a certificate that it gets from the identity service as they do.
 */

import { describeError } from "../lib/base/fault.ts";
import {
  boolean,
  ConfigFault,
  defineSettings,
  filePath,
  hostPort,
  inboundPolicySettings,
  logSettings,
  meshSettings,
  networkSettings,
  nonEmpty,
  ports,
  readTrustAnchors,
  type Settings,
  socketAddress,
  sourceSettings,
  trustAnchorSettings,
} from "../lib/config/mod.ts";
import { Channel } from "../lib/contract/channel.ts";
import { createCertifier } from "../lib/contract/client.ts";
import { type ControlServer, serveControl } from "../lib/contract/server.ts";
import {
  ConfigurationProblems,
  Control,
  INDEXED_KINDS,
  ProblemReport,
  UnservedReport,
} from "../lib/control/mod.ts";
import { createBunNet } from "../lib/host/bun-net.ts";
import { systemClock } from "../lib/host/clock.ts";
import { resolveHost } from "../lib/host/dns.ts";
import { readText } from "../lib/host/files.ts";
import type { TlsMaterial } from "../lib/host/net.ts";
import { environment, onSignals } from "../lib/host/process.ts";
import { serveWeb, type WebServer } from "../lib/host/web-server.ts";
import { formatAddress, isLoopback, type SocketAddress } from "../lib/mesh/address.ts";
import { identityName } from "../lib/mesh/identity.ts";
import { startCertificateLoop } from "../lib/pki/certificate-loop.ts";
import { clusterAccess } from "../lib/source/kube/access.ts";
import { KubeClient } from "../lib/source/kube/client.ts";
import { EventRecorder } from "../lib/source/kube/events.ts";
import { Leadership } from "../lib/source/kube/lease.ts";
import type { SourceWatcher } from "../lib/source/mod.ts";
import { openSource } from "../lib/source/open.ts";
import { problemLog } from "../lib/source/problem-log.ts";
import { adminHandler } from "../lib/telemetry/admin.ts";
import { type Logger } from "../lib/telemetry/logger.ts";
import type { Family, Gauge } from "../lib/telemetry/metric.ts";
import { Registry } from "../lib/telemetry/registry.ts";
import { DEFAULT_OPAQUE_PORTS } from "../lib/mesh/port-range.ts";
import { loggerOf, readSettingsText, runMode } from "./settings-mode.ts";

/** The controller's Deployment and Lease. */
const CONTROLLER = "malla-controller";

/** The identity service's port where no address is given. */
const IDENTITY_PORT = 8080;

/** What the controller is told. */
export const controllerSettings = defineSettings("controller", {
  ...meshSettings,
  ...logSettings,
  ...sourceSettings,
  destinationListen: {
    env: "MALLA_DESTINATION_LISTEN_ADDR",
    flag: "destination-listen",
    type: socketAddress(),
    default: "0.0.0.0:8086",
    help: "Where destinations and profiles are served.",
  },
  policyListen: {
    env: "MALLA_POLICY_LISTEN_ADDR",
    flag: "policy-listen",
    type: socketAddress(),
    default: "0.0.0.0:8090",
    help: "Where inbound and outbound policies are served.",
  },
  adminListen: {
    env: "MALLA_ADMIN_LISTEN_ADDR",
    flag: "admin-listen",
    type: socketAddress(),
    default: "0.0.0.0:9996",
    help: "Where /live, /ready and /metrics are served.",
  },
  ...networkSettings,
  ...inboundPolicySettings,
  defaultOpaquePorts: {
    env: "MALLA_DEFAULT_OPAQUE_PORTS",
    flag: "default-opaque-ports",
    type: ports(),
    default: DEFAULT_OPAQUE_PORTS,
    help: "Ports whose protocol is not looked at where no annotation says it.",
  },
  identityAddr: {
    env: "MALLA_IDENTITY_ADDR",
    flag: "identity-addr",
    type: hostPort(),
    help: "The identity service; default: malla-identity in the control plane's namespace.",
  },
  identityName: {
    env: "MALLA_IDENTITY_NAME",
    flag: "identity-name",
    type: nonEmpty(),
    help: "The name that must be in the identity service's certificate; default: malla-identity's.",
  },
  tokenFile: {
    env: "MALLA_IDENTITY_TOKEN_FILE",
    flag: "token-file",
    type: filePath(),
    default: "/var/run/secrets/tokens/linkerd-identity-token",
    help: "The token that proves who this process is; read again for each certificate.",
  },
  ...trustAnchorSettings,
  acceptUnservedPolicy: {
    flag: "accept-unserved-policy",
    type: boolean(),
    default: "false",
    help: "Whether pods are open although objects select them that Malla does not serve yet.",
  },
  podName: {
    env: "HOSTNAME",
    type: nonEmpty(),
    default: "controller",
    help: "This replica's name.",
  },
  plaintext: {
    env: "MALLA_PLAINTEXT",
    flag: "plaintext",
    type: boolean(),
    default: "false",
    help: "Serve without TLS; only on loopback addresses, for development.",
  },
});

type ControllerSettings = Settings<typeof controllerSettings.settings>;

/** Runs the mode until SIGTERM or SIGINT; resolves to 0, 1 (could not start) or 64 (wrong settings). */
export function run(args: readonly string[]): Promise<number> {
  return runMode(controllerSettings, args, async (settings) => {
    checkPlaintext(settings);
    await serve(settings, loggerOf(controllerSettings, settings));
    return 0;
  });
}

async function serve(settings: ControllerSettings, log: Logger): Promise<void> {
  const stopping = Promise.withResolvers<string>();
  // Whatever was begun is ended in the opposite order, also when a later step fails.
  const ends: (() => unknown)[] = [
    onSignals(["SIGTERM", "SIGINT"], (signal) => stopping.resolve(signal)),
  ];
  try {
    const control = new Control(settings, (call) => systemClock.afterTurn(call));
    const servers: ControlServer[] = [];
    const registry = new Registry();
    const admin = serveAdmin(settings.adminListen, registry, control, servers);
    ends.push(() => admin.stop());
    const { ip } = settings.adminListen;
    log.info("admin endpoints", { address: formatAddress({ ip, port: admin.port }) });
    const source = await openSource({ ...settings, env: environment(), random: Math.random });
    const kinds = INDEXED_KINDS.filter((kind) =>
      kind !== "Server" || !settings.acceptUnservedPolicy
    );
    const problems = new ConfigurationProblems((object, problem) => {
      log.warn("left out a part of the configuration", { object, problem });
    });
    const watcher = watcherOf(control, problems, log, source.name);
    const isFolder = settings.source.kind === "files";
    const watch = await source.watch(new Set(kinds), isFolder ? telling(watcher, log) : watcher);
    ends.push(() => watch.stop());
    if (settings.source.kind === "kube") {
      ends.push(await startReports(settings, log, registry, problems));
    }
    const certificate = openCertificate(settings, log);
    ends.push(() => certificate.stop());
    const tls = await Promise.race([certificate.first, stopping.promise.then(() => undefined)]);
    if (tls !== undefined) {
      for (const address of [settings.destinationListen, settings.policyListen]) {
        const secured = tls === "plaintext" ? {} : { tls };
        const server = await serveControl({ address, discovery: control, ...secured });
        servers.push(server);
        ends.push(() => server.close());
        log.info("listening", { address: formatAddress(server.address) });
      }
      certificate.onChange((next) => servers.forEach((server) => server.setTls(next)));
    }
    log.info("stopping", { signal: await stopping.promise });
  } finally {
    for (const end of ends.reverse()) await end();
  }
}

/** Begins to tell of objects that are not served, or not in all their parts; returns how to end that. */
async function startReports(
  settings: ControllerSettings,
  log: Logger,
  registry: Registry,
  problems: ConfigurationProblems,
): Promise<() => Promise<void>> {
  const client = new KubeClient(await clusterAccess(settings.kubeconfig, environment()));
  const gauge = unservedFamily(registry);
  const source = { component: CONTROLLER, instance: settings.podName };
  const recorder = new EventRecorder(client, systemClock, source, (thrown) => {
    log.warn("cannot write an event", { error: describeError(thrown) });
  });
  const leadership = new Leadership({
    client,
    clock: systemClock,
    namespace: settings.controlPlaneNamespace,
    lease: CONTROLLER,
    holder: settings.podName,
    changed(leads) {
      log.info(leads ? "leads" : "does not lead any more");
      if (!leads) return;
      report.look();
      problemReport.look();
    },
    failed: (reason) => log.warn("cannot take part in the election", { reason }),
  });
  let counted = new Map<string, number>();
  const report = new UnservedReport({
    client,
    clock: systemClock,
    log,
    recorder,
    leads: () => leadership.leads(),
    accepted: settings.acceptUnservedPolicy,
    counted(kinds) {
      for (const kind of counted.keys()) gauge.with({ kind }).set(0);
      for (const [kind, count] of kinds) gauge.with({ kind }).set(count);
      counted = new Map(kinds);
    },
  });
  const problemReport = new ProblemReport({
    clock: systemClock,
    recorder,
    leads: () => leadership.leads(),
    problems: () => problems.all(),
  });
  leadership.start();
  report.start();
  problemReport.start();
  return async () => {
    report.stop();
    problemReport.stop();
    await leadership.stop();
  };
}

/** Registers what the controller shows. */
export function controllerFamilies(registry: Registry): {
  readonly objects: Family<Gauge>;
  readonly watches: Family<Gauge>;
  readonly topics: Family<Gauge>;
} {
  return {
    objects: registry.gauge("malla_control_objects", "Objects in the index", ["kind"]),
    watches: registry.gauge("malla_control_watches", "Watches that are served now"),
    topics: registry.gauge("malla_control_topics", "Different answers that are watched"),
  };
}

/** Registers what it shows besides in a cluster. */
export function unservedFamily(registry: Registry): Family<Gauge> {
  return registry.gauge(
    "malla_control_unserved_objects",
    "Objects of the contract that are not served",
    ["kind"],
  );
}

function serveAdmin(
  address: SocketAddress,
  registry: Registry,
  control: Control,
  servers: readonly ControlServer[],
): WebServer {
  const { objects, watches, topics } = controllerFamilies(registry);
  const handler = adminHandler({
    registry,
    waitingFor: () => [
      ...(control.isSynced ? [] : ["the source's objects"]),
      ...(servers.length > 0 ? [] : ["a certificate"]),
    ],
    refresh() {
      const sizes = control.sizes();
      for (const [kind, count] of Object.entries(sizes.objects)) objects.with({ kind }).set(count);
      watches.with({}).set(servers.reduce((sum, server) => sum + server.openCalls(), 0));
      topics.with({}).set(sizes.topics);
    },
  });
  return serveWeb({ ip: address.ip, port: address.port, handler });
}

function watcherOf(
  control: Control,
  problems: ConfigurationProblems,
  log: Logger,
  name: string,
): SourceWatcher {
  return {
    applied(object) {
      control.applied(object);
      problems.applied(object);
    },
    deleted(ref) {
      control.deleted(ref);
      problems.deleted(ref);
    },
    synced() {
      control.synced();
      log.info("source is read", { source: name, ...control.sizes().objects });
    },
    problems: problemLog(log, name),
  };
}

/** Tells of what is not served where there is no cluster to write events into. */
function telling(watcher: SourceWatcher, log: Logger): SourceWatcher {
  return {
    ...watcher,
    applied(object) {
      if (object.kind === "Server") {
        const { namespace, name } = object.metadata;
        const message = "it is not served yet: the pods that it selects refuse all clients";
        log.warn("not served", { object: `Server ${namespace}/${name}`, message });
      }
      watcher.applied(object);
    },
  };
}

function checkPlaintext(settings: ControllerSettings): void {
  if (!settings.plaintext) return;
  for (const address of [settings.destinationListen, settings.policyListen]) {
    if (isLoopback(address.ip)) continue;
    throw new ConfigFault("controller", [
      `--plaintext with ${formatAddress(address)}: expected loopback addresses only`,
    ]);
  }
}

/** The process's own certificate, and news of it. */
interface Certificate {
  /** Resolves with the first material, or `plaintext` when none is wanted. */
  readonly first: Promise<TlsMaterial | "plaintext">;
  onChange(changed: (tls: TlsMaterial) => void): void;
  stop(): void;
}

function openCertificate(settings: ControllerSettings, log: Logger): Certificate {
  if (settings.plaintext) {
    return { first: Promise.resolve("plaintext"), onChange() {}, stop() {} };
  }
  const { controlPlaneNamespace: namespace, trustDomain, clusterDomain, tokenFile } = settings;
  const trustAnchors = readTrustAnchors("controller", settings, readSettingsText);
  const nameOf = (serviceAccount: string): string =>
    identityName({ serviceAccount, namespace, controlPlaneNamespace: namespace, trustDomain });
  const { host, port } = settings.identityAddr ??
    { host: `malla-identity.${namespace}.svc.${clusterDomain}.`, port: IDENTITY_PORT };
  const channel = new Channel({
    net: createBunNet(),
    clock: systemClock,
    resolve: () => resolveHost(host, port),
    tls: {
      serverName: settings.identityName ?? nameOf("malla-identity"),
      material: () => loop.current() ?? { certificateChain: "", privateKey: "", trustAnchors },
    },
  });
  const first = Promise.withResolvers<TlsMaterial>();
  const listeners: ((tls: TlsMaterial) => void)[] = [];
  const loop = startCertificateLoop({
    name: nameOf("malla-controller"),
    certifier: createCertifier(channel),
    readToken: async () => new TextEncoder().encode(await readText(tokenFile)),
    trustAnchors,
    clock: systemClock,
    renewed(certificate) {
      const until = new Date(certificate.expiresAtMs).toISOString();
      log.info("certified", { name: certificate.name, until });
      first.resolve(certificate);
      for (const listener of listeners) listener(certificate);
    },
    failed: (fault, retryMs) =>
      log.warn("cannot get a certificate", { error: describeError(fault), retryMs }),
  });
  return {
    first: first.promise,
    onChange: (listener) => void listeners.push(listener),
    stop() {
      loop.stop();
      channel.close();
    },
  };
}
