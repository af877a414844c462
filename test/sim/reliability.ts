/**
 * Balancer, failure accrual, retry budget, gates and limits together on virtual time, without a socket:
 * replicas that work, fail, hang or slow down by the seed, and heal; callers of one proxy that ask, give up
 * and ask again. What must hold is checked on the way; one seed is one scenario.
 */

import { Prng } from "../../lib/base/prng.ts";
import type { Clock } from "../../lib/host/clock.ts";
import { DEFAULT_RETRY_BUDGET as BUDGET } from "../../lib/mesh/reliability.ts";
import { Balancer, type EndpointState } from "../../lib/proxy/balance.ts";
import { AdaptiveLimit } from "../../lib/proxy/concurrency-limit.ts";
import { Gate, type GateVisitor } from "../../lib/proxy/gate.ts";
import { RetryBudget } from "../../lib/proxy/retry-budget.ts";
import { EventHeap } from "./heap.ts";

const QUEUE_MS = 1_000;
const TRY_MS = 2_000;
const PENALTY_MOST_MS = 10_000;
/** Everything works, then some replicas are broken, then all have healed. */
const BROKEN_FROM_MS = 20_000;
/** Healed replicas are asked again after their last penalty, and a relapse is not one any more. */
const SETTLED_MS = 4 * PENALTY_MOST_MS;
/** What chance did once it does not do twice in a row: who is found bad is judged once more. */
const JUDGED_MS = 30_000;
/** So many seeds may be judged twice at most, of all: more is not chance. */
export const JUDGED_TWICE_MOST = 1 / 400;
/** Being left alone for so often in that time is swinging: the shortest penalty would admit 60. */
const SWINGS_MOST = 4;

/** What became of one seed. */
export interface ReliabilityResult {
  readonly requests: number;
  readonly retries: number;
  readonly virtualMs: number;
  /** Of the requests at the end, when all have healed. */
  readonly goodAtEnd: number;
  /** Too much failed, or somebody was left alone too often, in the first of two windows. */
  readonly isSecondLook: boolean;
  /** What does not hold; null: everything does. */
  readonly failure: string | null;
}

type Mode = "well" | "failing" | "hanging" | "slow";

/** One replica with its own proxy. */
class Replica {
  readonly gate: Gate;
  readonly limit: AdaptiveLimit;
  readonly queue: Try[] = [];
  busy = 0;
  mode: Mode = "well";
  served = 0;
  ejections = 0;
  wasEjected = false;

  constructor(readonly workers: number, readonly meanMs: number, world: World) {
    this.limit = new AdaptiveLimit(0, () => world.random.float());
    this.gate = new Gate({
      limit: this.limit,
      queueMax: 10_000,
      queuesAsLimit: true,
      queueMs: QUEUE_MS,
      onWaiting: () => {},
      onServed: () => {},
      figures: null,
    });
  }
}

/** One try of one request. */
class Try implements GateVisitor {
  place = 0;
  sentAtMs = 0;
  isOver = false;
  readonly caller = "";
  constructor(
    readonly world: World,
    readonly state: EndpointState,
    readonly replica: Replica,
    readonly beganAtMs: number,
    readonly isRetry: boolean,
  ) {}
  admitted(): void {
    this.world.send(this);
  }
  shed(): void {
    this.world.over(this, "bad");
  }
}

class World {
  readonly random: Prng;
  now = 0;
  requests = 0;
  retries = 0;
  asked = 0;
  good = 0;
  readonly #heap = new EventHeap();
  #sequence = 0;
  readonly #replicas = new Map<number, Replica>();
  readonly #balancer: Balancer;
  /** Of those that were asked. */
  readonly #states = new Set<EndpointState>();
  readonly #budget: RetryBudget;
  readonly #healedAtMs: number;
  #endMs: number;
  #isSecondLook = false;
  #rate = 0;

  constructor(seed: number) {
    this.random = new Prng(seed);
    const { random } = this;
    const clock: Clock = {
      nowMs: () => this.now,
      monotonicMs: () => this.now,
      after: () => ({ cancel() {} }),
      every: () => ({ cancel() {} }),
      afterTurn() {},
    };
    this.#balancer = new Balancer({
      clock,
      random: () => random.float(),
      defaultRttMs: 30,
      decayMs: 10_000,
      accrual: {
        failuresMax: 3 + this.#upTo(5),
        backoff: { minMs: 500, maxMs: PENALTY_MOST_MS, jitter: 0.5 },
        endpointsMin: 1,
        ...(random.float() < 0.5
          ? {}
          : { successRate: { threshold: 0.8, windowMs: 10_000, requestsMin: 5 } }),
      },
    });
    this.#budget = new RetryBudget(BUDGET, 0);
    const count = 2 + this.#upTo(5);
    // Requests are few, so that a seed takes milliseconds: replicas are as slow as their load is low.
    const meanMs = 100 * 2 ** this.#upTo(3);
    for (let port = 1; port <= count; port++) {
      this.#replicas.set(port, new Replica(1 + this.#upTo(4), meanMs, this));
    }
    const endpoints = [...this.#replicas.keys()].map((port) => ({
      address: { ip: "10.0.0.1", port },
      weight: 10_000,
      labels: {},
      hint: "unknown" as const,
    }));
    this.#balancer.update({ kind: "add", endpoints, labels: {} });
    this.#healedAtMs = BROKEN_FROM_MS + 10_000 * (1 + this.#upTo(6));
    this.#endMs = this.#healedAtMs + SETTLED_MS + JUDGED_MS;
  }

  run(): ReliabilityResult {
    let failure: string | null = null;
    this.#load(0.4);
    this.#at(BROKEN_FROM_MS, () => this.#break());
    this.#at(this.#healedAtMs, () => {
      for (const replica of this.#replicas.values()) replica.mode = "well";
      this.#load(0.4);
    });
    this.#at(this.#endMs - JUDGED_MS, () => this.#judge());
    this.#at(this.#endMs, () => {
      if (this.#unsettled() === null) return;
      this.#isSecondLook = true;
      this.#endMs += JUDGED_MS;
      this.#judge();
    });
    this.#at(0, () => this.#arrive());
    for (let event = this.#heap.take(); event !== undefined && failure === null;) {
      this.now = event.at;
      event.call();
      failure = this.#broken();
      event = this.#heap.take();
    }
    const goodAtEnd = this.good / Math.max(1, this.asked);
    failure ??= this.#brokenAtEnd();
    const { requests, retries, now: virtualMs } = this;
    return { requests, retries, virtualMs, goodAtEnd, isSecondLook: this.#isSecondLook, failure };
  }

  send(one: Try): void {
    one.sentAtMs = this.now;
    one.replica.queue.push(one);
    this.#work(one.replica);
  }

  /** A try has ended, in one way or another; afterwards it may be made once more. */
  over(one: Try, became: "good" | "bad" | "late"): void {
    if (one.isOver) return;
    one.isOver = true;
    const { state, replica } = one;
    const { now } = this;
    if (became === "late") state.unanswered(now - one.beganAtMs, now);
    else if (became === "good") state.measured(now - one.beganAtMs, now);
    else state.failedAfter(now - one.beganAtMs, now);
    state.judged(became === "good", one.beganAtMs, now);
    if (one.place > 0) {
      const latencyMs = now - one.sentAtMs;
      if (became === "good") replica.gate.answered(one, latencyMs, one.sentAtMs, now);
      if (became === "late") replica.gate.unanswered(one, latencyMs, one.sentAtMs, now);
    }
    replica.gate.left(one);
    state.ended(one.beganAtMs);
    if (became === "good") this.good++;
    else if (!one.isRetry && this.#budget.withdraw(now, 0)) {
      this.retries++;
      this.#try(true, state);
    }
  }

  #arrive(): void {
    if (this.now > this.#endMs) return;
    this.requests++;
    this.asked++;
    this.#budget.deposit(this.now);
    this.#try(false, null);
    this.#at(this.now + this.#exponential(1_000 / this.#rate), () => this.#arrive());
  }

  #try(isRetry: boolean, shunned: EndpointState | null): void {
    const state = this.#balancer.pick(this.now, shunned);
    if (state === null) throw new Error("there are always endpoints");
    const replica = this.#replicas.get(state.endpoint.address.port)!;
    this.#states.add(state);
    state.began(this.now);
    replica.served++;
    const one = new Try(this, state, replica, this.now, isRetry);
    this.#at(this.now + TRY_MS, () => this.over(one, "late"));
    this.#at(this.now + QUEUE_MS, () => replica.gate.expire(this.now));
    if (replica.gate.enter(one)) this.send(one);
  }

  #work(replica: Replica): void {
    while (replica.busy < replica.workers && replica.mode !== "hanging") {
      const one = replica.queue.shift();
      if (one === undefined) return;
      replica.busy++;
      const isFailing = replica.mode === "failing" && this.random.float() < 0.7;
      const slow = replica.mode === "slow" ? 8 : 1;
      const ms = isFailing ? 1 : this.#exponential(replica.meanMs * slow);
      this.#at(this.now + ms, () => {
        replica.busy--;
        this.over(one, isFailing ? "bad" : "good");
        this.#work(replica);
      });
    }
  }

  /** Breaks some of the replicas, never all; or asks for more than all can do. */
  #break(): void {
    const replicas = [...this.#replicas.values()];
    const modes: readonly Mode[] = ["failing", "hanging", "slow"];
    for (let i = 0; i < this.#upTo(replicas.length); i++) {
      replicas[i]!.mode = modes[this.#upTo(modes.length)]!;
      // Who hangs picks up what waits when it heals.
      this.#at(this.#healedAtMs + 1, () => this.#work(replicas[i]!));
    }
    this.#load([0.3, 1, 2, 4][this.#upTo(4)]!);
  }

  #load(share: number): void {
    let capacity = 0;
    for (const { workers, meanMs } of this.#replicas.values()) capacity += workers * 1_000 / meanMs;
    this.#rate = share * capacity;
  }

  /** What must hold at any time. */
  #broken(): string | null {
    for (const [port, { gate, limit }] of this.#replicas) {
      if (gate.inFlight > 10_000 || gate.waiting > Math.max(8, 10_000 / 2)) return `queue ${port}`;
      if (gate.waiting > 0 && gate.inFlight === 0) return `${port} lets nobody in who waits`;
      if (limit.current < 1) return `limit of ${port} is ${limit.current}`;
    }
    const spare = BUDGET.minPerSecond * (this.now + BUDGET.ttlMs) / 1_000;
    if (this.retries > BUDGET.ratio * this.requests + spare) return "more retries than the budget";
    for (const state of this.#states) {
      const replica = this.#replicas.get(state.endpoint.address.port)!;
      // Behind the end nothing good comes any more that would make up for what is still late.
      const isCounted = this.now <= this.#endMs;
      if (isCounted && state.isEjected && !replica.wasEjected) replica.ejections++;
      replica.wasEjected = state.isEjected;
    }
    return null;
  }

  /** Counts from now on. */
  #judge(): void {
    for (const replica of this.#replicas.values()) replica.served = replica.ejections = 0;
    this.asked = this.good = 0;
  }

  /** Who swings, or that too much fails: what chance may do now and then, and a defect always does. */
  #unsettled(): string | null {
    for (const state of this.#states) {
      const { port } = state.endpoint.address;
      const { ejections } = this.#replicas.get(port)!;
      if (ejections > SWINGS_MOST) return `${port} swings: ${ejections} times left alone`;
    }
    const good = this.good / Math.max(1, this.asked);
    return good < 0.95 ? `only ${(100 * good).toFixed(1)} % are good at the end` : null;
  }

  /** What must hold when all has healed. */
  #brokenAtEnd(): string | null {
    for (const state of this.#states) {
      const { port } = state.endpoint.address;
      const replica = this.#replicas.get(port)!;
      // A burst may be shed and have it left alone for a moment, but not for long.
      if (replica.served === 0) return `${port} is not asked any more`;
      if (state.pending !== 0) return `${port} has ${state.pending} pending`;
      if (replica.gate.inFlight + replica.gate.waiting > 0) return `the gate of ${port} keeps some`;
    }
    return this.#unsettled();
  }

  #at(at: number, call: () => void): void {
    const sequence = this.#sequence++;
    this.#heap.push({ at, tie: 0, sequence, call, isTimer: false, cancelled: false });
  }

  #upTo(count: number): number {
    return Math.floor(this.random.float() * count);
  }

  #exponential(mean: number): number {
    return -Math.log(1 - this.random.float()) * mean;
  }
}

/** Runs one seed. */
export function reliability(seed: number): ReliabilityResult {
  return new World(seed).run();
}

if (import.meta.main) {
  const option = (name: string, usual: number) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? usual : Number(process.argv[at + 1]);
  };
  const one = option("seed", 0);
  const seeds = one > 0 ? 1 : option("seeds", 10_000);
  const from = one > 0 ? one : option("from", 1);
  let failed = 0;
  let virtualMs = 0;
  let requests = 0;
  let second = 0;
  for (let seed = from; seed < from + seeds; seed++) {
    const result = reliability(seed);
    if (one > 0) console.log(result);
    virtualMs += result.virtualMs;
    requests += result.requests;
    if (result.isSecondLook) second++;
    if (result.failure === null) continue;
    failed++;
    console.log(`npm run sim:reliability -- --seed ${seed}: ${result.failure}`);
  }
  const days = (virtualMs / 86_400_000).toFixed(1);
  console.log(
    `${seeds} seeds, ${failed} failed, ${second} judged twice; ${requests} requests in ${days} days`,
  );
  const isChance = second <= Math.max(1, JUDGED_TWICE_MOST * seeds);
  if (!isChance) console.log(`expected at most one of ${1 / JUDGED_TWICE_MOST} to be judged twice`);
  if (failed > 0 || !isChance) process.exitCode = 1;
}
