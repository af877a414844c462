/**
 * A service with so many workers and a queue without end behind a gate, asked at a steady rate by callers
 * that give up after a while and whose work is done all the same. On virtual time, from one seed.
 */

import { Prng } from "../../lib/base/prng.ts";
import { gateBounds } from "../../lib/proxy/application-gate.ts";
import { Gate, type GateVisitor, type ShedReason } from "../../lib/proxy/gate.ts";
import { type ConcurrencySetting, USUAL_LIMITS } from "../../lib/proxy/path-limits.ts";

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
  readonly limit: ConcurrencySetting;
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
    const limits = { ...USUAL_LIMITS, inboundConcurrency: options.limit };
    this.gate = new Gate({
      ...gateBounds(limits, 0, () => this.#random.float()),
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
      for (let i = 0; i < this.#busy.length; i++) {
        const end = this.#busy[i]!.endMs;
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

const WORKERS = [1, 4, 32, 100];
const MEANS_MS = [5, 50, 200];
const FROM_SECOND = 10;
const SECONDS = 60;

/** One service over many seeds: shares of the capacity, and times as multiples of its mean. */
function survey(service: ServiceModel, seeds: number, limit: ConcurrencySetting) {
  const shares: number[] = [];
  let p99 = 0;
  const { meanMs } = service;
  for (let seed = 1; seed <= seeds; seed++) {
    const { good, latencies } = overload({
      seed,
      service,
      rates: [2 * capacityOf(service)],
      timeoutMs: 20 * meanMs,
      durationMs: SECONDS * 1_000,
      limit,
    });
    const counted = good.slice(FROM_SECOND, SECONDS).reduce((sum, each) => sum + each, 0);
    shares.push(counted / (SECONDS - FROM_SECOND) / capacityOf(service));
    const times = latencies.filter(({ atMs }) => atMs >= FROM_SECOND * 1_000).map(({ ms }) => ms)
      .sort((a, b) => a - b);
    p99 += (times[Math.floor(0.99 * times.length)] ?? NaN) / meanMs / seeds;
  }
  const mean = shares.reduce((sum, each) => sum + each, 0) / seeds;
  return { mean, least: Math.min(...shares), p99 };
}

/** `npm run sim:overload [-- --seeds N]`: a table of services that are asked for twice their capacity. */
if (import.meta.main) {
  const at = process.argv.indexOf("--seeds");
  const seeds = at < 0 ? 20 : Number(process.argv[at + 1]);
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  console.log("| workers | mean | adaptive (lowest) | p99 / mean | without a limit |");
  console.log("|---|---|---|---|---|");
  for (const workers of WORKERS) {
    for (const meanMs of MEANS_MS) {
      const service = { workers, meanMs, spread: "exponential" } as const;
      const limited = survey(service, seeds, "adaptive");
      const plain = survey(service, seeds, "off");
      const shares = `${percent(limited.mean)} (${percent(limited.least)})`;
      const words = [`${workers}`, `${meanMs} ms`, shares, limited.p99.toFixed(1)];
      console.log(`| ${[...words, percent(plain.mean)].join(" | ")} |`);
    }
  }
}
