/**
 * Balancer, failure accrual, retry budget, gates and limits together on virtual time, without a socket:
 * replicas that work, fail, hang or slow down by the seed, and heal; callers of one proxy that ask, give up
 * and ask again. What must hold is checked on the way; one seed is one scenario, of minutes or of hours.
 * `npm run sim:reliability -- --seeds N [--from S]` runs many, `--seed S` one.
 */

import { QUEUE_LEAST } from "../../lib/base/limits.ts";
import { Prng } from "../../lib/base/prng.ts";
import type { Clock } from "../../lib/host/clock.ts";
import { DEFAULT_RETRY_BUDGET, type RetryBudget as Budget } from "../../lib/mesh/reliability.ts";
import { gateBounds } from "../../lib/proxy/application-gate.ts";
import { Balancer, type EndpointState } from "../../lib/proxy/balance.ts";
import { Gate, type GateVisitor } from "../../lib/proxy/gate.ts";
import { USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";
import { RetryBudget } from "../../lib/proxy/retry-budget.ts";
import { type Entry, EventHeap } from "./heap.ts";

const LIMITS = { ...USUAL_LIMITS, inboundConcurrency: "adaptive" } as const;
const QUEUE_MS = LIMITS.inboundQueueMs;
/** How often who waits is looked at once somebody has waited for so long: as a proxy does. */
const LOOK_MS = QUEUE_MS / 10;
const TRY_MS = 2_000;
const PENALTY_MOST_MS = 10_000;
/** In each round everything works, then some replicas are broken, then all have healed. */
const BROKEN_AFTER_MS = 20_000;
/** Healed replicas are asked again after their last penalty, and a relapse is not one any more. */
const SETTLED_MS = 4 * PENALTY_MOST_MS;
/** What chance did once it does not do twice in a row: who is found bad is looked at once more. */
const JUDGED_MS = 30_000;
/** So many second looks there may be at most, of all rounds: more is not chance. */
export const SECOND_LOOKS_MOST = 1 / 400;
/** The share of requests that must be answered well then. */
const GOOD_LEAST = 0.95;
/** Being left alone for so often in that time is swinging: the shortest penalty would admit 60. */
const SWINGS_MOST = 4;
/** Of so many seeds one is long: some hours, in which what leaks or is forgotten would add up. */
const LONG_EVERY = 1_000;
const LONG_ROUNDS = 200;
/** A budget forgets by tenths of its time, the oldest whole: it knows at least so much of it. */
const BUDGET_KNOWN = 0.9;

/** What became of one seed. */
export interface ReliabilityResult {
  readonly requests: number;
  readonly retries: number;
  readonly virtualMs: number;
  readonly rounds: number;
  /** How often too much had failed, or somebody had been left alone too often, the first time in a row. */
  readonly secondLooks: number;
  /** What does not hold; null: everything does. */
  readonly failure: string | null;
}

/** What became of many. */
export interface ReliabilitySum extends Omit<ReliabilityResult, "failure"> {
  readonly longestMs: number;
  /** Each with the command that runs it again. */
  readonly failures: readonly string[];
}

type Mode = "well" | "failing" | "hanging" | "slow";

/** Is told of each try. */
export type TryWatcher = (port: number, mode: Mode, nowMs: number) => void;

/** One replica with its own proxy. */
class Replica {
  readonly gate: Gate;
  readonly queue: Try[] = [];
  /** At its callers' proxy; null: it has not been asked yet. */
  state: EndpointState | null = null;
  busy = 0;
  mode: Mode = "well";
  /** Tries that have begun and are not over. */
  open = 0;
  served = 0;
  ejections = 0;
  readonly #world: World;
  #look: Entry | null = null;
  #wasEjected = false;
  #inFlight = 0;
  #waiting = 0;

  constructor(
    readonly port: number,
    readonly workers: number,
    readonly meanMs: number,
    world: World,
  ) {
    this.#world = world;
    this.gate = new Gate({
      ...gateBounds(LIMITS, 0, () => world.random.float()),
      onWaiting: () => this.#lookAfter(QUEUE_MS),
      onServed: () => void (this.#look!.cancelled = true),
      figures: null,
    });
  }

  #lookAfter(delayMs: number): void {
    const world = this.#world;
    this.#look = world.at(world.now + delayMs, () => {
      this.gate.expire(world.now);
      if (this.gate.waiting > 0) this.#lookAfter(LOOK_MS);
    });
  }

  /** What does not hold of it between two events. */
  broken(countsEjections: boolean): string | null {
    const { gate, state } = this;
    const { inFlight, waiting, limit: { current } } = gate;
    if (current < 1) return `limit of ${this.port} is ${current}`;
    // A limit falls below what is under way, but nobody comes in before it is above that again.
    if (inFlight > Math.max(current, this.#inFlight)) {
      return `${this.port} has ${inFlight} under way, and its limit is ${current}`;
    }
    const waitingMost = Math.ceil(Math.max(QUEUE_LEAST, current / 2));
    if (waiting > Math.max(waitingMost, this.#waiting)) {
      return `at ${this.port} wait ${waiting}, ${waitingMost} may`;
    }
    if (waiting > 0 && inFlight === 0) return `${this.port} lets nobody in who waits`;
    if (inFlight + waiting !== this.open) return `the gate of ${this.port} keeps or forgets some`;
    this.#inFlight = inFlight;
    this.#waiting = waiting;
    if (state === null) return null;
    if (state.pending !== this.open) return `${this.port} has ${state.pending} pending`;
    if (countsEjections && state.isEjected && !this.#wasEjected) this.ejections++;
    this.#wasEjected = state.isEjected;
    return null;
  }
}

/** One try of one request. */
class Try implements GateVisitor {
  place = 0;
  sentAtMs = 0;
  isOver = false;
  /** Ends it. */
  timeout: Entry | null = null;
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

/** When things happened, as long as that counts. */
class Recent {
  readonly #spanMs: number;
  readonly #atMs: number[] = [];
  #first = 0;

  constructor(spanMs: number) {
    this.#spanMs = spanMs;
  }

  add(nowMs: number): void {
    this.#atMs.push(nowMs);
  }

  count(nowMs: number): number {
    while (this.#atMs[this.#first]! <= nowMs - this.#spanMs) this.#first++;
    return this.#atMs.length - this.#first;
  }
}

class World {
  readonly random: Prng;
  now = 0;
  #requests = 0;
  #retries = 0;
  #asked = 0;
  #good = 0;
  readonly #heap = new EventHeap();
  #sequence = 0;
  readonly #replicas: Replica[] = [];
  readonly #balancer: Balancer;
  readonly #policy: Budget;
  readonly #budget: RetryBudget;
  readonly #paying: Recent;
  readonly #retried: Recent;
  readonly #rounds: number;
  readonly #watcher: TryWatcher | undefined;
  #round = 0;
  #secondLooks = 0;
  #isOver = false;
  #failure: string | null = null;
  #rate = 0;

  constructor(seed: number, rounds: number, watcher?: TryWatcher) {
    this.random = new Prng(seed);
    this.#rounds = rounds;
    this.#watcher = watcher;
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
        failuresMax: 3 + random.below(5),
        backoff: { minMs: 500, maxMs: PENALTY_MOST_MS, jitter: 0.5 },
        endpointsMin: 1,
        ...(random.chance(0.5)
          ? {}
          : { successRate: { threshold: 0.8, windowMs: 10_000, requestsMin: 5 } }),
      },
    });
    // With none a second that are always allowed, a budget is short where little is asked, as here.
    this.#policy = { ...DEFAULT_RETRY_BUDGET, minPerSecond: random.pick([0, 1, 10]) };
    this.#budget = new RetryBudget(this.#policy, 0);
    this.#paying = new Recent(this.#policy.ttlMs);
    this.#retried = new Recent(this.#policy.ttlMs * BUDGET_KNOWN);
    const count = random.between(2, 6);
    // Requests are few, so that a seed takes milliseconds: replicas are as slow as their load is low.
    const meanMs = 100 * 2 ** random.below(3);
    for (let port = 1; port <= count; port++) {
      this.#replicas.push(new Replica(port, random.between(1, 4), meanMs, this));
    }
    const endpoints = this.#replicas.map(({ port }) => ({
      address: { ip: "10.0.0.1", port },
      weight: 10_000,
      labels: {},
      hint: "unknown" as const,
    }));
    this.#balancer.update({ kind: "add", endpoints, labels: {} });
  }

  run(): ReliabilityResult {
    this.#begin();
    this.at(0, () => this.#arrive());
    for (let event = this.#heap.take(); event !== undefined;) {
      this.now = event.at;
      event.call();
      this.#failure ??= this.#broken();
      if (this.#failure !== null) break;
      event = this.#heap.take();
    }
    return {
      requests: this.#requests,
      retries: this.#retries,
      virtualMs: this.now,
      rounds: this.#round,
      secondLooks: this.#secondLooks,
      failure: this.#failure ?? this.#leftover(),
    };
  }

  at(at: number, call: () => void): Entry {
    const sequence = this.#sequence++;
    const entry = { at, tie: 0, sequence, call, isTimer: false, cancelled: false };
    this.#heap.push(entry);
    return entry;
  }

  send(one: Try): void {
    const waitedMs = this.now - one.beganAtMs;
    if (waitedMs > QUEUE_MS + LOOK_MS) this.#failure ??= `one was let in after ${waitedMs} ms`;
    one.sentAtMs = this.now;
    one.replica.queue.push(one);
    this.#work(one.replica);
  }

  /** A try has ended, in one way or another; afterwards it may be made once more. */
  over(one: Try, became: "good" | "bad" | "late"): void {
    if (one.isOver) return;
    one.isOver = true;
    one.timeout!.cancelled = true;
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
    replica.open--;
    if (became === "good") this.#good++;
    else if (!one.isRetry && this.#budget.withdraw(now, 0)) this.#retry(state);
  }

  #arrive(): void {
    if (this.#isOver) return;
    this.#requests++;
    this.#asked++;
    this.#budget.deposit(this.now);
    this.#paying.add(this.now);
    this.#try(false, null);
    this.at(this.now + this.#exponential(1_000 / this.#rate), () => this.#arrive());
  }

  #retry(shunned: EndpointState): void {
    this.#retries++;
    this.#retried.add(this.now);
    const { ratio, minPerSecond, ttlMs } = this.#policy;
    const most = ratio * this.#paying.count(this.now) + minPerSecond * ttlMs / 1_000;
    if (this.#retried.count(this.now) > most) this.#failure ??= "more retries than the budget";
    this.#try(true, shunned);
  }

  #try(isRetry: boolean, shunned: EndpointState | null): void {
    const state = this.#balancer.pick(this.now, shunned);
    if (state === null) throw new Error("there are always endpoints");
    const { port } = state.endpoint.address;
    const replica = this.#replicas[port - 1]!;
    replica.state = state;
    state.began(this.now);
    replica.open++;
    replica.served++;
    this.#watcher?.(port, replica.mode, this.now);
    const one = new Try(this, state, replica, this.now, isRetry);
    one.timeout = this.at(this.now + TRY_MS, () => this.over(one, "late"));
    if (replica.gate.enter(one)) this.send(one);
  }

  #work(replica: Replica): void {
    while (replica.busy < replica.workers && replica.mode !== "hanging") {
      const one = replica.queue.shift();
      if (one === undefined) return;
      replica.busy++;
      const isFailing = replica.mode === "failing" && this.random.chance(0.7);
      const slow = replica.mode === "slow" ? 8 : 1;
      const ms = isFailing ? 1 : this.#exponential(replica.meanMs * slow);
      this.at(this.now + ms, () => {
        replica.busy--;
        this.over(one, isFailing ? "bad" : "good");
        this.#work(replica);
      });
    }
  }

  /** A round. */
  #begin(): void {
    this.#round++;
    this.#load(0.4);
    this.at(this.now + BROKEN_AFTER_MS, () => this.#break());
  }

  /** Breaks some of the replicas, never all; or asks for more than all can do. */
  #break(): void {
    const { random } = this;
    const count = this.#replicas.length;
    const modes: readonly Mode[] = ["failing", "hanging", "slow"];
    const first = random.below(count);
    for (let i = random.below(count); i > 0; i--) {
      this.#replicas[(first + i) % count]!.mode = random.pick(modes);
    }
    this.#load(random.pick([0.3, 1, 2, 4]));
    this.at(this.now + 10_000 * random.between(1, 6), () => this.#heal());
  }

  #heal(): void {
    this.#load(0.4);
    for (const replica of this.#replicas) {
      replica.mode = "well";
      // Who hung picks up what waits.
      this.#work(replica);
    }
    this.at(this.now + SETTLED_MS, () => this.#judge(null));
  }

  #load(share: number): void {
    let capacity = 0;
    for (const { workers, meanMs } of this.#replicas) capacity += workers * 1_000 / meanMs;
    this.#rate = share * capacity;
  }

  /** What must hold at any time. */
  #broken(): string | null {
    for (const replica of this.#replicas) {
      // Behind the end nothing good comes any more that would make up for what is still late.
      const broken = replica.broken(!this.#isOver);
      if (broken !== null) return broken;
    }
    return null;
  }

  /** Looks at what happens from now on; `found` is who was found bad before. */
  #judge(found: string | null): void {
    for (const replica of this.#replicas) replica.served = replica.ejections = 0;
    this.#asked = this.#good = 0;
    this.at(this.now + JUDGED_MS, () => this.#judged(found));
  }

  #judged(before: string | null): void {
    const found = this.#unsettled();
    if (found !== null && found !== before) {
      this.#secondLooks++;
      this.#judge(found);
      return;
    }
    if (found !== null) this.#failure ??= found;
    // A burst may be shed and have somebody left alone for a moment, but not for long.
    const forgotten = this.#replicas.find(({ served }) => served === 0);
    if (forgotten !== undefined) this.#failure ??= `${forgotten.port} is not asked any more`;
    if (this.#round === this.#rounds) this.#isOver = true;
    else this.#begin();
  }

  /** Who swings, or that too much fails: what chance may do now and then, and a defect always does. */
  #unsettled(): string | null {
    const swinging = this.#replicas.find(({ ejections }) => ejections > SWINGS_MOST);
    if (swinging !== undefined) {
      return `${swinging.port} is left alone more than ${SWINGS_MOST} times in ${JUDGED_MS} ms`;
    }
    return this.#good < GOOD_LEAST * this.#asked
      ? `less than ${GOOD_LEAST} of the requests are good when all are well`
      : null;
  }

  /** What is left when nobody asks any more; at any time all that is kept is of tries that are open. */
  #leftover(): string | null {
    const left = this.#replicas.find(({ open }) => open > 0);
    return left === undefined ? null : `${left.open} never end at ${left.port}`;
  }

  #exponential(mean: number): number {
    return -Math.log(1 - this.random.float()) * mean;
  }
}

/** Runs one seed. */
export function reliability(seed: number, watcher?: TryWatcher): ReliabilityResult {
  const rounds = seed % LONG_EVERY === 0 ? LONG_ROUNDS : 1;
  return new World(seed, rounds, watcher).run();
}

/** Runs so many seeds. */
export function reliabilityOf(from: number, seeds: number): ReliabilitySum {
  const sum = { requests: 0, retries: 0, virtualMs: 0, rounds: 0, secondLooks: 0, longestMs: 0 };
  const failures: string[] = [];
  for (let seed = from; seed < from + seeds; seed++) {
    const result = reliability(seed);
    for (const name of ["requests", "retries", "virtualMs", "rounds", "secondLooks"] as const) {
      sum[name] += result[name];
    }
    sum.longestMs = Math.max(sum.longestMs, result.virtualMs);
    if (result.failure !== null) {
      failures.push(`npm run sim:reliability -- --seed ${seed}: ${result.failure}`);
    }
  }
  return { ...sum, failures };
}

/** The same in a line. */
export function describeSum(seeds: number, sum: ReliabilitySum): string {
  const { failures, rounds, secondLooks, requests, retries, virtualMs, longestMs } = sum;
  const days = (virtualMs / 86_400_000).toFixed(1);
  const hours = (longestMs / 3_600_000).toFixed(1);
  return `${seeds} seeds, ${failures.length} failed; ${requests} requests and ${retries} retries ` +
    `in ${days} days, the longest seed ${hours} hours; ${secondLooks} of ${rounds} rounds looked at twice`;
}

if (import.meta.main) {
  const option = (name: string, usual: number) => {
    const at = process.argv.indexOf(`--${name}`);
    return at < 0 ? usual : Number(process.argv[at + 1]);
  };
  const one = option("seed", 0);
  const seeds = one > 0 ? 1 : option("seeds", 10_000);
  const sum = reliabilityOf(one > 0 ? one : option("from", 1), seeds);
  for (const failure of sum.failures) console.log(failure);
  console.log(describeSum(seeds, sum));
  const isChance = one > 0 || sum.secondLooks <= Math.max(1, SECOND_LOOKS_MOST * sum.rounds);
  if (!isChance) {
    console.log(`expected a second look at one round of ${1 / SECOND_LOOKS_MOST} at most`);
  }
  if (sum.failures.length > 0 || !isChance) process.exitCode = 1;
}
