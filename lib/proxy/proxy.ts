/**
 * One proxy, put together and run. Order: the admin port is served at once; then the identity is asked
 * for; only with a certificate are the inbound and outbound ports opened and the control plane asked
 * for policies, so that nothing is ever served without an identity. Ends by draining.
 *
 *     starting ──certified──▶ serving ──drain──▶ draining ──idle or out of time──▶ stopped
 *        └────────────────────────┴── a port is taken, a drain before serving ──▶ stopped
 *
 * This thread carries traffic itself (`core.ts`); further cores, where the settings ask for them, are
 * threads that get their certificate from here and whose figures are added to these.
 */

import type { HttpServer } from "../host/http-server.ts";
import type { ProcessStats } from "../host/process-stats.ts";
import { formatAddress } from "../mesh/address.ts";
import type { IdentityFiles } from "../pki/certificate-loop.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Labels } from "../telemetry/metric.ts";
import { buildFamily, TLS_LABELS, tlsFamily } from "./info-families.ts";
import { registerProcessMetrics } from "../telemetry/process-metrics.ts";
import { serveAdmin } from "./admin.ts";
import { type CoreHost, type CoreOptions, ProxyCore } from "./core.ts";
import { IdentityAgent } from "./identity-agent.ts";
import type { ProxyMetrics } from "./metrics.ts";
import type { OtherCores } from "./other-cores.ts";
import type { ProxySettings } from "./settings.ts";

/** The machine as the proxy uses it. */
export interface ProxyHost extends CoreHost {
  readonly readToken: () => Promise<Uint8Array>;
  readonly readProcess: () => ProcessStats;
  /** The variables that `/env.json` may choose from. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What a proxy is made from. */
export interface ProxyOptions extends Pick<CoreOptions, "startPath"> {
  readonly settings: ProxySettings;
  readonly host: ProxyHost;
  /** The cores besides this thread; null with a single core. */
  readonly otherCores: OtherCores | null;
  /** The key and request of `IDENTITY_DIR`; absent: made in memory. */
  readonly identityFiles: IdentityFiles | undefined;
  /** `version` and the like. */
  readonly build: Labels;
  /** Somebody asked for the end through the admin port. */
  readonly shutdown: () => void;
}

/** One running proxy. */
export class Proxy {
  readonly #options: ProxyOptions;
  readonly #core: ProxyCore;
  readonly #identity: IdentityAgent;
  #admin: HttpServer | null = null;
  #phase: "starting" | "serving" | "draining" | "stopped" = "starting";

  constructor(options: ProxyOptions) {
    const { settings, host, otherCores } = options;
    this.#options = options;
    this.#core = new ProxyCore({
      settings,
      host,
      startPath: options.startPath,
      identity: { current: () => this.#identity.current() },
      number: otherCores === null ? null : 1,
      morePorts: [settings.adminListen.port],
    });
    const { registry } = this.metrics;
    this.metrics.beforeText(registerProcessMetrics(registry, host.readProcess));
    buildFamily(registry).with(options.build).set(1);
    tlsFamily(registry).with(TLS_LABELS).set(1);
    this.#identity = new IdentityAgent({
      name: settings.localName,
      serverName: settings.serverName ?? settings.localName,
      trustAnchors: settings.trustAnchors,
      certifier: this.#core.control.certifier,
      readToken: host.readToken,
      files: options.identityFiles,
      refreshMinMs: settings.refreshMinMs,
      refreshMaxMs: settings.refreshMaxMs,
      clock: host.clock,
      log: host.log,
      registry,
      renewed: (credentials) => otherCores?.certified(credentials),
    });
  }

  /** This thread's figures. */
  get metrics(): ProxyMetrics {
    return this.#core.metrics;
  }

  /** Where the admin port is served; the port is the real one when 0 was asked for. */
  get adminPort(): number {
    return this.#admin?.address.port ?? 0;
  }

  /** Certified, and listening on all cores. */
  get isReady(): boolean {
    return this.#phase === "serving";
  }

  /**
   * Runs until the proxy serves, or was ended before it could. Throws `unavailable` when a port is
   * taken, `invalid_argument` for trust anchors that cannot be read; the caller then stops it.
   */
  async start(): Promise<void> {
    const { settings, host, otherCores } = this.#options;
    this.#admin = serveAdmin(settings.adminListen, {
      isReady: () => this.isReady,
      metricsText: () => this.#metricsText(),
      env: host.env,
      log: this.#log(),
      policy: () => this.#core.policies.port(settings.adminListen.port).current,
      // Only after this turn, so that whoever asked still gets the answer.
      shutdown: settings.shutdownEndpoint
        ? () => host.clock.afterTurn(this.#options.shutdown)
        : null,
    });
    this.#identity.start();
    await this.#identity.certified();
    if (this.#phase !== "starting") return;
    this.#core.start();
    await otherCores?.serving();
    if (this.#phase !== "starting") return;
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
    await Promise.all([this.#core.drain(), this.#options.otherCores?.drain()]);
    await this.stop();
  }

  /** Ends the control side at once. A byte path that serves is to be drained before. */
  async stop(): Promise<void> {
    if (this.#phase === "stopped") return;
    this.#phase = "stopped";
    this.#identity.stop();
    this.#core.stop();
    this.#options.otherCores?.stop();
    await this.#admin?.stop();
  }

  async #metricsText(): Promise<string> {
    const { otherCores } = this.#options;
    return this.metrics.text(otherCores === null ? [] : await otherCores.figures());
  }

  /** A change of the level is one of all cores. */
  #log(): Logger {
    const { host: { log }, otherCores } = this.#options;
    if (otherCores === null) return log;
    return {
      ...log,
      setLevel(level) {
        log.setLevel(level);
        otherCores.setLogLevel(level);
      },
    };
  }
}
