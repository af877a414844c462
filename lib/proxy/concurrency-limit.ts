// hot
/**
 * How many requests an application should have at a time, found from the latency of its answers. Up to some
 * number more requests make more throughput; above it they only wait, and each takes longer. So the limit
 * follows the gradient between what an answer takes when little is under way (the baseline) and now.
 *
 *     STARTING ──slower than the baseline──▶ FOLLOWING ◀──measured──▶ PROBING
 *        ▲ half as much again per window       limit × gradient + √limit      └ a quarter of the limit
 *        └──────────── the baseline has risen: the service itself is slower ──┘
 *
 * Why so: additive increase with halving (AIMD) needs losses to turn, and here there are none before clients
 * give up; a gradient against a long average (Netflix's second) takes a lasting overload for the new normal
 * and drifts up with it. A baseline that is measured anew at a quarter of the limit every now and then (as
 * BBR and Envoy do) does neither; it costs some per cent of the time. Pure.
 */

import { CONCURRENCY_MAX } from "../base/limits.ts";

/** Before anything is known. */
const FIRST = 8;
/** So much slower than the baseline is not slow: answers differ. */
const TOLERANCE = 1.5;
/** A window's answers lower the limit by half at most. */
const GRADIENT_LEAST = 0.5;
/** How far a lower limit is gone towards at once: its effect shows a window later. */
const SMOOTHING = 0.3;
const STARTING_GROWTH = 1.5;
/** The share of the limit at which nothing waits for anything else. */
const QUIET_SHARE = 0.25;
/** The share of the limit that must have been in use before it may grow. */
const USED_SHARE = 0.8;
/** An answer that nobody waited for would have taken longer than they did: it counts as so many times that. */
const UNANSWERED_WEIGHT = 2;
/** A window has as many answers as the limit, and at least these … */
const SAMPLES_MIN = 20;
/** … and lasts as long as an answer takes, and at least this. */
const WINDOW_LEAST_MS = 50;
/** A service that answers rarely: after so many baselines, and this, what there is counts. */
const WINDOW_BASELINES_MAX = 10;
const WINDOW_MOST_MS = 1_000;
/** … and after this in any case: a baseline may be wrong. */
const WINDOW_LAST_MS = 10_000;
/** Shorter ones say more of the proxy's own turns than of the application. */
const BASELINE_LEAST_MS = 1;
/** Probes come after this time, then after twice as long, and so on up to … */
const PROBE_FIRST_MS = 1_000;
const PROBE_LAST_MS = 10_000;
/** … and never so often that they would cost much. */
const PROBE_BASELINES_MIN = 50;

/** How many requests may be under way. */
export interface ConcurrencyLimit {
  /** At least 1. */
  readonly current: number;
  /** Whether it wants to be told of answers. */
  readonly learns: boolean;
  /** A request was answered after so long; `inFlight` when it began, itself included. */
  answered(latencyMs: number, beganAtMs: number, inFlight: number, nowMs: number): void;
  /** It was not answered for so long, and nobody waits for it any more. */
  unanswered(waitedMs: number, beganAtMs: number, inFlight: number, nowMs: number): void;
}

/** A limit that somebody has set. */
export class FixedLimit implements ConcurrencyLimit {
  readonly current: number;
  readonly learns = false;

  constructor(limit: number) {
    this.current = limit;
  }

  answered(): void {}

  unanswered(): void {}
}

/** A limit that finds itself. */
export class AdaptiveLimit implements ConcurrencyLimit {
  current = FIRST * QUIET_SHARE;
  readonly learns = true;
  readonly #random: () => number;
  #limit = FIRST;
  /** What an answer takes where nothing waits; 0: not known yet. */
  #baselineMs = 0;
  #isStarting = true;
  #isProbing = true;
  #probeEveryMs = PROBE_FIRST_MS;
  #probeAtMs = Infinity;
  /** A lower limit is looked at before its time: perhaps the service itself has become slower. */
  #probeBelow = 0;
  // The present window, or probe.
  #beganAtMs: number;
  #samples = 0;
  /** Answers of a probe that are not counted: the first ones are those that were quick. */
  #skipped = 0;
  #sumMs = 0;
  /** Of the samples. */
  #unanswered = 0;
  /** The most that was under way when one of them began. */
  #peak = 0;

  /** `random` keeps replicas from probing at the same time. */
  constructor(nowMs: number, random: () => number) {
    this.#beganAtMs = nowMs;
    this.#random = random;
  }

  /** What an answer takes where nothing waits; 0: not known yet. */
  get baselineMs(): number {
    return this.#baselineMs;
  }

  answered(latencyMs: number, beganAtMs: number, inFlight: number, nowMs: number): void {
    // Who began before the probe did waited for more than the probe lets in.
    if (this.#isProbing) {
      if (beganAtMs < this.#beganAtMs || inFlight > this.current) return;
      if (this.#skipped < this.current && this.#baselineMs > 0) {
        this.#skipped++;
        return;
      }
    }
    this.#samples++;
    this.#sumMs += latencyMs;
    if (inFlight > this.#peak) this.#peak = inFlight;
    if (!this.#isFull(nowMs)) return;
    const meanMs = Math.max(this.#sumMs / this.#samples, BASELINE_LEAST_MS);
    if (this.#isProbing) this.#probed(meanMs, nowMs);
    else this.#follow(meanMs, nowMs);
    this.#begin(nowMs);
  }

  unanswered(waitedMs: number, beganAtMs: number, inFlight: number, nowMs: number): void {
    // Whoever left early says nothing.
    if (waitedMs < this.#baselineMs) return;
    this.#unanswered++;
    const weight = this.#isProbing ? 1 : UNANSWERED_WEIGHT;
    this.answered(waitedMs * weight, beganAtMs, inFlight, nowMs);
  }

  #isFull(nowMs: number): boolean {
    const elapsed = nowMs - this.#beganAtMs;
    const wanted = Math.max(SAMPLES_MIN, this.#isProbing ? 2 * this.current : this.#limit);
    if (this.#samples >= wanted) {
      return this.#isProbing || elapsed >= Math.max(WINDOW_LEAST_MS, this.#baselineMs);
    }
    const mostMs = Math.max(WINDOW_MOST_MS, WINDOW_BASELINES_MAX * this.#baselineMs);
    return elapsed >= Math.min(mostMs, WINDOW_LAST_MS);
  }

  #begin(nowMs: number): void {
    this.#beganAtMs = nowMs;
    this.#samples = 0;
    this.#skipped = 0;
    this.#sumMs = 0;
    this.#unanswered = 0;
    this.#peak = 0;
  }

  #follow(meanMs: number, nowMs: number): void {
    if (this.#peak <= this.#limit * QUIET_SHARE) {
      // As good as a probe, and for nothing.
      this.#measured(meanMs, nowMs);
      return;
    }
    // The service may have become faster, and noise must not make it look so.
    if (meanMs * TOLERANCE < this.#baselineMs) this.#baselineMs = (this.#baselineMs + meanMs) / 2;
    if (2 * this.#unanswered > this.#samples) {
      // Clients give up before they are answered: nothing is won by going there slowly.
      this.#isStarting = false;
      this.#set(this.#limit / 2);
      this.#probeIfDue(nowMs);
      return;
    }
    const slowness = TOLERANCE * this.#baselineMs / meanMs;
    const headroom = Math.sqrt(this.#limit);
    if (slowness < 1) {
      this.#isStarting = false;
      const gradient = Math.max(GRADIENT_LEAST, slowness);
      this.#set(this.#limit + (this.#limit * gradient + headroom - this.#limit) * SMOOTHING);
    } else if (this.#peak >= this.current * USED_SHARE) {
      this.#set(this.#isStarting ? this.#limit * STARTING_GROWTH : this.#limit + headroom);
    }
    this.#probeIfDue(nowMs);
  }

  #probeIfDue(nowMs: number): void {
    if (nowMs < this.#probeAtMs && this.#limit >= this.#probeBelow) return;
    this.#isProbing = true;
    this.current = Math.max(1, Math.floor(this.#limit * QUIET_SHARE));
  }

  #probed(meanMs: number, nowMs: number): void {
    this.#isProbing = false;
    this.#measured(meanMs, nowMs);
    this.#set(this.#limit);
  }

  /** Takes a new baseline. */
  #measured(meanMs: number, nowMs: number): void {
    const before = this.#baselineMs;
    if (meanMs > before * TOLERANCE) this.#isStarting = true;
    // Two that are alike are one with more samples.
    const isAlike = meanMs < before * 2 && meanMs * 2 > before;
    this.#baselineMs = isAlike ? (before + meanMs) / 2 : meanMs;
    const pauseMs = Math.max(this.#probeEveryMs, PROBE_BASELINES_MIN * this.#baselineMs);
    this.#probeAtMs = nowMs + pauseMs * (1 + this.#random() / 2);
    this.#probeEveryMs = Math.min(2 * this.#probeEveryMs, PROBE_LAST_MS);
    this.#probeBelow = this.#limit / 2;
  }

  #set(limit: number): void {
    this.#limit = Math.min(Math.max(limit, 1), CONCURRENCY_MAX);
    this.current = Math.max(1, Math.floor(this.#limit));
  }
}
