/**
 * A simulated host: virtual time, one queue of events, seeded chance, a trace for people. Nothing here
 * knows connections (`network.ts`, `conn.ts`) or proxies. The same seed gives the same run.
 *
 * A turn of the event loop is one or more events of one moment; `Clock.afterTurn` calls come behind it.
 * What repeats (`Clock.every`) is thinned out while nothing else happens, as on a machine that sleeps:
 * minutes of idle time then cost some dozen calls.
 */

import type { Clock, Timer } from "../../lib/host/clock.ts";
import { Prng } from "../../lib/base/prng.ts";
import { type Entry, EventHeap } from "./heap.ts";

/** Repeating calls within one gap between other events: more make no difference to anybody. */
const TICKS_PER_GAP = 12;

/** How time passes. */
export interface Weather {
  /** Events happen at multiples of this, so that turns have several; 0: each for itself. */
  readonly quantumMs: number;
  /** Whether a turn ends although more is ready. */
  readonly shortTurns: number;
  /** How late timers may be. */
  readonly timerLagMs: number;
}

/**
 * Whom a fault may hurt: everybody; one request, by its id; where an idle connection was closed, those
 * that must not be sent again; where a peer said goodbye, those whose body is too long to be kept.
 */
export type Scope = number | "all" | "idle" | "unrepeatable";

/** Something went wrong on purpose: explains failures that come after it. */
export interface Fault {
  readonly atMs: number;
  readonly what: string;
  readonly scope: Scope;
  /** Infinity while it lasts. */
  untilMs: number;
}

/** An invariant does not hold. */
export class Violation extends Error {
  override readonly name = "Violation";
}

/** A repeating call. */
interface Repeating {
  readonly periodMs: number;
  readonly call: () => void;
  dueMs: number;
}

/** Time, events and chance of one run. */
export class World {
  readonly prng: Prng;
  readonly weather: Weather;
  /** What was broken on purpose, in the order of time. */
  readonly faults: Fault[] = [];
  /** Lines for people; null when nobody reads them. */
  readonly trace: string[] | null;
  /** For how long nothing happened, all times together. */
  stalledMs = 0;
  /** The longest time between two calls of something that repeats, which is how late it may be. */
  slowestTickMs = 0;
  /** One-shot timers that wait, of all clocks. */
  timers = 0;
  events = 0;
  #now = 0;
  #sequence = 0;
  readonly #queue = new EventHeap();
  readonly #repeating: Repeating[] = [];
  #turnEnds: (() => void)[] = [];

  constructor(seed: number, weather: Weather, traced: boolean) {
    this.prng = new Prng(seed);
    this.weather = weather;
    this.trace = traced ? [] : null;
  }

  get nowMs(): number {
    return this.#now;
  }

  /** How many repeating timers there are. */
  get repeating(): number {
    return this.#repeating.length;
  }

  /** Notes what happens; the line is only made when somebody reads it. */
  note(line: () => string): void {
    this.trace?.push(`${this.#now.toFixed(2).padStart(10)}  ${line()}`);
  }

  /** Notes that something is broken on purpose. */
  fault(what: string, scope: Scope = "all", lastsMs = 0): Fault {
    const fault = { atMs: this.#now, what, scope, untilMs: this.#now + lastsMs };
    this.faults.push(fault);
    this.note(() => `FAULT ${what}`);
    return fault;
  }

  /** For so long nothing passes and nobody does anything, but timers go on. */
  stall(delayMs: number): void {
    const end = this.#now + delayMs;
    this.stalledMs += delayMs;
    for (const fault of this.faults) if (fault.untilMs >= this.#now) fault.untilMs += delayMs;
    this.#queue.retime(({ at, isTimer }) => isTimer ? at : Math.max(at, end));
  }

  /** Calls after a delay. Calls of one moment come in any order. */
  schedule(delayMs: number, call: () => void, isTimer = false): Entry {
    const { quantumMs } = this.weather;
    let at = this.#now + delayMs;
    if (quantumMs > 0) at = Math.ceil(at / quantumMs) * quantumMs;
    const tie = this.prng.uint32();
    const entry = { at, tie, sequence: this.#sequence++, call, isTimer, cancelled: false };
    this.#queue.push(entry);
    return entry;
  }

  /** A clock of this world. */
  clock(): Clock {
    return {
      nowMs: () => Math.floor(1_700_000_000_000 + this.#now),
      monotonicMs: () => this.#now,
      after: (delayMs, call) => this.#after(delayMs, call),
      every: (periodMs, call) => this.#every(periodMs, call),
      afterTurn: (call) => void this.#turnEnds.push(call),
    };
  }

  /** Lets events happen until the condition holds or the time is over; whether it holds. */
  runUntil(holds: () => boolean, untilMs: number): boolean {
    while (!holds()) {
      if (!this.#step(untilMs)) {
        this.#now = Math.max(this.#now, untilMs);
        return holds();
      }
    }
    return true;
  }

  /** One event, or the end of a turn; false when there is nothing to do before the end. */
  #step(untilMs: number): boolean {
    const next = this.#queue.peek();
    const isOver = next === undefined || next.at > this.#now;
    if (this.#turnEnds.length > 0 && (isOver || this.prng.chance(this.weather.shortTurns))) {
      this.#endTurn();
      return true;
    }
    const at = next?.at ?? Infinity;
    if (this.#repeat(Math.min(at, untilMs))) return true;
    if (next === undefined || at > untilMs) return false;
    this.#queue.take();
    this.#now = Math.max(this.#now, at);
    this.events++;
    next.call();
    return true;
  }

  #endTurn(): void {
    const calls = this.#turnEnds;
    this.#turnEnds = [];
    for (const call of calls) call();
  }

  /** The first repeating call that is due before the next event; false when there is none. */
  #repeat(untilMs: number): boolean {
    let first: Repeating | null = null;
    for (const repeating of this.#repeating) {
      if (first === null || repeating.dueMs < first.dueMs) first = repeating;
    }
    if (first === null || first.dueMs > untilMs) return false;
    this.#now = Math.max(this.#now, first.dueMs);
    const gap = Number.isFinite(untilMs) ? (untilMs - this.#now) / TICKS_PER_GAP : 0;
    first.dueMs = this.#now + Math.max(first.periodMs, gap);
    this.slowestTickMs = Math.max(this.slowestTickMs, gap);
    this.events++;
    first.call();
    return true;
  }

  #after(delayMs: number, call: () => void): Timer {
    this.timers++;
    let isPending = true;
    const lag = this.weather.timerLagMs * this.prng.float();
    const entry = this.schedule(delayMs + lag, () => {
      isPending = false;
      this.timers--;
      call();
    }, true);
    return {
      cancel: () => {
        if (!isPending) return;
        isPending = false;
        entry.cancelled = true;
        this.timers--;
      },
    };
  }

  #every(periodMs: number, call: () => void): Timer {
    const repeating = { periodMs, call, dueMs: this.#now + periodMs };
    this.#repeating.push(repeating);
    return {
      cancel: () => {
        const at = this.#repeating.indexOf(repeating);
        if (at >= 0) this.#repeating.splice(at, 1);
      },
    };
  }
}
