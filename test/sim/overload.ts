/**
 * A service with so many workers and a queue without end behind a gate, asked at a steady rate by callers
 * that give up after a while and whose work is done all the same. On virtual time, from one seed.
 */

import { Prng } from "../../lib/base/prng.ts";
import {
  AdaptiveLimit,
  type ConcurrencyLimit,
  FixedLimit,
} from "../../lib/proxy/concurrency-limit.ts";
import { Gate, type GateVisitor, type ShedReason } from "../../lib/proxy/gate.ts";

/** What the service is like. */
export interface ServiceModel {
  readonly workers: number;
  readonly meanMs: number;
  readonly spread: "constant" | "exponential";
}

/** One run. */
export interface OverloadOptions {
  readonly seed: number;
  readonly service: ServiceModel;
  /** What it is from then on. */
  readonly change?: { readonly atMs: number; readonly service: ServiceModel };
  /** Requests a second, of each caller. */
  readonly rates: readonly number[];
  readonly timeoutMs: number;
  readonly durationMs: number;
  readonly limit: "adaptive" | number;
}

/** What became of it. */
export interface OverloadResult {
  /** Answered before their callers gave up, in each second. */
  readonly good: number[];
  /** The same of each caller, altogether. */
  readonly goodOf: number[];
  /** How long the good ones took, in the order in which they ended. */
  readonly latencies: { readonly atMs: number; readonly ms: number }[];
  /** The limit at the end of each tenth of a second. */
  readonly limits: number[];
  /** The longest queue before the gate, and the most behind it. */
  waitingMost: number;
  inFlightMost: number;
  limitMost: number;
  shed: number;
}

/** What a service could answer in a second. */
export function capacityOf({ workers, meanMs }: ServiceModel): number {
  return workers * 1_000 / meanMs;
}

class Visitor implements GateVisitor {
  place = 0;
  sentAtMs = 0;
  constructor(
    readonly beganAtMs: number,
    readonly caller: string,
    readonly index: number,
    readonly world: World,
  ) {}
  admitted(): void {
    this.world.send(this);
  }
  shed(_reason: ShedReason): void {
    this.world.result.shed++;
  }
}

class World {
  now = 0;
  readonly result: OverloadResult;
  readonly gate: Gate;
  readonly #options: OverloadOptions;
  readonly #random: Prng;
  #service: ServiceModel;
  readonly #queue: Visitor[] = [];
  #queueHead = 0;
  readonly #busy: { visitor: Visitor; endMs: number }[] = [];
  /** In order of their time. */
  readonly #givingUp: Visitor[] = [];
  #givingUpHead = 0;

  constructor(options: OverloadOptions) {
    this.#options = options;
    this.#random = new Prng(options.seed);
    this.#service = options.service;
    const limit: ConcurrencyLimit = options.limit === "adaptive"
      ? new AdaptiveLimit(0, () => this.#random.float())
      : new FixedLimit(options.limit);
    this.gate = new Gate({
      limit,
      queueMax: 10_000,
      queuesAsLimit: options.limit === "adaptive",
      queueMs: 1_000,
      onWaiting: () => {},
      onServed: () => {},
      figures: null,
    });
    this.result = {
      good: [],
      goodOf: options.rates.map(() => 0),
      latencies: [],
      limits: [],
      waitingMost: 0,
      inFlightMost: 0,
      limitMost: 0,
      shed: 0,
    };
  }

  run(): OverloadResult {
    const { durationMs, rates, timeoutMs, change } = this.#options;
    const next = rates.map((rate) => this.#exponential(1_000 / rate));
    while (this.now < durationMs) {
      const arrival = Math.min(...next);
      let endMs = Infinity;
      let ending = -1;
      for (const [i, { endMs: end }] of this.#busy.entries()) {
        if (end >= endMs) continue;
        endMs = end;
        ending = i;
      }
      const leaver = this.#givingUp[this.#givingUpHead];
      const leaves = leaver === undefined ? Infinity : leaver.beganAtMs + timeoutMs;
      const at = Math.min(arrival, endMs, leaves);
      this.#passTo(at);
      if (change !== undefined && at >= change.atMs) this.#service = change.service;
      if (at === endMs) this.#ended(ending);
      else if (at === leaves) this.#gaveUp();
      else {
        const index = next.indexOf(arrival);
        next[index] = at + this.#exponential(1_000 / (rates[index] ?? 1));
        const visitor = new Visitor(at, String(index), index, this);
        this.#givingUp.push(visitor);
        if (this.gate.enter(visitor)) this.send(visitor);
      }
      this.gate.expire(at);
      const { result, gate } = this;
      result.waitingMost = Math.max(result.waitingMost, gate.waiting);
      result.limitMost = Math.max(result.limitMost, gate.limit.current);
      result.inFlightMost = Math.max(result.inFlightMost, gate.inFlight);
    }
    return this.result;
  }

  send(visitor: Visitor): void {
    visitor.sentAtMs = this.now;
    this.#queue.push(visitor);
    this.#work();
  }

  #passTo(at: number): void {
    const { limits } = this.result;
    while (limits.length < Math.floor(at / 100)) limits.push(this.gate.limit.current);
    this.now = at;
  }

  #work(): void {
    while (this.#busy.length < this.#service.workers) {
      const visitor = this.#queue[this.#queueHead];
      if (visitor === undefined) return;
      this.#queueHead++;
      const { spread, meanMs } = this.#service;
      const ms = spread === "constant" ? meanMs : this.#exponential(meanMs);
      this.#busy.push({ visitor, endMs: this.now + ms });
    }
  }

  #ended(index: number): void {
    const visitor = this.#busy.splice(index, 1)[0]!.visitor;
    const ms = this.now - visitor.beganAtMs;
    if (visitor.place > 0) {
      const { good, goodOf, latencies } = this.result;
      const second = Math.floor(this.now / 1_000);
      while (good.length <= second) good.push(0);
      good[second]!++;
      goodOf[visitor.index]!++;
      latencies.push({ atMs: this.now, ms });
      this.gate.answered(visitor, this.now - visitor.sentAtMs, visitor.sentAtMs, this.now);
      this.gate.left(visitor);
    }
    this.#work();
  }

  /** The oldest caller goes, if it still waits; its work is done all the same. */
  #gaveUp(): void {
    const visitor = this.#givingUp[this.#givingUpHead++]!;
    if (visitor.place > 0) {
      const { sentAtMs } = visitor;
      this.gate.unanswered(visitor, this.now - sentAtMs, sentAtMs, this.now);
    }
    this.gate.left(visitor);
  }

  #exponential(mean: number): number {
    return -Math.log(1 - this.#random.float()) * mean;
  }
}

/** Runs it. */
export function overload(options: OverloadOptions): OverloadResult {
  return new World(options).run();
}
