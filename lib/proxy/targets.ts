/**
 * Outbound targets by destination: each watches its profile and its policy while it is in use
 * and for a while after. A target is found once the control plane has answered both; from then on the
 * last answers hold, whatever happens to the control plane.
 *
 *     asked ──both answered──▶ found ──unused for a while──▶ dropped
 *       └──no answer in time──▶ failing (every look-up fails at once) ──answered──▶ found
 */

import { assert } from "../base/assert.ts";
import { equalValues } from "../base/equal.ts";
import { describeError, Fault } from "../base/fault.ts";
import { OUTBOUND_TARGETS_MAX } from "../base/limits.ts";
import type { Timer } from "../host/clock.ts";
import { type Network, networkContains } from "../mesh/address.ts";
import type { ClientPolicy, Profile, ResourceRef, Route } from "../mesh/policy.ts";
import {
  DEFAULT_RETRY_BUDGET,
  type FailureAccrual,
  type RetryBudget as BudgetPolicy,
} from "../mesh/reliability.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Labels } from "../telemetry/metric.ts";
import { type FieldLines, fieldLinesOf } from "../wire/http/mod.ts";
import type { UsedBalancer } from "./balancer-gauges.ts";
import {
  type BalancerLease,
  Destinations,
  type DestinationsOptions,
  type TrafficKind,
} from "./discovery.ts";
import type {
  Destination,
  OutboundTarget,
  OutboundTargets,
  TargetFound,
  WeightedBalancer,
} from "./environment.ts";
import { routeLabels } from "./labels.ts";
import { ProfileRoutes } from "./profile-routes.ts";
import { RetryBudget } from "./retry-budget.ts";
import { isRefusal, SteadyWatch } from "./steady-watch.ts";
import type { StreamHealth } from "./stream-health.ts";
import { destinationText, isProfiled, targetAuthority, targetPolicy } from "./target-policy.ts";

/** What targets are made from. `health` is that of the destination service. */
export interface TargetsOptions extends DestinationsOptions {
  readonly policyHealth: StreamHealth;
  readonly log: Logger;
  /** Only names, and addresses in these networks, have a profile. */
  readonly profileNetworks: readonly Network[];
  readonly detectTimeoutMs: number;
  /** How long an unused target is remembered. */
  readonly idleMs: number;
  /** How long a look-up may take, in all, before it fails. */
  readonly lookupMs: number;
}

/** The targets of one proxy. */
export class WatchedTargets implements OutboundTargets {
  readonly #options: TargetsOptions;
  readonly #destinations: Destinations;
  readonly #targets = new Map<string, WatchedTarget>();
  /** Since a look-up was refused for want of room, until there is some. */
  #isFull = false;

  constructor(options: TargetsOptions) {
    this.#options = options;
    this.#destinations = new Destinations(options);
  }

  /** How many targets are remembered, and how many destinations are watched for them. */
  get size(): { readonly targets: number; readonly destinations: number } {
    return { targets: this.#targets.size, destinations: this.#destinations.size };
  }

  /** The balancers of all targets that were found, but those of single endpoints. */
  *balancers(): Iterable<UsedBalancer> {
    for (const target of this.#targets.values()) yield* target.balancers();
  }

  acquire(destination: Destination, found: TargetFound): void {
    const key = destinationText(destination);
    let target = this.#targets.get(key);
    if (target === undefined) {
      if (this.#targets.size >= OUTBOUND_TARGETS_MAX) return found(null, this.#tooMany(key));
      this.#isFull = false;
      const forget = () => void this.#targets.delete(key);
      target = new WatchedTarget(destination, this.#options, this.#destinations, forget);
      this.#targets.set(key, target);
      target.start();
    }
    target.acquire(found);
  }

  release(target: OutboundTarget): void {
    assert(target instanceof WatchedTarget, "a target is released where it was acquired");
    target.release();
  }

  stop(): void {
    for (const target of [...this.#targets.values()]) target.drop();
  }

  #tooMany(key: string): Fault {
    const message = `Cannot look up ${key}: ${OUTBOUND_TARGETS_MAX} targets are in use`;
    const fault = new Fault("resource_exhausted", message);
    if (!this.#isFull) warnOf(this.#options.log, key, fault);
    this.#isFull = true;
    return fault;
  }
}

/** One destination. */
class WatchedTarget implements OutboundTarget {
  budget: RetryBudget;
  #budgetPolicy: BudgetPolicy = DEFAULT_RETRY_BUDGET;
  readonly #destination: Destination;
  readonly #options: TargetsOptions;
  readonly #destinations: Destinations;
  readonly #forget: () => void;
  readonly #watches: { start(): unknown; stop(): void }[] = [];
  /** undefined: not answered yet; null: there is none. */
  #profile: Profile | null | undefined;
  #clientPolicy: ClientPolicy | null | undefined;
  #view: TargetView | null = null;
  #leases: BalancerLease[] = [];
  #waiters: TargetFound[] = [];
  /** Why the last attempt to ask for each did not come through. */
  #policyFault: Error | null = null;
  #profileFault: Error | null = null;
  #isFailing = false;
  #isDropped = false;
  #lookupTimer: Timer | null = null;
  #idleTimer: Timer | null = null;
  #uses = 0;
  #idleSinceMs: number;

  constructor(
    destination: Destination,
    options: TargetsOptions,
    destinations: Destinations,
    forget: () => void,
  ) {
    this.#destination = destination;
    this.#options = options;
    this.#destinations = destinations;
    this.#forget = forget;
    this.#idleSinceMs = options.host.clock.monotonicMs();
    this.budget = new RetryBudget(this.#budgetPolicy, this.#idleSinceMs);
    this.#watches.push(this.#policyWatch());
    const hasProfile = typeof destination === "string" ||
      options.profileNetworks.some((net) => networkContains(net, destination.ip));
    if (hasProfile) this.#watches.push(this.#profileWatch());
    else this.#profile = null;
  }

  get policy(): ClientPolicy {
    return this.#found().policy;
  }

  get authority(): string {
    return this.#found().authority;
  }

  get routeLabels(): Labels {
    return this.#found().routeLabels;
  }

  get profileRoutes(): ProfileRoutes | null {
    return this.#found().profileRoutes;
  }

  get added(): FieldLines | null {
    return this.#found().added;
  }

  get httpBackends(): readonly WeightedBalancer[] {
    return this.#found().http;
  }

  get opaqueBackends(): readonly WeightedBalancer[] {
    return this.#found().opaque;
  }

  *balancers(): Iterable<UsedBalancer> {
    const view = this.#view;
    if (view === null) return;
    const { policy: { parent, http, opaque } } = view;
    yield* usedBalancers("http", parent, http, view.http);
    yield* usedBalancers("opaque", parent, opaque, view.opaque);
  }

  start(): void {
    const { host, lookupMs } = this.#options;
    this.#lookupTimer = host.clock.after(lookupMs, () => this.#failLookup());
    for (const watch of this.#watches) watch.start();
    this.#scheduleIdle();
  }

  acquire(found: TargetFound): void {
    this.#idleSinceMs = this.#options.host.clock.monotonicMs();
    if (this.#view !== null) {
      this.#uses++;
      found(this, null);
    } else if (this.#isFailing) found(null, this.#lookupFault());
    else this.#waiters.push(found);
  }

  release(): void {
    assert(this.#uses > 0, "a target is released as often as it was acquired");
    this.#uses--;
    this.#idleSinceMs = this.#options.host.clock.monotonicMs();
    this.#scheduleIdle();
  }

  drop(): void {
    this.#isDropped = true;
    this.#forget();
    for (const watch of this.#watches) watch.stop();
    this.#lookupTimer?.cancel();
    this.#idleTimer?.cancel();
    this.#failWaiters();
    for (const lease of this.#leases) lease.release();
    this.#leases = [];
  }

  #policyWatch(): SteadyWatch<ClientPolicy> {
    const { host, discovery, asker, policyHealth } = this.#options;
    const isNamed = typeof this.#destination === "string";
    const isFinal = (fault: Error) =>
      isFault(fault, "unimplemented") || (isNamed && isRefusal(fault));
    return new SteadyWatch<ClientPolicy>(host, {
      open: (sink) => discovery.watchClientPolicy(asker, this.#destination, sink),
      next: (policy, full) => {
        if (full) policyHealth.answered();
        this.#clientPolicy = policy;
        this.#refresh();
      },
      failed: (fault) => {
        this.#policyFault = fault;
        // A policy may come later, so `not_found` is asked again, ever more slowly.
        if (!isFault(fault, "not_found") && !isFinal(fault)) return policyHealth.failed(fault);
        this.#clientPolicy = null;
        this.#refresh();
      },
      isFinal,
    });
  }

  #profileWatch(): SteadyWatch<Profile> {
    const { host, discovery, asker, health } = this.#options;
    return new SteadyWatch<Profile>(host, {
      open: (sink) => discovery.watchProfile(asker, destinationText(this.#destination), sink),
      next: (profile, full) => {
        if (full) health.answered();
        this.#profile = profile;
        this.#refresh();
      },
      failed: (fault) => {
        this.#profileFault = fault;
        if (!isRefusal(fault) && !isFault(fault, "not_found", "unimplemented")) {
          return health.failed(fault);
        }
        this.#profile = null;
        this.#refresh();
      },
      isFinal: (fault) => isRefusal(fault) || isFault(fault, "unimplemented"),
    });
  }

  /** Both answers are there, or one of them changed. */
  #refresh(): void {
    const [profile, clientPolicy] = [this.#profile, this.#clientPolicy];
    if (profile === undefined || clientPolicy === undefined) return;
    const { detectTimeoutMs } = this.#options;
    const destination = this.#destination;
    const known = { destination, profile, policy: clientPolicy, detectTimeoutMs };
    const policy = targetPolicy(known);
    const authority = targetAuthority(known);
    const configured = profile !== null && isProfiled(profile) ? profile : null;
    const view = this.#view;
    if (
      view === null || view.authority !== authority || !equalValues(view.policy, policy) ||
      !equalValues(view.profile, configured)
    ) {
      this.#replace(policy, authority, configured);
    }
    this.#lookupTimer?.cancel();
    this.#isFailing = false;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const found of waiters) this.acquire(found);
  }

  #replace(policy: ClientPolicy, authority: string, profile: Profile | null): void {
    const old = this.#leases;
    this.#leases = [];
    const isService = policy.parent.kind === "Service";
    const labels = routeLabels(policy.parent, policy.http.resource);
    this.#setBudget(profile?.budget ?? DEFAULT_RETRY_BUDGET);
    this.#view = {
      policy,
      authority,
      profile,
      profileRoutes: profile?.routes === undefined ? null : new ProfileRoutes({
        profile,
        authority,
        budget: this.budget,
        labels,
        log: this.#options.log,
      }),
      added: isService ? fieldLinesOf([["l5d-dst-canonical", authority]]) : null,
      routeLabels: labels,
      http: this.#balancers(policy.http, "http", policy.accrual),
      opaque: this.#balancers(policy.opaque, "opaque"),
    };
    // Given back only now, so that balancers which stay keep their measurements and connections.
    for (const lease of old) lease.release();
  }

  /** What the present budget has counted is kept, unless another one is asked for. */
  #setBudget(policy: BudgetPolicy): void {
    if (equalValues(policy, this.#budgetPolicy)) return;
    this.#budgetPolicy = policy;
    this.budget = new RetryBudget(policy, this.#options.host.clock.monotonicMs());
  }

  #balancers(
    { action }: Route,
    kind: TrafficKind,
    accrual?: FailureAccrual,
  ): WeightedBalancer[] {
    if (action.kind === "fail") return [];
    return action.backends.map((backend) => {
      const lease = this.#destinations.lease(backend, kind, accrual);
      this.#leases.push(lease);
      return { balancer: lease.balancer, weight: backend.weight };
    });
  }

  #found(): TargetView {
    assert(this.#view !== null, "a target is read only after it was found");
    return this.#view;
  }

  /** Said once: everyone who asks from now on is told the same, until there is an answer. */
  #failLookup(): void {
    warnOf(this.#options.log, destinationText(this.#destination), this.#lookupFault());
    this.#failWaiters();
  }

  #failWaiters(): void {
    this.#isFailing = true;
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const found of waiters) found(null, this.#lookupFault());
  }

  #lookupFault(): Fault {
    const [missing, cause] = this.#clientPolicy === undefined
      ? ["policy", this.#policyFault]
      : ["profile", this.#profileFault];
    const name = destinationText(this.#destination);
    const message = `Cannot look up ${name}: no answer about its ${missing}`;
    return new Fault("unavailable", message, { cause: cause ?? undefined });
  }

  /** One timer for all uses: connections only write down when they ended. */
  #scheduleIdle(): void {
    if (this.#isDropped || this.#idleTimer !== null || this.#uses > 0) return;
    const { host: { clock }, idleMs } = this.#options;
    const restMs = this.#idleSinceMs + idleMs - clock.monotonicMs();
    if (restMs <= 0 && this.#waiters.length === 0) return this.drop();
    this.#idleTimer = clock.after(restMs > 0 ? restMs : idleMs, () => {
      this.#idleTimer = null;
      this.#scheduleIdle();
    });
  }
}

/** Names what the target's connections, or its requests, are refused for. */
function warnOf(log: Logger, target: string, fault: Fault): void {
  log.warn("cannot look up an outbound target", { target, cause: describeError(fault) });
}

/** What a found target shows. */
interface TargetView {
  readonly policy: ClientPolicy;
  readonly authority: string;
  /** The profile, where a ServiceProfile stands behind it. */
  readonly profile: Profile | null;
  readonly profileRoutes: ProfileRoutes | null;
  readonly added: FieldLines | null;
  readonly routeLabels: Labels;
  readonly http: readonly WeightedBalancer[];
  readonly opaque: readonly WeightedBalancer[];
}

function* usedBalancers(
  kind: TrafficKind,
  parent: ResourceRef,
  { action }: Route,
  balancers: readonly WeightedBalancer[],
): Iterable<UsedBalancer> {
  if (action.kind === "fail") return;
  for (const [index, backend] of action.backends.entries()) {
    const balancer = balancers[index]?.balancer;
    if (balancer === undefined || backend.target.kind !== "balancer") continue;
    yield { kind, parent, backend, balancer };
  }
}

function isFault(fault: Error, ...codes: readonly string[]): boolean {
  return fault instanceof Fault && codes.includes(fault.code);
}
