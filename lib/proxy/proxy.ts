/**
 * One proxy, put together and run. Order: the admin port is served at once; then the identity is asked
 * for; only with a certificate are the inbound and outbound ports opened and the control plane asked
 * for policies, so that nothing is ever served without an identity. Ends by draining.
 *
 *     starting ──certified──▶ serving ──drain──▶ draining ──idle or out of time──▶ stopped
 *        └────────────────────────┴── a port is taken, a drain before serving ──▶ stopped
 */

import type { Clock, Timer } from "../host/clock.ts";
import type { ResolveHost } from "../host/dns.ts";
import type { HttpServer } from "../host/http-server.ts";
import type { Net } from "../host/net.ts";
import type { ProcessStats } from "../host/process-stats.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Asker } from "../mesh/discovery.ts";
import { portsContain } from "../mesh/port-range.ts";
import type { BytePath } from "./path.ts";
import type { IdentityFiles } from "../pki/certificate-loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Labels } from "../telemetry/metric.ts";
import { registerProcessMetrics } from "../telemetry/process-metrics.ts";
import { serveAdmin } from "./admin.ts";
import { ControlPlane } from "./control-plane.ts";
import { defaultPolicy } from "./default-policy.ts";
import type { ProxyEnvironment } from "./environment.ts";
import { IdentityAgent } from "./identity-agent.ts";
import { ProxyMetrics } from "./metrics.ts";
import { WatchedPolicies } from "./server-policies.ts";
import { pathSettings, type ProxySettings } from "./settings.ts";
import type { WatchHost } from "./steady-watch.ts";
import { StreamHealth } from "./stream-health.ts";
import { WatchedTargets } from "./targets.ts";

/** The machine as the proxy uses it. */
export interface ProxyHost {
  readonly net: Net;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly resolve: ResolveHost;
  readonly readToken: () => Promise<Uint8Array>;
  readonly readProcess: () => ProcessStats;
  /** The variables that `/env.json` may choose from. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
}

/** What a proxy is made from. */
export interface ProxyOptions {
  /** Opens the listeners: `startBytePath`. */
  readonly startPath: (environment: ProxyEnvironment) => Pick<BytePath, "drain">;
  readonly settings: ProxySettings;
  readonly host: ProxyHost;
  /** The key and request of `IDENTITY_DIR`; absent: made in memory. */
  readonly identityFiles: IdentityFiles | undefined;
  /** `version` and the like. */
  readonly build: Labels;
  /** Somebody asked for the end through the admin port. */
  readonly shutdown: () => void;
}

/** Unused series and ports are looked for this often. */
const SWEEP_MS = 10_000;
/** A look-up outlives one stream that hangs at its start: after its time-out comes one more try. */
const LOOKUP_EXTRA_MS = 3_000;

/** One running proxy. */
export class Proxy {
  readonly metrics: ProxyMetrics;
  readonly #options: ProxyOptions;
  readonly #control: ControlPlane;
  readonly #identity: IdentityAgent;
  /** Shared by all who ask the policy service, so that its absence is one line in the log. */
  readonly #policyHealth: StreamHealth;
  readonly #policies: WatchedPolicies;
  readonly #targets: WatchedTargets;
  #admin: HttpServer | null = null;
  #path: Pick<BytePath, "drain"> | null = null;
  #sweeper: Timer | null = null;
  #phase: "starting" | "serving" | "draining" | "stopped" = "starting";

  constructor(options: ProxyOptions) {
    const { settings, host } = options;
    const { clock } = host;
    this.#options = options;
    this.metrics = new ProxyMetrics({ clock, retainIdleMs: settings.metricsRetainIdleMs });
    const { registry } = this.metrics;
    this.metrics.beforeText(registerProcessMetrics(registry, host.readProcess));
    registry.gauge("proxy_build_info", "What this proxy was built from").with(options.build).set(1);
    this.#control = new ControlPlane({
      settings,
      net: host.net,
      clock,
      resolve: host.resolve,
      credentials: () => this.#identity.current(),
    });
    this.#identity = new IdentityAgent({
      name: settings.localName,
      serverName: settings.serverName ?? settings.localName,
      trustAnchors: settings.trustAnchors,
      certifier: this.#control.certifier,
      readToken: host.readToken,
      files: options.identityFiles,
      refreshMinMs: settings.refreshMinMs,
      refreshMaxMs: settings.refreshMaxMs,
      clock,
      log: host.log,
      registry,
    });
    this.#policyHealth = new StreamHealth("policy", clock, host.log);
    this.#policies = this.#makePolicies();
    this.#targets = this.#makeTargets();
  }

  /** Where the admin port is served; the port is the real one when 0 was asked for. */
  get adminPort(): number {
    return this.#admin?.address.port ?? 0;
  }

  /** Certified and listening. */
  get isReady(): boolean {
    return this.#phase === "serving";
  }

  /**
   * Runs until the proxy serves, or was ended before it could. Throws `unavailable` when a port is
   * taken, `invalid_argument` for trust anchors that cannot be read; the caller then stops it.
   */
  async start(): Promise<void> {
    const { settings, host } = this.#options;
    this.#admin = serveAdmin(settings.adminListen, {
      isReady: () => this.isReady,
      metricsText: () => this.metrics.text(),
      env: host.env,
      log: host.log,
      policy: () => this.#policies.port(settings.adminListen.port).current,
      // Only after this turn, so that whoever asked still gets the answer.
      shutdown: settings.shutdownEndpoint
        ? () => host.clock.afterTurn(this.#options.shutdown)
        : null,
    });
    this.#sweeper = host.clock.every(SWEEP_MS, () => this.#sweep());
    this.#identity.start();
    await this.#identity.certified();
    if (this.#phase !== "starting") return;
    this.#control.certified();
    this.#policies.start();
    this.#path = this.#options.startPath(this.#environment());
    this.#phase = "serving";
    host.log.info("serving", {
      inbound: formatAddress(settings.inboundListen),
      outbound: settings.outboundListen.map(formatAddress).join(","),
      admin: formatAddress({ ip: settings.adminListen.ip, port: this.adminPort }),
    });
  }

  /** Takes no new connections, lets open ones end within the grace period, then stops. */
  async drain(): Promise<void> {
    if (this.#phase !== "serving") return this.stop();
    this.#phase = "draining";
    await this.#path?.drain();
    await this.stop();
  }

  /** Ends the control side at once. A byte path that serves is to be drained before. */
  async stop(): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#identity.stop();
    this.#targets.stop();
    this.#policies.stop();
    this.#control.close();
    this.#sweeper?.cancel();
    await this.#admin?.stop();
  }

  #environment(): ProxyEnvironment {
    const { settings, host } = this.#options;
    return {
      settings: pathSettings(settings),
      net: host.net,
      clock: host.clock,
      random: host.random,
      identity: this.#identity,
      serverPolicies: this.#policies,
      targets: this.#targets,
      metrics: this.metrics,
      log: host.log,
    };
  }

  #sweep(): void {
    this.metrics.sweep();
    this.#policies.sweep();
  }

  #makePolicies(): WatchedPolicies {
    const { settings } = this.#options;
    const { adminListen, clusterNetworks, inboundDetectTimeoutMs } = settings;
    return new WatchedPolicies({
      host: this.#watchHost(),
      discovery: this.#control.discovery,
      asker: this.#asker(),
      health: this.#policyHealth,
      defaultPolicy: (port) =>
        defaultPolicy({
          name: settings.defaultPolicy,
          clusterNetworks,
          detectTimeoutMs: inboundDetectTimeoutMs,
          isOpaque: portsContain(settings.opaquePorts, port),
          needs: portsContain(settings.identityPorts, port)
            ? "identity"
            : portsContain(settings.tlsPorts, port)
            ? "tls"
            : "nothing",
        }),
      ports: [...settings.inboundPorts, adminListen.port].filter((port) => port > 0),
      idleMs: settings.inboundIdleTimeoutMs,
    });
  }

  #makeTargets(): WatchedTargets {
    const { settings, host } = this.#options;
    return new WatchedTargets({
      host: this.#watchHost(),
      discovery: this.#control.discovery,
      asker: this.#asker(),
      health: new StreamHealth("destination", host.clock, host.log),
      policyHealth: this.#policyHealth,
      profileNetworks: settings.profileNetworks,
      detectTimeoutMs: settings.outboundDetectTimeoutMs,
      idleMs: settings.outboundIdleTimeoutMs,
      lookupMs: settings.streamInitialTimeoutMs + LOOKUP_EXTRA_MS,
    });
  }

  #watchHost(): WatchHost {
    const { settings, host: { clock, random } } = this.#options;
    const times = {
      initialMs: settings.streamInitialTimeoutMs,
      idleMs: settings.streamIdleTimeoutMs,
      lifetimeMs: settings.streamLifetimeMs,
    };
    return { clock, random, times };
  }

  #asker(): Asker {
    const { destinationContext, policyWorkload } = this.#options.settings;
    return { context: destinationContext, workload: policyWorkload };
  }
}
