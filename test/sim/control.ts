/**
 * What a proxy is told by its control plane, as the scenario has it, and the plain way to tell it: at
 * once and by the objects themselves. `control-plane.ts` is the other way.
 */

import { formatAddress, parseNetwork, type SocketAddress } from "../../lib/mesh/address.ts";
import type { Endpoint, EndpointUpdate } from "../../lib/mesh/endpoint.ts";
import type {
  ClientMatch,
  ClientPolicy,
  PortProtocol,
  ServerPolicy,
} from "../../lib/mesh/policy.ts";
import type { RetryBudget as BudgetPolicy } from "../../lib/mesh/reliability.ts";
import { Balancer, type EndpointState } from "../../lib/proxy/balance.ts";
import type {
  Destination,
  OutboundTarget,
  OutboundTargets,
  ServerPolicies,
  ServerPolicyCell,
  TargetFound,
} from "../../lib/proxy/environment.ts";
import { RetryBudget } from "../../lib/proxy/retry-budget.ts";
import { destinationText } from "../../lib/proxy/target-policy.ts";
import { type FieldLines, fieldLinesOf } from "../../lib/wire/http/mod.ts";
import type { World } from "./world.ts";

const EVERYWHERE = ["0.0.0.0/0", "::/0"].map((text) => ({
  network: parseNetwork(text),
  except: [],
}));
/** The labels of all endpoints of a service. */
export const SET_LABELS = { service: "sim" };

/** The object that everything comes from. */
export const RESOURCE = { group: "", kind: "default", name: "sim", namespace: "", port: 0 };

/** A server policy that admits such clients; null: nobody. */
export function admits(clients: ClientMatch | null, protocol: PortProtocol): ServerPolicy {
  return {
    protocol,
    detectTimeoutMs: 10_000,
    authorizations: clients === null ? [] : [{ networks: EVERYWHERE, clients, resource: RESOURCE }],
    resource: RESOURCE,
    probes: [],
    probeNetworks: [],
  };
}

/** Whatever tells a proxy of policies and targets. */
export interface Control {
  readonly targets: OutboundTargets;
  readonly serverPolicies: ServerPolicies;
  /** The policy of one inbound port; the scenario changes it. */
  cell(port: number): Cell;
  /** What is kept although nothing is under way. */
  kept(): string[];
  /** The proxy ends. */
  stop(): void;
}

/** The policy of one inbound port. */
export class Cell implements ServerPolicyCell {
  current: ServerPolicy;
  readonly subscribers: Set<() => void> = new Set();

  constructor(policy: ServerPolicy) {
    this.current = policy;
  }

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

/** The endpoints of one service as they are; tells its subscribers of each step. */
export class Endpoints {
  readonly known: Map<string, Endpoint> = new Map();
  readonly subscribers: Set<(update: EndpointUpdate) => void> = new Set();

  add(endpoint: Endpoint): void {
    this.known.set(formatAddress(endpoint.address), endpoint);
    this.#tell({ kind: "add", endpoints: [endpoint], labels: SET_LABELS });
  }

  remove(address: SocketAddress): void {
    this.known.delete(formatAddress(address));
    this.#tell({ kind: "remove", addresses: [address] });
  }

  none(exists: boolean): void {
    this.known.clear();
    this.#tell({ kind: "none", exists });
  }

  /** The first step of who comes now. */
  all(): EndpointUpdate {
    if (this.known.size === 0) return { kind: "none", exists: true };
    return { kind: "add", endpoints: [...this.known.values()], labels: SET_LABELS };
  }

  #tell(update: EndpointUpdate): void {
    for (const told of [...this.subscribers]) told(update);
  }
}

/** Remembers the endpoints that it gave out, so that their accounts can be checked. */
class BookedBalancer extends Balancer {
  readonly given: Set<EndpointState> = new Set();

  override pick(nowMs: number, shunned: EndpointState | null = null): EndpointState | null {
    const state = super.pick(nowMs, shunned);
    if (state !== null) this.given.add(state);
    return state;
  }
}

/** One outbound target, whose endpoints follow those of its service's backends. */
export class Target implements OutboundTarget {
  readonly address: SocketAddress;
  readonly policy: ClientPolicy;
  readonly authority: string;
  readonly added: FieldLines | null;
  readonly balancers: readonly BookedBalancer[];
  readonly budget: RetryBudget;
  readonly routeLabels = {};
  readonly profileRoutes = null;
  readonly httpBackends;
  readonly opaqueBackends;
  users = 0;

  constructor(
    world: World,
    address: SocketAddress,
    policy: ClientPolicy,
    backends: readonly Endpoints[],
    budget: BudgetPolicy,
  ) {
    this.address = address;
    this.policy = policy;
    this.authority = formatAddress(address);
    const { accrual } = policy;
    this.balancers = backends.map((endpoints) => {
      const balancer = new BookedBalancer({
        clock: world.clock(),
        random: () => world.prng.float(),
        defaultRttMs: 30,
        decayMs: 10_000,
        ...(accrual === undefined ? {} : { accrual }),
      });
      endpoints.subscribers.add((update) => balancer.update(update));
      balancer.update(endpoints.all());
      return balancer;
    });
    const { action } = policy.http;
    const weights = action.kind === "backends" ? action.backends.map(({ weight }) => weight) : [];
    this.budget = new RetryBudget(budget, world.nowMs);
    this.httpBackends = this.balancers.map((balancer, i) => ({
      balancer,
      weight: weights[i] ?? 1,
    }));
    this.opaqueBackends = this.httpBackends;
    const isService = policy.parent.kind === "Service";
    this.added = isService ? fieldLinesOf([["l5d-dst-canonical", this.authority]]) : null;
  }
}

/** Tells one proxy at once, or after a while. */
export class DirectControl implements Control {
  readonly cells: Map<number, Cell> = new Map();
  readonly #targets = new Map<string, Target>();
  /** It answers no look-ups. */
  isForlorn = false;
  readonly #world: World;
  readonly #policy: ServerPolicy;
  readonly #delayMs: () => number;

  /** `policy`: of a port that nobody has set. `delayMs`: how long a look-up takes; 0: no time. */
  constructor(world: World, policy: ServerPolicy, delayMs: () => number) {
    this.#world = world;
    this.#policy = policy;
    this.#delayMs = delayMs;
  }

  readonly serverPolicies: ServerPolicies = { port: (port) => this.cell(port) };

  readonly targets: OutboundTargets = {
    acquire: (destination, found) => this.#acquire(destination, found),
    release: (target) => void (target as Target).users--,
  };

  cell(port: number): Cell {
    let cell = this.cells.get(port);
    if (cell === undefined) this.cells.set(port, cell = new Cell(this.#policy));
    return cell;
  }

  add(target: Target): void {
    this.#targets.set(formatAddress(target.address), target);
  }

  kept(): string[] {
    const wrong: string[] = [];
    for (const { subscribers } of this.cells.values()) {
      if (subscribers.size > 0) wrong.push(`${subscribers.size} subscribers`);
    }
    for (const { users, balancers } of this.#targets.values()) {
      if (users !== 0) wrong.push(`${users} users of a target`);
      for (const { pending } of balancers.flatMap(({ given }) => [...given])) {
        if (pending > 0) wrong.push(`${pending} pending at an endpoint`);
      }
    }
    return wrong;
  }

  stop(): void {
    for (const { balancers } of this.#targets.values()) {
      for (const balancer of balancers) balancer.close();
    }
  }

  #acquire(destination: Destination, found: TargetFound): void {
    const answer = () => {
      const target = this.#targets.get(destinationText(destination));
      if (this.isForlorn || target === undefined) {
        found(null, new Error("there is no such target"));
        return;
      }
      target.users++;
      found(target, null);
    };
    const delayMs = this.#delayMs();
    if (delayMs === 0) answer();
    else this.#world.schedule(delayMs, answer);
  }
}
