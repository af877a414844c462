/**
 * Balancers of discovered destinations. A destination is watched once, however many targets send to it,
 * and feeds a balancer for each kind of traffic: a connection that lives for hours must not count
 * against an endpoint when requests are balanced. A new stream's full state replaces the old one by
 * difference, so that endpoints which stay keep their measurements and connections.
 */

import { assert } from "../base/assert.ts";
import { Fault } from "../base/fault.ts";
import { formatAddress, type SocketAddress } from "../mesh/address.ts";
import type { Asker, Discovery } from "../mesh/discovery.ts";
import type { EndpointUpdate } from "../mesh/endpoint.ts";
import type { Backend } from "../mesh/policy.ts";
import type { FailureAccrual } from "../mesh/reliability.ts";
import { Balancer, type BalancerOptions } from "./balance.ts";
import { isRefusal, SteadyWatch, type WatchHost } from "./steady-watch.ts";
import type { StreamHealth } from "./stream-health.ts";

/** What balancers are made from. */
export interface DestinationsOptions {
  readonly host: WatchHost;
  readonly discovery: Discovery;
  readonly asker: Asker;
  readonly health: StreamHealth;
  /** How many requests wait for a first endpoint, and how long; absent: the usual. */
  readonly queue?: { readonly queueMax: number; readonly queueMs: number };
}

/** Which traffic a balancer measures. */
export type TrafficKind = "http" | "opaque";

/** A balancer that somebody holds; to be released once. */
export interface BalancerLease {
  readonly balancer: Balancer;
  release(): void;
}

/** Measures for a single endpoint never decide anything; these are the contract's usual ones. */
const FORWARD_MEASURES = { defaultRttMs: 30, decayMs: 10_000 } as const;

/** All balancers of the proxy. */
export class Destinations {
  readonly #options: DestinationsOptions;
  readonly #watched = new Map<string, WatchedDestination>();
  readonly #shared = new Map<string, SharedBalancer>();

  constructor(options: DestinationsOptions) {
    this.#options = options;
  }

  /** How many destinations are watched. */
  get size(): number {
    return this.#watched.size;
  }

  /** The balancer of a backend for one kind of traffic. */
  lease(backend: Backend, kind: TrafficKind, accrual?: FailureAccrual): BalancerLease {
    const key = `${kind} ${JSON.stringify([backend.target, accrual])}`;
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = this.#make(backend, accrual, () => void this.#shared.delete(key));
      this.#shared.set(key, shared);
    }
    return shared.lease();
  }

  #make(
    { target }: Backend,
    accrual: FailureAccrual | undefined,
    forget: () => void,
  ): SharedBalancer {
    if (target.kind === "forward") {
      const balancer = new Balancer(this.#measures(FORWARD_MEASURES));
      balancer.update({ kind: "add", endpoints: [target.endpoint], labels: {} });
      return new SharedBalancer(balancer, forget);
    }
    const { penalty } = target;
    const balancer = new Balancer({
      ...this.#measures(target),
      ...(accrual === undefined ? {} : { accrual }),
      ...(penalty === undefined ? {} : { penalty }),
    });
    const destination = this.#watch(target.path);
    destination.add(balancer);
    return new SharedBalancer(balancer, () => {
      forget();
      if (destination.remove(balancer)) this.#watched.delete(target.path);
    });
  }

  #watch(path: string): WatchedDestination {
    let destination = this.#watched.get(path);
    if (destination === undefined) {
      destination = new WatchedDestination(path, this.#options);
      this.#watched.set(path, destination);
      destination.start();
    }
    return destination;
  }

  #measures(
    measures: { readonly defaultRttMs: number; readonly decayMs: number },
  ): BalancerOptions {
    const { clock, random } = this.#options.host;
    const { defaultRttMs, decayMs } = measures;
    return { clock, random, defaultRttMs, decayMs, ...this.#options.queue };
  }
}

/** A balancer that lives for as long as it is leased. */
class SharedBalancer {
  readonly #balancer: Balancer;
  readonly #ended: () => void;
  #leases = 0;

  constructor(balancer: Balancer, ended: () => void) {
    this.#balancer = balancer;
    this.#ended = ended;
  }

  lease(): BalancerLease {
    this.#leases++;
    let isHeld = true;
    return {
      balancer: this.#balancer,
      release: () => {
        assert(isHeld, "a balancer is released once");
        isHeld = false;
        if (--this.#leases > 0) return;
        this.#ended();
        this.#balancer.close();
      },
    };
  }
}

/** One destination's endpoints, told to its balancers. */
class WatchedDestination {
  readonly #watch: SteadyWatch<EndpointUpdate>;
  readonly #balancers = new Set<Balancer>();
  /** What was told so far, for balancers that come later. */
  readonly #known = new Map<string, KnownEndpoint>();

  constructor(path: string, options: DestinationsOptions) {
    const { host, discovery, asker, health } = options;
    this.#watch = new SteadyWatch<EndpointUpdate>(host, {
      open: (sink) => discovery.watchEndpoints(asker, path, sink),
      next: (update, full) => {
        if (full) health.answered();
        this.#apply(full ? this.#difference(update) : [update]);
      },
      failed: (fault) => this.#failed(fault, health),
      isFinal: isRefusal,
    });
  }

  start(): void {
    this.#watch.start();
  }

  add(balancer: Balancer): void {
    this.#balancers.add(balancer);
    for (const { update } of this.#known.values()) balancer.update(update);
  }

  /** True when nobody is left, and the watch has ended. */
  remove(balancer: Balancer): boolean {
    this.#balancers.delete(balancer);
    if (this.#balancers.size > 0) return false;
    this.#watch.stop();
    return true;
  }

  #apply(updates: readonly EndpointUpdate[]): void {
    for (const update of updates) {
      this.#remember(update);
      for (const balancer of this.#balancers) balancer.update(update);
    }
  }

  /** The steps from what is known to a new stream's full state; additions first, so it never empties. */
  #difference(update: EndpointUpdate): EndpointUpdate[] {
    if (update.kind !== "add") return [update];
    const stay = new Set(update.endpoints.map(({ address }) => formatAddress(address)));
    const addresses: SocketAddress[] = [];
    for (const [key, { address }] of this.#known) if (!stay.has(key)) addresses.push(address);
    return addresses.length === 0 ? [update] : [update, { kind: "remove", addresses }];
  }

  #remember(update: EndpointUpdate): void {
    if (update.kind === "none") return this.#known.clear();
    if (update.kind === "remove") {
      for (const address of update.addresses) this.#known.delete(formatAddress(address));
      return;
    }
    for (const endpoint of update.endpoints) {
      const single: EndpointUpdate = { ...update, endpoints: [endpoint] };
      this.#known.set(formatAddress(endpoint.address), {
        address: endpoint.address,
        update: single,
      });
    }
  }

  #failed(fault: Error, health: StreamHealth): void {
    const isGone = fault instanceof Fault && (fault.code === "not_found" || isRefusal(fault));
    // No such destination is an answer; anything else says nothing about the endpoints.
    if (isGone) this.#apply([{ kind: "none", exists: false }]);
    else health.failed(fault);
  }
}

/** An endpoint as a step that adds it. */
interface KnownEndpoint {
  readonly address: SocketAddress;
  readonly update: EndpointUpdate;
}
