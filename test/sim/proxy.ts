/** A proxy on the simulated host: the real byte path, with a control plane that the scenario plays. */

import { USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";
import type { Net } from "../../lib/host/net.ts";
import type { PathContext } from "../../lib/proxy/context.ts";
import type { Credentials, PathSettings } from "../../lib/proxy/environment.ts";
import { type BytePath, startBytePath } from "../../lib/proxy/path.ts";
import type { Logger } from "../../lib/telemetry/logger.ts";
import type { Control } from "./control.ts";
import { StrictMetrics } from "./metrics.ts";
import { INBOUND_PORT, type Network, OUTBOUND_PORT, type Pod } from "./network.ts";
import type { World } from "./world.ts";

/** How long a proxy's open connections may go on when it ends. */
export const DRAIN_MS = 5_000;

/** Who a proxy is. */
export interface SimProxyOptions {
  readonly network: Network;
  readonly pod: Pod;
  readonly name: string;
  readonly credentials: Credentials | null;
  readonly control: Control;
  readonly settings?: Partial<PathSettings>;
  /** Counts the requests that may have paid for a retry. */
  readonly paying?: () => number;
}

/** One proxy. */
export class SimProxy {
  readonly name: string;
  readonly pod: Pod;
  readonly control: Control;
  readonly metrics: StrictMetrics;
  readonly path: BytePath;
  /** The byte path's own, caught when it listens. */
  readonly contexts: Set<PathContext> = new Set();
  credentials: Credentials | null;

  constructor(options: SimProxyOptions) {
    const { network, pod, name, control } = options;
    const { world } = network;
    this.name = name;
    this.pod = pod;
    this.control = control;
    this.credentials = options.credentials;
    this.metrics = new StrictMetrics(world, name, options.paying ?? (() => Infinity));
    pod.hasProxy = true;
    this.path = startBytePath({
      settings: { ...settingsOf(pod), ...options.settings },
      net: this.#net(network),
      clock: world.clock(),
      random: () => world.prng.float(),
      identity: { current: () => this.credentials },
      serverPolicies: control.serverPolicies,
      targets: control.targets,
      metrics: this.metrics,
      recorders: [],
      log: tracingLogger(world, name),
    });
  }

  /** The network, with a look at what the byte path gives to its listeners. */
  #net(network: Network): Net {
    const net = network.netOf({ pod: this.pod, name: this.name, isProxy: true });
    return {
      ...net,
      listen: (address, handler, data) => {
        this.contexts.add(data() as unknown as PathContext);
        return net.listen(address, handler, data);
      },
    };
  }
}

/** A log that goes to the world's trace. */
export function tracingLogger(world: World, name: string): Logger {
  const note = (message: string, fields?: unknown) => {
    world.note(() => `${name} logs: ${message} ${JSON.stringify(fields ?? {})}`);
  };
  return {
    error: note,
    warn: note,
    info: note,
    debug: note,
    setLevel() {},
    level: () => "debug",
  };
}

function settingsOf(pod: Pod): PathSettings {
  return {
    inboundListen: [{ ip: "0.0.0.0", port: INBOUND_PORT }],
    outboundListen: [{ ip: "127.0.0.1", port: OUTBOUND_PORT }],
    ownPorts: new Set([INBOUND_PORT, OUTBOUND_PORT]),
    inboundIps: new Set([pod.ip]),
    inboundConnectTimeoutMs: 3_000,
    outboundConnectTimeoutMs: 3_000,
    inboundDetectTimeoutMs: 10_000,
    outboundDetectTimeoutMs: 10_000,
    poolIdleTimeoutMs: 3_000,
    poolIdlePerEndpointMax: 100,
    limits: USUAL_LIMITS,
    drainMs: DRAIN_MS,
    socketMark: 0,
    clusterNetworks: [],
    explains: { inbound: true, outbound: true },
    ingress: false,
  };
}
