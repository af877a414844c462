/**
 * Byte paths of proxies over loopback sockets for tests: real sockets and TLS, with an environment in
 * which the test plays the control plane and the kernel's redirect.
 */

import { USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";
import { createBunNet } from "../../lib/host/bun-net.ts";
import { systemClock } from "../../lib/host/clock.ts";
import type { Conn, ConnHandler, Net } from "../../lib/host/net.ts";
import { formatAddress, parseNetwork, type SocketAddress } from "../../lib/mesh/address.ts";
import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type {
  ClientMatch,
  ClientPolicy,
  PortProtocol,
  RouteAction,
  ServerPolicy,
} from "../../lib/mesh/policy.ts";
import { Balancer, type BalancerOptions } from "../../lib/proxy/balance.ts";
import type {
  Credentials,
  Destination,
  OutboundTarget,
  PathSettings,
  ProxyEnvironment,
  ServerPolicyCell,
} from "../../lib/proxy/environment.ts";
import {
  DEFAULT_RETRY_BUDGET,
  type HedgePolicy,
  type RetryBudget as BudgetPolicy,
  type RetryPolicy,
  type RouteTimeouts,
} from "../../lib/mesh/reliability.ts";
import type { ProfileRoute } from "../../lib/mesh/service-profile.ts";
import { ProfileRoutes } from "../../lib/proxy/profile-routes.ts";
import { RetryBudget } from "../../lib/proxy/retry-budget.ts";
import { destinationText } from "../../lib/proxy/target-policy.ts";
import { ProxyMetrics } from "../../lib/proxy/metrics.ts";
import { type BytePath, startBytePath } from "../../lib/proxy/path.ts";
import type { Recorder } from "../../lib/proxy/outcome.ts";
import { silentLogger } from "../../lib/telemetry/logger.ts";
import type { FieldLines } from "../../lib/wire/http/mod.ts";
import { unnamedLabels } from "./metric-labels.ts";
import { makeMaterials, type TestMaterial } from "./certificates.ts";

const resource = { group: "", kind: "default", name: "test", namespace: "", port: 0 };

/** The identity of a test workload. */
export function identityOf(name: string): string {
  return `${name}.default.serviceaccount.identity.malla.cluster.local`;
}

/** A server policy that admits such clients from anywhere. */
export function serverPolicy(
  clients: ClientMatch | null,
  more: Partial<ServerPolicy> = {},
): ServerPolicy {
  const networks = ["0.0.0.0/0", "::/0"].map((text) => ({
    network: parseNetwork(text),
    except: [],
  }));
  return {
    protocol: "detect",
    detectTimeoutMs: 300,
    authorizations: clients === null ? [] : [{ networks, clients, resource }],
    resource,
    probes: [],
    probeNetworks: [],
    ...more,
  };
}

/** The policy of one inbound port; the test changes it. */
export class TestCell implements ServerPolicyCell {
  current: ServerPolicy = serverPolicy({ kind: "unauthenticated" });
  readonly #subscribers = new Set<() => void>();

  subscribe(changed: () => void): () => void {
    this.#subscribers.add(changed);
    return () => void this.#subscribers.delete(changed);
  }

  set(policy: ServerPolicy): void {
    this.current = policy;
    for (const changed of [...this.#subscribers]) changed();
  }
}

function balancerOf(options: Partial<BalancerOptions>): Balancer {
  const usual = { clock: systemClock, random: Math.random, defaultRttMs: 30, decayMs: 10_000 };
  return new Balancer({ ...usual, ...options });
}

/** An outbound target; the test changes policy and endpoints. */
export class TestTarget implements OutboundTarget {
  readonly authority: string;
  balancer: Balancer;
  policy: ClientPolicy;
  users = 0;

  constructor(destination: Destination, protocol: PortProtocol, action?: RouteAction) {
    this.authority = destinationText(destination);
    this.balancer = balancerOf({});
    const route = { resource, action: action ?? { kind: "backends", backends: [] } as const };
    this.policy = {
      protocol,
      detectTimeoutMs: 300,
      http: route,
      opaque: route,
      parent: resource,
    };
  }

  get httpBackends() {
    return [{ balancer: this.balancer, weight: 1 }];
  }
  get opaqueBackends() {
    return this.httpBackends;
  }
  added: FieldLines | null = null;
  budget = new RetryBudget(DEFAULT_RETRY_BUDGET, systemClock.monotonicMs());
  readonly routeLabels = {};
  profileRoutes: ProfileRoutes | null = null;

  endpoints(...endpoints: Partial<Endpoint>[]): this {
    const whole = endpoints.map((endpoint) => ({
      address: { ip: "127.0.0.1", port: 1 },
      weight: 10_000,
      labels: {},
      hint: "unknown" as const,
      ...endpoint,
    }));
    this.balancer.update({ kind: "add", endpoints: whole, labels: { service: "test" } });
    return this;
  }

  /** Has another balancer choose, before there are endpoints; what is left out is as usual. */
  balance(options: Partial<BalancerOptions>): void {
    this.balancer = balancerOf(options);
  }

  /** What the only endpoint is taken for once nothing is under way at it. */
  async settledLoad(): Promise<number> {
    const endpoint = this.balancer.pick(0)!;
    await until("settled", () => endpoint.pending === 0);
    return endpoint.load(systemClock.monotonicMs());
  }

  /** Has the routes of a ServiceProfile decide in place of the policy. */
  profile(routes: readonly ProfileRoute[], budget?: BudgetPolicy): void {
    if (budget !== undefined) this.budget = new RetryBudget(budget, systemClock.monotonicMs());
    this.profileRoutes = new ProfileRoutes({
      profile: { fullyQualifiedName: "web.test.svc.cluster.local", opaque: false, routes },
      authority: this.authority,
      budget: this.budget,
      labels: this.routeLabels,
      log: silentLogger,
    });
  }

  /** Sets what the route configures; what is left out stays as it is. */
  configure(
    retry?: RetryPolicy,
    timeouts?: Partial<RouteTimeouts>,
    hedge?: HedgePolicy,
  ): void {
    const none = { requestMs: 0, responseMs: 0, idleMs: 0 };
    this.policy = {
      ...this.policy,
      http: {
        ...this.policy.http,
        ...(retry === undefined ? {} : { retry }),
        ...(hedge === undefined ? {} : { hedge }),
        ...(timeouts === undefined ? {} : { timeouts: { ...none, ...timeouts } }),
      },
    };
  }
}

/** One proxy. */
export class TestProxy {
  readonly metrics = new ProxyMetrics({ clock: systemClock, retainIdleMs: 600_000 });
  readonly cells = new Map<number, TestCell>();
  readonly targets = new Map<string, TestTarget>();
  credentials: Credentials | null;
  /** Where outbound connections were going, as the kernel would tell; null: not redirected. */
  outboundOriginal: SocketAddress | null = null;
  inboundOriginal: SocketAddress | null = null;
  readonly path: BytePath;
  readonly ownPorts = new Set<number>();
  /** Look-ups that the test answers; null: all are answered at once. */
  #heldLookups: (() => void)[] | null = null;
  /** May be added to at any time. */
  readonly recorders: Recorder[] = [];

  constructor(credentials: Credentials | null, settings: Partial<PathSettings> = {}) {
    this.credentials = credentials;
    const listen = [{ ip: "127.0.0.1", port: 0 }];
    const environment: ProxyEnvironment = {
      settings: {
        inboundListen: listen,
        outboundListen: listen,
        ownPorts: this.ownPorts,
        inboundIps: new Set(["127.0.0.1"]),
        inboundConnectTimeoutMs: 300,
        outboundConnectTimeoutMs: 1_000,
        inboundDetectTimeoutMs: 300,
        outboundDetectTimeoutMs: 300,
        poolIdleTimeoutMs: 3_000,
        poolIdlePerEndpointMax: 10_000,
        limits: USUAL_LIMITS,
        drainMs: 2_000,
        socketMark: 0,
        clusterNetworks: [],
        ingress: false,
        explains: { inbound: true, outbound: true },
        ...settings,
      },
      net: this.#net(),
      clock: systemClock,
      random: Math.random,
      identity: { current: () => this.credentials },
      serverPolicies: { port: (port) => this.cell(port) },
      targets: {
        acquire: (destination, found) => {
          const answer = () => {
            const target = this.targets.get(destinationText(destination));
            if (target === undefined) return found(null, new Error("unknown target"));
            target.users++;
            found(target, null);
          };
          if (this.#heldLookups === null) answer();
          else this.#heldLookups.push(answer);
        },
        release: (target) => void (target as TestTarget).users--,
      },
      metrics: this.metrics,
      recorders: this.recorders,
      log: silentLogger,
    };
    this.path = startBytePath(environment);
    this.ownPorts.add(this.inbound.port).add(this.outbound.port);
  }

  get inbound(): SocketAddress {
    return this.path.inbound[0]!.address;
  }
  get outbound(): SocketAddress {
    return this.path.outbound[0]!.address;
  }

  cell(port: number): TestCell {
    let cell = this.cells.get(port);
    if (cell === undefined) this.cells.set(port, cell = new TestCell());
    return cell;
  }

  /** Makes a target and sends all outbound connections to it. */
  target(protocol?: PortProtocol, action?: RouteAction): TestTarget {
    const address = { ip: "10.43.0.1", port: 1_000 + this.targets.size };
    const target = new TestTarget(address, protocol ?? "detect", action);
    this.targets.set(formatAddress(address), target);
    this.outboundOriginal = address;
    return target;
  }

  /** The target of a name, made when it is first asked for. */
  named(name: string, action?: RouteAction): TestTarget {
    const target = this.targets.get(name) ?? new TestTarget(name, "detect", action);
    this.targets.set(name, target);
    return target;
  }

  /** From now on look-ups wait in this list until the test calls them. */
  holdLookups(): (() => void)[] {
    return this.#heldLookups ??= [];
  }

  /** The values of the metric's series whose labels have all these values, added up. */
  count(name: string, labels: Record<string, string> = {}): number {
    let sum = 0;
    for (const line of this.metrics.text().split("\n")) {
      const match = new RegExp(`^${name}(?:{(.*)})? ([0-9.e+]+)$`).exec(line);
      if (match === null) continue;
      const has = Object.entries(labels).every(([key, value]) =>
        `,${match[1] ?? ""},`.includes(`,${key}="${value}",`)
      );
      if (has) sum += Number(match[2]);
    }
    return sum;
  }

  /** Throws when the metrics have labels that the reference does not know. */
  async stop(): Promise<void> {
    await this.path.drain();
    const unnamed = unnamedLabels(this.metrics.registry);
    if (unnamed.length > 0) throw new Error(`labels without a name: ${unnamed.join(", ")}`);
  }

  /** The real network, with the kernel's answers in the test's hand. */
  #net(): Net {
    const net = createBunNet();
    let listeners = 0;
    return {
      connect: (options, handler, data) => net.connect(options, handler, data),
      pair: (near, far, addresses) => net.pair(near, far, addresses),
      listen: (address, handler, data) => {
        const original = listeners++ === 0
          ? () => this.inboundOriginal
          : () => this.outboundOriginal;
        return net.listen(address, redirected(handler, original), data);
      },
    };
  }
}

function redirected<D>(
  handler: ConnHandler<D>,
  original: () => SocketAddress | null,
): ConnHandler<D> {
  return {
    ...handler,
    open(conn: Conn<D>) {
      const answer = original();
      Object.defineProperty(conn, "originalDestination", { value: () => answer });
      handler.open(conn);
    },
  };
}

/** Makes proxies and stops them. */
export class PathLab {
  readonly #materials: Map<string, TestMaterial>;
  readonly #proxies: TestProxy[] = [];

  constructor(names: readonly string[]) {
    this.#materials = makeMaterials(names.map(identityOf));
  }

  credentials(name: string): Credentials {
    const material = this.#materials.get(identityOf(name));
    if (material === undefined) throw new Error(name);
    const identity = identityOf(name);
    return { ...material, name: identity, serverName: identity, expiresAtMs: Infinity };
  }

  proxy(name: string | null, settings: Partial<PathSettings> = {}): TestProxy {
    const credentials = name === null ? null : this.credentials(name);
    const proxy = new TestProxy(credentials, { drainMs: 300, ...settings });
    this.#proxies.push(proxy);
    return proxy;
  }

  /** Proxies `shop` → `web`; the application is on that port behind `web`. */
  pair(port: number, protocol: PortProtocol = "detect") {
    const client = this.proxy("shop");
    const server = this.proxy("web");
    const target = client.target(protocol).endpoints(meshed(server, port));
    return { client, server, target };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.stop()));
  }
}

/** The endpoint of an application port behind a proxy. */
export function meshed(server: TestProxy, port: number, name = "web"): Partial<Endpoint> {
  const identity = { name: identityOf(name), serverName: identityOf(name) };
  return { address: { ip: "127.0.0.1", port }, identity, transportPort: server.inbound.port };
}

/** Waits until the condition holds. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1_200; i++) {
    if (condition()) return;
    await Bun.sleep(i < 50 ? 1 : 5);
  }
  throw new Error(`never: ${what}`);
}
