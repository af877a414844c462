/** A proxy on the simulated host: the real byte path, with a control plane that the scenario plays. */

import type { Net } from "../../lib/host/net.ts";
import { formatAddress, parseNetwork, type SocketAddress } from "../../lib/mesh/address.ts";
import type { Endpoint } from "../../lib/mesh/endpoint.ts";
import type {
  ClientMatch,
  ClientPolicy,
  PortProtocol,
  Route,
  ServerPolicy,
} from "../../lib/mesh/policy.ts";
import { Balancer, type EndpointState } from "../../lib/proxy/balance.ts";
import type { PathContext } from "../../lib/proxy/context.ts";
import type {
  Credentials,
  OutboundTarget,
  PathSettings,
  ServerPolicyCell,
  TargetFound,
} from "../../lib/proxy/environment.ts";
import { type BytePath, startBytePath } from "../../lib/proxy/path.ts";
import { type FieldLines, fieldLinesOf } from "../../lib/wire/http/mod.ts";
import { DEFAULT_RETRY_BUDGET } from "../../lib/mesh/reliability.ts";
import { RetryBudget } from "../../lib/proxy/retry-budget.ts";
import type { Logger } from "../../lib/telemetry/logger.ts";
import { StrictMetrics } from "./metrics.ts";
import { INBOUND_PORT, type Network, OUTBOUND_PORT, type Pod } from "./network.ts";
import type { World } from "./world.ts";

const resource = { group: "", kind: "default", name: "sim", namespace: "", port: 0 };
const EVERYWHERE = ["0.0.0.0/0", "::/0"].map((text) => ({
  network: parseNetwork(text),
  except: [],
}));

/** How long a proxy's open connections may go on when it ends. */
export const DRAIN_MS = 5_000;

/** A server policy that admits such clients; null: nobody. */
export function admits(clients: ClientMatch | null, protocol: PortProtocol): ServerPolicy {
  return {
    protocol,
    detectTimeoutMs: 10_000,
    authorizations: clients === null ? [] : [{ networks: EVERYWHERE, clients, resource }],
    resource,
    probePaths: [],
    probeNetworks: [],
  };
}

/** The policy of one inbound port. */
export class Cell implements ServerPolicyCell {
  current: ServerPolicy = admits({ kind: "unauthenticated" }, "detect");
  readonly subscribers: Set<() => void> = new Set();

  subscribe(changed: () => void): () => void {
    // Two subscribers may bring one function: each counts.
    const own = () => changed();
    this.subscribers.add(own);
    return () => void this.subscribers.delete(own);
  }

  set(policy: ServerPolicy): void {
    this.current = policy;
    for (const changed of [...this.subscribers]) changed();
  }
}

/** Remembers the endpoints that it gave out, so that their accounts can be checked. */
class BookedBalancer extends Balancer {
  readonly given: Set<EndpointState> = new Set();

  override pick(nowMs: number): EndpointState | null {
    const state = super.pick(nowMs);
    if (state !== null) this.given.add(state);
    return state;
  }
}

/** An outbound target whose endpoints the scenario changes. */
export class Target implements OutboundTarget {
  readonly address: SocketAddress;
  readonly policy: ClientPolicy;
  readonly authority: string;
  readonly added: FieldLines | null;
  readonly balancer: BookedBalancer;
  readonly budget: RetryBudget;
  readonly routeLabels = {};
  readonly httpBackends;
  readonly opaqueBackends;
  users = 0;

  constructor(
    world: World,
    address: SocketAddress,
    protocol: PortProtocol,
    kind: string,
    more: Pick<Route, "retry" | "timeouts"> = {},
  ) {
    this.address = address;
    this.authority = formatAddress(address);
    this.balancer = new BookedBalancer({
      clock: world.clock(),
      random: () => world.prng.float(),
      defaultRttMs: 30,
      decayMs: 10_000,
    });
    this.budget = new RetryBudget(DEFAULT_RETRY_BUDGET, world.nowMs);
    this.httpBackends = [{ balancer: this.balancer, weight: 1 }];
    this.opaqueBackends = this.httpBackends;
    const route = { resource, action: { kind: "backends", backends: [] } as const };
    const isService = kind === "Service";
    this.added = isService ? fieldLinesOf([["l5d-dst-canonical", this.authority]]) : null;
    const parent = { ...resource, kind };
    const http = { ...route, ...more };
    this.policy = { protocol, detectTimeoutMs: 10_000, http, opaque: route, parent };
  }

  add(endpoint: Endpoint): void {
    this.balancer.update({ kind: "add", endpoints: [endpoint], labels: { service: "sim" } });
  }

  remove(address: SocketAddress): void {
    this.balancer.update({ kind: "remove", addresses: [address] });
  }
}

/** How a proxy finds targets. */
export interface LookUps {
  /** How long the control plane takes to answer; 0: at once. */
  readonly delayMs: () => number;
}

/** One proxy. */
export class SimProxy {
  readonly name: string;
  readonly pod: Pod;
  readonly metrics: StrictMetrics;
  readonly path: BytePath;
  readonly cells: Map<number, Cell> = new Map();
  readonly targets: Map<string, Target> = new Map();
  /** The byte path's own, caught when it listens. */
  readonly contexts: Set<PathContext> = new Set();
  credentials: Credentials | null;
  /** What a new port's policy is. */
  policy: ServerPolicy;
  /** The control plane answers no look-ups. */
  isForlorn = false;

  constructor(
    network: Network,
    pod: Pod,
    name: string,
    credentials: Credentials | null,
    policy: ServerPolicy,
    lookUps: LookUps,
    settings: Partial<PathSettings>,
  ) {
    const { world } = network;
    this.name = name;
    this.pod = pod;
    this.credentials = credentials;
    this.policy = policy;
    this.metrics = new StrictMetrics(world, name);
    pod.hasProxy = true;
    this.path = startBytePath({
      settings: {
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
        drainMs: DRAIN_MS,
        socketMark: 0,
        clusterNetworks: [],
        ...settings,
      },
      net: this.#net(network),
      clock: world.clock(),
      random: () => world.prng.float(),
      identity: { current: () => this.credentials },
      serverPolicies: { port: (port) => this.cell(port) },
      targets: {
        acquire: (address, found) => this.#acquire(world, lookUps, address, found),
        release: (target) => void (target as Target).users--,
      },
      metrics: this.metrics,
      log: tracing(world, name),
    });
  }

  cell(port: number): Cell {
    let cell = this.cells.get(port);
    if (cell === undefined) {
      this.cells.set(port, cell = new Cell());
      cell.current = this.policy;
    }
    return cell;
  }

  addTarget(target: Target): void {
    this.targets.set(formatAddress(target.address), target);
  }

  #acquire(world: World, lookUps: LookUps, address: SocketAddress, found: TargetFound): void {
    const answer = () => {
      const target = this.targets.get(formatAddress(address));
      if (this.isForlorn || target === undefined) {
        return found(null, new Error("there is no such target"));
      }
      target.users++;
      found(target, null);
    };
    const delayMs = lookUps.delayMs();
    if (delayMs === 0) answer();
    else world.schedule(delayMs, answer);
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

function tracing(world: World, name: string): Logger {
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
