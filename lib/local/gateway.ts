/**
 * The mesh's own namespace as its pods see it: their router, their DNS, their way out and in. One object
 * for the inner node; Services and EndpointSlices come in by `update`, as often as they change.
 */

import { describeError, Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { Net } from "../host/net.ts";
import { environment, execute } from "../host/process.ts";
import { setKernel } from "../host/sysctl.ts";
import {
  findFirewall,
  type IpVersion,
  restoreRules,
  type RunCommand,
  versionSix,
} from "../inject/mod.ts";
import type { EndpointSlice, Service } from "../source/objects.ts";
import type { Logger } from "../telemetry/logger.ts";
import { DnsResponder } from "./dns-answer.ts";
import { serveDns } from "./dns-server.ts";
import { DnsTable } from "./dns-table.ts";
import { serveEgress } from "./egress.ts";
import { FORWARDING, gatewayRules, gatewaySettings } from "./gateway-rules.ts";
import { type MeshNetworks, networksOf } from "./names.ts";
import { HOST_ADDRESS, HOST_NAME } from "./outside.ts";
import { serveInside } from "./publish.ts";
import { queryOver, resolveOver } from "./relay-client.ts";
import { placeService } from "./service-nat.ts";

/** What the gateway needs. The bridge and its addresses must exist. */
export interface GatewayOptions {
  readonly net: Net;
  readonly clock: Clock;
  readonly log: Logger;
  readonly bridge: string;
  /** The mesh's networks, one for each IP version; their gateways are the bridge's addresses. */
  readonly networks: readonly MeshNetworks[];
  readonly clusterDomain: string;
  /** The unix socket on which the outer process answers (`serveOutside`). */
  readonly outsidePath: string;
  /** The unix socket to make, on which the outer process asks for services (`publish`). */
  readonly insidePath: string;
  /** A file that only this mesh writes: the lock of the older iptables. */
  readonly lockPath: string;
}

/** Runs the programs of the packet filter, with a lock of the mesh's own and words that we know. */
export function firewallRun(lockPath: string): RunCommand {
  const env = { ...environment(), LC_ALL: "C", XTABLES_LOCKFILE: lockPath };
  return (command, input) => execute(command, input === undefined ? { env } : { env, input });
}

/** Where redirected connections arrive; any port of the mesh's namespace that nothing else has. */
const EGRESS_PORT = 15_001;
const DNS_PORT = 53;

/** The gateway at work. */
export class Gateway {
  readonly #options: GatewayOptions;
  readonly #run: RunCommand;
  readonly #stops: (() => void)[] = [];
  /** The programs that set rules, by IP version. */
  #firewalls = new Map<IpVersion, string>();
  #table: DnsTable;
  #services: readonly Service[] = [];
  #slices: readonly EndpointSlice[] = [];
  /** The rules in the kernel, by IP version. */
  readonly #applied = new Map<IpVersion, string>();
  /** Updates came after the rules were last made. */
  #stale = false;
  #applying: Promise<void> | null = null;

  private constructor(options: GatewayOptions) {
    this.#options = options;
    this.#run = firewallRun(options.lockPath);
    this.#table = this.#makeTable();
  }

  /** Sets up routing and starts all services. Throws a fault when something is missing. */
  static async start(options: GatewayOptions): Promise<Gateway> {
    const gateway = new Gateway(options);
    try {
      await gateway.#start();
      return gateway;
    } catch (cause) {
      gateway.stop();
      throw cause;
    }
  }

  /** Takes the Services and EndpointSlices of this moment; names are known when this returns. */
  update(services: readonly Service[], slices: readonly EndpointSlice[]): void {
    this.#services = services;
    this.#slices = slices;
    this.#table = this.#makeTable();
    this.#stale = true;
    this.#applying ??= this.#applyAll();
  }

  /** Resolves when the packet filter has caught up with what `update` was given. */
  async settled(): Promise<void> {
    await this.#applying;
  }

  /** Stops the services; the rules end with their namespace. */
  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
  }

  async #start(): Promise<void> {
    const { net, clock, log, networks } = this.#options;
    this.#setKernel();
    await this.#addRoutes();
    const four = await findFirewall({}, this.#run);
    this.#firewalls.set(4, four.firewall);
    if (networks.some(({ version }) => version === 6)) {
      this.#firewalls.set(6, (await versionSix(four, this.#run)).firewall);
    }
    await this.#applyOnce();
    const responder = this.#responder();
    for (const { gateway } of networks) {
      const listen = { ip: gateway, port: DNS_PORT };
      const dns = await serveDns({ net, clock, log, listen, responder });
      this.#stops.push(() => dns.stop());
    }
    this.#stops.push(serveEgress({
      net,
      clock,
      log,
      listen: networks.map(({ gateway }) => ({ ip: gateway, port: EGRESS_PORT })),
      relayPath: this.#options.outsidePath,
    }));
    const inside = serveInside({
      net,
      clock,
      path: this.#options.insidePath,
      place: (namespace, name, port) =>
        placeService(this.#services, this.#slices, { namespace, name, port }),
    });
    this.#stops.push(() => inside.stop());
  }

  /**
   * Nobody on the bridge has these addresses. The routes only bring packets before the rules, which
   * translate or refuse them all; without a route the kernel would drop them, some without a word.
   */
  async #addRoutes(): Promise<void> {
    const { bridge, networks } = this.#options;
    for (const { version, serviceNetwork } of networks) {
      for (const destination of [serviceNetwork, "default"]) {
        const command = ["ip", `-${version}`, "route", "replace", destination, "dev", bridge];
        const { code, stderr } = await this.#run(command);
        if (code === 0) continue;
        throw new Fault("failed_precondition", `Cannot route ${destination}: ${stderr.trim()}`);
      }
    }
  }

  #setKernel(): void {
    const { bridge, networks } = this.#options;
    const settings = gatewaySettings(bridge, networks.map(({ version }) => version));
    for (const [name, value] of Object.entries(settings)) {
      try {
        setKernel(name, value);
      } catch (cause) {
        // Without forwarding nothing works; the others cost time at most.
        if (Object.values<string>(FORWARDING).includes(name)) throw cause;
        this.#options.log.warn("a kernel setting was refused", { error: describeError(cause) });
      }
    }
  }

  #responder(): DnsResponder {
    const { clock, clusterDomain, outsidePath } = this.#options;
    return new DnsResponder({
      table: () => this.#table,
      clusterDomain,
      hostAddress: HOST_ADDRESS,
      resolve: (name) => resolveOver(outsidePath, name, clock),
      query: (packet) => queryOver(outsidePath, packet, clock),
      nowMs: () => clock.nowMs(),
    });
  }

  #makeTable(): DnsTable {
    const { clusterDomain, networks } = this.#options;
    const options = {
      clusterDomain,
      networks: networks.flatMap(networksOf),
      hosts: { [HOST_NAME]: HOST_ADDRESS },
    };
    return new DnsTable(options, this.#services, this.#slices);
  }

  /** Applies until the kernel has the newest rules: updates may come while a restore runs. */
  async #applyAll(): Promise<void> {
    try {
      while (this.#stale) {
        this.#stale = false;
        await this.#applyOnce();
      }
    } catch (cause) {
      this.#options.log.error("setting the packet filter failed", { error: describeError(cause) });
    } finally {
      this.#applying = null;
    }
  }

  async #applyOnce(): Promise<void> {
    const { bridge, networks } = this.#options;
    for (const network of networks) {
      const { version } = network;
      const place = { ...network, bridge, egressPort: EGRESS_PORT };
      const rules = gatewayRules(place, this.#services, this.#slices);
      if (rules === this.#applied.get(version)) continue;
      await restoreRules(this.#firewalls.get(version) ?? "", rules, false, this.#run);
      this.#applied.set(version, rules);
    }
  }
}
