// hot
/**
 * Chooses an endpoint of one backend: the better of two random ones (P2C), where better means a lower
 * product of recent latency and requests under way (peak EWMA). Endpoints that cannot be connected to
 * are left alone for a while. What hangs on an endpoint (its pool, its counters) is not known here.
 */

import { assert } from "../base/assert.ts";
import { equalValues } from "../base/equal.ts";
import { PeakEwma } from "../base/ewma.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { FailureAccrual, LoadPenalty } from "../mesh/reliability.ts";
import { Breaker } from "./breaker.ts";
import { formatAddress } from "../mesh/address.ts";
import type { Endpoint, EndpointUpdate } from "../mesh/endpoint.ts";
import { Histogram } from "../telemetry/metric.ts";
import { USUAL_LIMITS } from "./path-limits.ts";

/** The weight of an endpoint that nobody weighted. */
const USUAL_WEIGHT = 10_000;
/** How long an endpoint is left alone after its first failed connection; doubles with each further. */
const BACKOFF_FIRST_MS = 500;
/** How much one response says of whether the next one will be bad. */
const BADNESS_WEIGHT = 1 / 16;
/** Less is none; half of what one bad response leaves. */
const BADNESS_LEAST = 1 / 32;
/** More is not believed: an endpoint that only fails is still tried some time. */
const BADNESS_MOST = 15 / 16;
/** How fast it is forgotten where nothing comes: an endpoint may heal while nobody asks it. */
const BADNESS_FADE_MS = 1_000;
/** A replica that comes back is used again after at most this time. */
const BACKOFF_LONGEST_MS = 10_000;
/** The contract's buckets of waiting for an endpoint, in seconds. */
export const WAIT_BOUNDS: readonly number[] = [0.0005, 0.005, 0.05, 0.5, 1, 3];

/** How a balancer measures and chooses. */
export interface BalancerOptions {
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** What an endpoint without a measurement is taken for. */
  readonly defaultRttMs: number;
  /** After this time a measurement has lost about two thirds of its weight. */
  readonly decayMs: number;
  /** When an endpoint is left alone for its responses; absent: never. */
  readonly accrual?: FailureAccrual;
  /** How failures weigh on the choice; absent: they do not. */
  readonly penalty?: LoadPenalty;
  /** How many wait for a first endpoint at most, and how long; absent: the usual. */
  readonly queueMax?: number;
  readonly queueMs?: number;
}

/** What its user keeps at an endpoint; is closed when the endpoint goes. */
export interface EndpointResource {
  close(): void;
}

/** Waits for an endpoint. */
export interface PickWaiter {
  /** Called once: with an endpoint, or null when the wait was too long. */
  picked(state: EndpointState | null): void;
}

/** One endpoint of a balancer: what was measured, and what its user keeps at it. */
export class EndpointState {
  readonly endpoint: Endpoint;
  /** Labels of the destination that the endpoint belongs to (`service`, `namespace`). */
  readonly setLabels: Readonly<Record<string, string>>;
  /** The user's; null until it is needed. */
  resource: EndpointResource | null = null;
  /** The discovery has withdrawn it; what is under way may end. */
  removed = false;
  /** Requests or connections under way. */
  pending = 0;
  /** It has answered; until then its latency is an assumption that fades with its age. */
  isMeasured = false;
  readonly #latency: PeakEwma;
  #lastLatencyMs = 0;
  readonly #breaker: Breaker | null;
  readonly #penalty: LoadPenalty | null;
  #failures = 0;
  /** The share of bad responses among the last ones; 0 for nearly all endpoints. */
  #badness = 0;
  #badnessAtMs = 0;
  #avoidUntilMs = 0;

  constructor(
    endpoint: Endpoint,
    setLabels: Readonly<Record<string, string>>,
    options: BalancerOptions,
    mayEject: () => boolean = () => false,
  ) {
    this.endpoint = endpoint;
    this.setLabels = setLabels;
    const { accrual, random } = options;
    const now = options.clock.monotonicMs();
    this.#breaker = accrual === undefined ? null : new Breaker(accrual, random, mayEject, now);
    this.#penalty = options.penalty ?? null;
    this.#latency = new PeakEwma(options.defaultRttMs, options.decayMs, now);
  }

  /** A request or connection begins; `ended` must follow. */
  began(nowMs: number): void {
    this.pending++;
    this.#breaker?.began(nowMs);
  }

  /** It was answered after `latencyMs`. A peak counts at once, an improvement bit by bit. */
  measured(latencyMs: number, nowMs: number): void {
    this.#failures = 0;
    this.isMeasured = true;
    this.#lastLatencyMs = latencyMs;
    this.#latency.observe(latencyMs, nowMs);
  }

  /** It was sent, and nobody waited longer than this for an answer: a latency of at least so much. */
  unanswered(waitedMs: number, nowMs: number): void {
    if (waitedMs > this.#latency.value(nowMs)) this.#weigh(waitedMs, nowMs);
  }

  /**
   * A bad response came after so long. Bad ones are often quick, and must not draw requests: the estimate
   * stays what it is, or rises.
   */
  failedAfter(latencyMs: number, nowMs: number): void {
    this.#failures = 0;
    this.isMeasured = true;
    this.#lastLatencyMs = latencyMs;
    this.#latency.restart(Math.max(latencyMs, this.#latency.value(nowMs)), nowMs);
  }

  /**
   * The response to a request that began then was good or bad, or did not come; follows `began`, before
   * `ended`. Whoever is taken back begins with the latency of that response: what was measured before
   * is over.
   */
  judged(isGood: boolean, beganAtMs: number, nowMs: number): void {
    if (!isGood || this.#badness > 0) this.#countBad(isGood ? 0 : 1, nowMs);
    if (this.#breaker?.judged(isGood, beganAtMs, nowMs) !== true) return;
    this.#badness = 0;
    this.#latency.restart(this.#lastLatencyMs, nowMs);
  }

  /** A response says that the endpoint has failed or has too much to do. */
  penalized(nowMs: number): void {
    if (this.#penalty !== null) this.#weigh(this.#penalty.penaltyMs, nowMs);
  }

  /** The endpoint has asked to be left alone for so long. */
  askedToWait(delayMs: number, nowMs: number): void {
    if (this.#penalty === null) return;
    this.#weigh(Math.min(delayMs, this.#penalty.retryAfterMaxMs), nowMs);
  }

  /** A request or connection that began then is over, whatever came of it. */
  ended(beganAtMs: number): void {
    this.pending--;
    this.#breaker?.ended(beganAtMs);
    assert(this.pending >= 0, "an endpoint's pending requests are counted twice");
  }

  /** The endpoint could not be reached: leave it alone for a while, longer each time. */
  failed(nowMs: number): void {
    if (this.#avoidUntilMs > nowMs) return;
    const backoff = Math.min(BACKOFF_FIRST_MS * 2 ** this.#failures, BACKOFF_LONGEST_MS);
    this.#failures++;
    this.#avoidUntilMs = nowMs + backoff;
  }

  avoided(nowMs: number): boolean {
    return this.#avoidUntilMs > nowMs || this.#breaker?.isOpen(nowMs) === true;
  }

  /** Left alone for its responses, and not taken back yet. */
  get isEjected(): boolean {
    return this.#breaker?.isEjected === true;
  }

  /** It was left alone, and one request should try it; asked behind `avoided`. */
  get awaitsProbe(): boolean {
    return this.#breaker?.awaitsProbe === true;
  }

  /** Nothing bad is known of its responses now. */
  get isWell(): boolean {
    return this.#breaker?.isWell !== false;
  }

  /** No endpoint does well: it may be tried again earlier. */
  reprieve(): void {
    this.#breaker?.reprieve();
  }

  #badnessOf(nowMs: number): number {
    const badness = this.#badness * Math.exp(-(nowMs - this.#badnessAtMs) / BADNESS_FADE_MS);
    return badness < BADNESS_LEAST ? 0 : badness;
  }

  #countBad(bad: number, nowMs: number): void {
    const before = this.#badnessOf(nowMs);
    const badness = before + (bad - before) * BADNESS_WEIGHT;
    this.#badness = badness < BADNESS_LEAST ? 0 : Math.min(badness, BADNESS_MOST);
    this.#badnessAtMs = nowMs;
  }

  #weigh(delayMs: number, nowMs: number): void {
    if (delayMs <= 0) return;
    this.isMeasured = true;
    this.#latency.observe(delayMs, nowMs);
  }

  /** Lower is better. The estimate fades, so that a slow endpoint is tried again some time. */
  load(nowMs: number): number {
    // What a good response costs: a bad one is asked for once more, by the proxy or by somebody else.
    const load = this.#latency.value(nowMs) * this.share();
    return this.#badness === 0 ? load : load / (1 - this.#badnessOf(nowMs));
  }

  /** Lower is better: what is under way, by weight, whatever the latency. */
  share(): number {
    return (this.pending + 1) * USUAL_WEIGHT / Math.max(1, this.endpoint.weight);
  }
}

/** The endpoints of one backend, kept up to date by `update`. */
export class Balancer {
  /** It has been given up: whoever waited for it may ask another one. */
  isClosed = false;
  /** How many steps of the discovery of each kind it has taken. */
  readonly updates: Record<EndpointUpdate["kind"], number> = { add: 0, remove: 0, none: 0 };
  /** How many have ever had to wait for a first endpoint. */
  waited = 0;
  /** How long those waited that were told of one, or that there is none; in seconds. */
  readonly waitTimes: Histogram = new Histogram(WAIT_BOUNDS);
  readonly #options: BalancerOptions;
  readonly #queueMax: number;
  readonly #queueMs: number;
  readonly #byAddress = new Map<string, EndpointState>();
  #states: EndpointState[] = [];
  /** Who waits, and since when. */
  readonly #waiters = new Map<PickWaiter, number>();
  /** Whether one more endpoint can be left alone. */
  readonly #mayEject: () => boolean;
  #failfastAtMs: number;
  #timer: Timer | null = null;

  constructor(options: BalancerOptions) {
    this.#options = options;
    this.#queueMax = options.queueMax ?? USUAL_LIMITS.outboundQueueMax;
    this.#queueMs = options.queueMs ?? USUAL_LIMITS.outboundQueueMs;
    this.#failfastAtMs = options.clock.monotonicMs() + this.#queueMs;
    const stay = options.accrual?.endpointsMin ?? 0;
    this.#mayEject = () => stay === 0 || this.#hasBetter(stay);
  }

  /** How many endpoints there are. */
  get size(): number {
    return this.#states.length;
  }

  /** How many wait for a first endpoint now. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /** How many endpoints are not being left alone. */
  get ready(): number {
    const now = this.#options.clock.monotonicMs();
    let count = 0;
    for (const state of this.#states) if (!state.avoided(now)) count++;
    return count;
  }

  /** Takes a step of the discovery; waiting requests go on when there is an endpoint. */
  update(update: EndpointUpdate): void {
    this.updates[update.kind]++;
    if (update.kind === "add") {
      for (const endpoint of update.endpoints) this.#add(endpoint, update.labels);
    } else if (update.kind === "remove") {
      for (const address of update.addresses) this.#remove(formatAddress(address));
    } else for (const key of [...this.#byAddress.keys()]) this.#remove(key); // cold: update
    this.#states = [...this.#byAddress.values()]; // cold: update
    if (this.#states.length > 0) this.#tellWaiters();
  }

  /** Gives up all endpoints and waiting requests: nobody will use this balancer again. */
  close(): void {
    this.isClosed = true;
    this.update({ kind: "none", exists: false });
    this.#failfastAtMs = 0;
    this.#tellWaiters();
  }

  /**
   * An endpoint, the best of those that are not left alone if possible; null when there is none.
   * `shunned` is taken only where nothing else is.
   */
  pick(nowMs: number, shunned: EndpointState | null = null): EndpointState | null {
    const states = this.#states;
    const count = states.length;
    if (count < 2) return count === 0 ? null : states[0]!;
    const first = Math.floor(this.#options.random() * count);
    let second = Math.floor(this.#options.random() * (count - 1));
    if (second >= first) second++;
    const a = states[first]!;
    const b = states[second]!;
    const isOut = b === shunned || b.avoided(nowMs);
    if (a === shunned || a.avoided(nowMs)) return isOut ? this.#pickAny(first, shunned, nowMs) : b;
    if (isOut) return a;
    // Whoever was left alone is tried by the next request that finds it, however slow it was; but not by
    // one that has failed already.
    if (shunned === null) {
      if (a.awaitsProbe) return a;
      if (b.awaitsProbe) return b;
    }
    if (a.isMeasured || b.isMeasured) return a.load(nowMs) <= b.load(nowMs) ? a : b;
    // Nothing is known of either: which of them came first must not decide. The first of two random
    // ones is random itself, so equals are drawn fairly.
    return a.share() <= b.share() ? a : b;
  }

  /**
   * As `pick`, but waits for a first endpoint. The waiter is called at once when there is one, or
   * when there has been none for so long that waiting is in vain.
   */
  wait(waiter: PickWaiter, shunned: EndpointState | null = null): void {
    const now = this.#options.clock.monotonicMs();
    const state = this.pick(now, shunned);
    if (state !== null || now >= this.#failfastAtMs || this.isFull) {
      waiter.picked(state);
      return;
    }
    this.waited++;
    this.#waiters.set(waiter, now);
    this.#timer ??= this.#options.clock.after(this.#failfastAtMs - now, () => this.#tellWaiters());
  }

  /** No more may wait. */
  get isFull(): boolean {
    return this.#waiters.size >= this.#queueMax;
  }

  /** The waiter has gone; it will not be called any more. */
  cancel(waiter: PickWaiter): void {
    this.#waiters.delete(waiter);
  }

  /** Both of two random ones are out: any other that is not, else the shunned one, else the first. */
  #pickAny(from: number, shunned: EndpointState | null, nowMs: number): EndpointState {
    const states = this.#states;
    const count = states.length;
    for (let i = 1; i < count; i++) {
      const state = states[(from + i) % count]!;
      if (state !== shunned && !state.avoided(nowMs)) return state;
    }
    return shunned?.removed === false && !shunned.avoided(nowMs) ? shunned : states[from]!;
  }

  /**
   * Whether an endpoint may be left alone: enough others stay, and one of them does well. Where all
   * fail alike, leaving some alone would only burden the others; who is left alone then is tried again.
   */
  #hasBetter(stay: number): boolean {
    const states = this.#states;
    let staying = 0;
    let isAnyWell = false;
    for (let i = 0; i < states.length; i++) {
      const state = states[i]!;
      if (!state.isEjected) staying++;
      if (state.isWell) isAnyWell = true;
    }
    if (!isAnyWell) { for (let i = 0; i < states.length; i++) states[i]!.reprieve(); }
    return isAnyWell && staying > stay;
  }

  #add(endpoint: Endpoint, labels: Readonly<Record<string, string>>): void {
    const key = formatAddress(endpoint.address);
    const known = this.#byAddress.get(key);
    if (known !== undefined) {
      if (equalValues(known.endpoint, endpoint) && equalValues(known.setLabels, labels)) return;
      this.#remove(key);
    }
    this.#byAddress.set(key, new EndpointState(endpoint, labels, this.#options, this.#mayEject));
  }

  #remove(key: string): void {
    const state = this.#byAddress.get(key);
    if (state === undefined) return;
    this.#byAddress.delete(key);
    state.removed = true;
    state.resource?.close();
    state.resource = null;
    if (this.#byAddress.size === 0) {
      this.#failfastAtMs = this.#options.clock.monotonicMs() + this.#queueMs;
    }
  }

  /** Each gets an endpoint, or null where there is none. */
  #tellWaiters(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const now = this.#options.clock.monotonicMs();
    for (const [waiter, sinceMs] of this.#waiters) {
      this.#waiters.delete(waiter);
      this.waitTimes.observe((now - sinceMs) / 1_000);
      waiter.picked(this.pick(now));
    }
  }
}
