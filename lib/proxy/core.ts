/**
 * What one event loop of a proxy runs: the byte path with its listeners, the connections to the control
 * plane, what is watched there, and the figures. A proxy with one core has one of these; with more, each
 * core has its own and knows nothing of the others but that its identity comes from elsewhere.
 */

import type { Clock, Timer } from "../host/clock.ts";
import type { ResolveHost } from "../host/dns.ts";
import type { LineWriter } from "../host/line-writer.ts";
import type { Net } from "../host/net.ts";
import type { Asker } from "../mesh/discovery.ts";
import { portsContain } from "../mesh/port-range.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Counter, Family } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import { BalancerGauges } from "./balancer-gauges.ts";
import { ControlPlane } from "./control-plane.ts";
import { defaultPolicy } from "./default-policy.ts";
import type { IdentitySource, ProxyEnvironment } from "./environment.ts";
import { ProxyMetrics } from "./metrics.ts";
import type { BytePath } from "./path.ts";
import { Records } from "./records.ts";
import { WatchedPolicies } from "./server-policies.ts";
import { pathSettings, type ProxySettings } from "./settings.ts";
import type { WatchHost } from "./steady-watch.ts";
import { StreamHealth } from "./stream-health.ts";
import { WatchedTargets } from "./targets.ts";

/** The machine as a core uses it. */
export interface CoreHost {
  readonly net: Net;
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly resolve: ResolveHost;
  readonly log: Logger;
  /** Takes the lines of the access log; called once, and only where there is one. */
  readonly openAccessLog: () => LineWriter;
}

/** What a core is made from. */
export interface CoreOptions {
  readonly settings: ProxySettings;
  readonly host: CoreHost;
  readonly identity: IdentitySource;
  /** Its number among several, from 1; null when it is the only one. */
  readonly number: number | null;
  /** Ports whose policies are watched besides the pod's. */
  readonly morePorts: readonly number[];
  /** Opens the listeners: `startBytePath`. */
  readonly startPath: (environment: ProxyEnvironment) => Pick<BytePath, "drain">;
}

/** Unused series and ports are looked for this often. */
const SWEEP_MS = 10_000;
/** A look-up outlives one stream that hangs at its start: after its time-out comes one more try. */
const LOOKUP_EXTRA_MS = 3_000;

/** One core of a proxy. */
export class ProxyCore {
  readonly metrics: ProxyMetrics;
  readonly control: ControlPlane;
  readonly policies: WatchedPolicies;
  readonly #options: CoreOptions;
  /** Shared by all who ask the policy service, so that its absence is one line in the log. */
  readonly #policyHealth: StreamHealth;
  readonly #targets: WatchedTargets;
  #path: Pick<BytePath, "drain"> | null = null;
  #sweeper: Timer | null = null;
  readonly #records: Records;

  constructor(options: CoreOptions) {
    const { settings, host, identity } = options;
    const { clock } = host;
    this.#options = options;
    this.metrics = new ProxyMetrics({ clock, retainIdleMs: settings.metricsRetainIdleMs });
    const { registry } = this.metrics;
    this.control = new ControlPlane({
      settings,
      net: host.net,
      clock,
      resolve: host.resolve,
      credentials: () => identity.current(),
      registry,
    });
    this.#records = new Records({
      settings,
      host,
      registry,
      credentials: () => identity.current(),
    });
    this.#policyHealth = new StreamHealth("policy", clock, host.log);
    this.policies = this.#makePolicies();
    this.#targets = this.#makeTargets();
    const isFirst = (options.number ?? 1) === 1;
    const gauges = new BalancerGauges(registry, () => this.#targets.balancers(), isFirst);
    this.metrics.beforeText(() => gauges.refresh());
  }

  /** To be called once there is an identity. Throws `unavailable` when a port is taken. */
  start(): void {
    this.#sweeper = this.#options.host.clock.every(SWEEP_MS, () => this.#sweep());
    this.control.certified();
    this.policies.start();
    this.#path = this.#options.startPath(this.#environment());
  }

  /** Takes no new connections and resolves when open ones have ended, within the grace period. */
  async drain(): Promise<void> {
    await this.#path?.drain();
    await this.#records.flush();
  }

  /** Ends the control side at once. A byte path that serves is to be drained before. */
  stop(): void {
    this.#targets.stop();
    this.policies.stop();
    this.control.close();
    this.#records.close();
    this.#sweeper?.cancel();
  }

  #environment(): ProxyEnvironment {
    const { settings, host } = this.#options;
    return {
      settings: pathSettings(settings),
      net: this.#net(),
      clock: host.clock,
      random: host.random,
      identity: this.#options.identity,
      serverPolicies: this.policies,
      targets: this.#targets,
      metrics: this.metrics,
      recorders: this.#records.recorders,
      log: host.log,
    };
  }

  /** Of several cores each counts what it takes, since the kernel spreads connections by chance. */
  #net(): Net {
    const { host: { net }, number } = this.#options;
    if (number === null) return net;
    const taken = coreFamily(this.metrics.registry).with({ core: String(number) });
    return {
      ...net,
      listen: (address, handler, data) =>
        net.listen(address, handler, () => {
          taken.value++;
          return data();
        }),
    };
  }

  #sweep(): void {
    this.metrics.sweep();
    this.policies.sweep();
  }

  #makePolicies(): WatchedPolicies {
    const { settings, morePorts } = this.#options;
    const { clusterNetworks, inboundDetectTimeoutMs } = settings;
    return new WatchedPolicies({
      host: this.#watchHost(),
      discovery: this.control.discovery,
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
      ports: [...settings.inboundPorts, ...morePorts].filter((port) => port > 0),
      idleMs: settings.inboundIdleTimeoutMs,
    });
  }

  #makeTargets(): WatchedTargets {
    const { settings, host } = this.#options;
    return new WatchedTargets({
      host: this.#watchHost(),
      discovery: this.control.discovery,
      queue: { queueMax: settings.outboundQueueMax, queueMs: settings.outboundQueueMs },
      asker: this.#asker(),
      health: new StreamHealth("destination", host.clock, host.log),
      policyHealth: this.#policyHealth,
      log: host.log,
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

/** Registers what each core counts, where there are several. */
export function coreFamily(registry: Registry): Family<Counter> {
  return registry.counter(
    "malla_proxy_core_connections_total",
    "Connections that each core of this proxy has taken",
    ["core"],
  );
}
