/**
 * The policies of inbound ports, kept up to date from the control plane. Ports that the pod declares are
 * watched from the start, others from their first connection until they were unused for a while. Until
 * the control plane has spoken of a port, its default policy holds.
 */

import { SERVER_PORTS_WATCHED_MAX } from "../base/limits.ts";
import { equalValues } from "../base/equal.ts";
import type { Clock } from "../host/clock.ts";
import type { Asker, Discovery } from "../mesh/discovery.ts";
import type { ServerPolicy } from "../mesh/policy.ts";
import { denyAll } from "./default-policy.ts";
import type { ServerPolicies, ServerPolicyCell } from "./environment.ts";
import { isRefusal, SteadyWatch, type WatchHost } from "./steady-watch.ts";
import type { StreamHealth } from "./stream-health.ts";

/** What the policies of a proxy's ports are made from. */
export interface WatchedPoliciesOptions {
  readonly host: WatchHost;
  readonly discovery: Discovery;
  readonly asker: Asker;
  readonly health: StreamHealth;
  /** What holds for a port until the control plane has spoken. */
  readonly defaultPolicy: (port: number) => ServerPolicy;
  /** Ports that are watched from the start and for good. */
  readonly ports: readonly number[];
  /** How long another port's policy is watched without use. */
  readonly idleMs: number;
}

/** Inbound policies by port, watched. */
export class WatchedPolicies implements ServerPolicies {
  readonly #options: WatchedPoliciesOptions;
  readonly #cells = new Map<number, WatchedCell>();
  readonly #declared: ReadonlySet<number>;

  constructor(options: WatchedPoliciesOptions) {
    this.#options = options;
    this.#declared = new Set(options.ports);
  }

  /** Begins to watch the declared ports. */
  start(): void {
    for (const port of this.#declared) this.port(port);
  }

  stop(): void {
    for (const cell of this.#cells.values()) cell.drop();
    this.#cells.clear();
  }

  port(port: number): ServerPolicyCell {
    const known = this.#cells.get(port);
    if (known !== undefined) return known.touch();
    if (this.#cells.size >= SERVER_PORTS_WATCHED_MAX && !this.#evictOne()) return DENIED;
    const cell = new WatchedCell(port, this, this.#options);
    this.#cells.set(port, cell);
    cell.start();
    return cell;
  }

  /** Forgets the ports that nobody used for a while; to be called every now and then. */
  sweep(): void {
    const oldestMs = this.#options.host.clock.monotonicMs() - this.#options.idleMs;
    for (const [port, cell] of this.#cells) {
      if (!this.#declared.has(port) && cell.isUnused() && cell.usedAtMs <= oldestMs) {
        this.#drop(port, cell);
      }
    }
  }

  #evictOne(): boolean {
    let oldest: WatchedCell | null = null;
    for (const [port, cell] of this.#cells) {
      if (this.#declared.has(port) || !cell.isUnused()) continue;
      if (oldest === null || cell.usedAtMs < oldest.usedAtMs) oldest = cell;
    }
    if (oldest === null) return false;
    this.#drop(oldest.port, oldest);
    return true;
  }

  #drop(port: number, cell: WatchedCell): void {
    cell.drop();
    this.#cells.delete(port);
  }
}

/** For a port that cannot be watched because too many are in use: nothing may pass unwatched. */
const DENIED: ServerPolicyCell = { current: denyAll(), subscribe: () => () => {} };

/** One port's policy and the watch that feeds it. */
class WatchedCell implements ServerPolicyCell {
  readonly port: number;
  readonly #owner: WatchedPolicies;
  readonly #clock: Clock;
  readonly #changed = new Set<() => void>();
  readonly #watch: SteadyWatch<ServerPolicy>;
  #policy: ServerPolicy;
  #isDropped = false;
  usedAtMs: number;

  constructor(port: number, owner: WatchedPolicies, options: WatchedPoliciesOptions) {
    const { host, discovery, asker, health } = options;
    this.port = port;
    this.#owner = owner;
    this.#clock = host.clock;
    this.#policy = options.defaultPolicy(port);
    this.usedAtMs = host.clock.monotonicMs();
    this.#watch = new SteadyWatch<ServerPolicy>(host, {
      open: (sink) => discovery.watchServerPolicy(asker, port, sink),
      next: (policy, full) => {
        if (full) health.answered();
        this.#replace(policy);
      },
      failed: (fault) => health.failed(fault),
      isFinal: isRefusal,
    });
  }

  /** Whoever kept a dropped cell reads, and wakes, the one that took its place. */
  get current(): ServerPolicy {
    return this.#isDropped ? this.#owner.port(this.port).current : this.#policy;
  }

  subscribe(changed: () => void): () => void {
    if (this.#isDropped) return this.#owner.port(this.port).subscribe(changed);
    this.#changed.add(changed);
    return () => {
      this.#changed.delete(changed);
      this.touch();
    };
  }

  start(): void {
    this.#watch.start();
  }

  touch(): this {
    this.usedAtMs = this.#clock.monotonicMs();
    return this;
  }

  isUnused(): boolean {
    return this.#changed.size === 0;
  }

  drop(): void {
    this.#isDropped = true;
    this.#watch.stop();
  }

  #replace(policy: ServerPolicy): void {
    // A stream that was opened anew tells again what is known.
    if (equalValues(this.#policy, policy)) return;
    this.#policy = policy;
    for (const changed of [...this.#changed]) changed();
  }
}
