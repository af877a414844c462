/** Runs one probe over and over and counts its results against the thresholds. */

import type { Clock, Timer } from "../host/clock.ts";
import type { Probe } from "./probe-model.ts";

/** Asks once; null when all is well, else what is wrong. */
export type AskProbe = (probe: Probe) => Promise<string | null>;

/** What a probe's thresholds came to. */
export type ProbeVerdict = "passing" | "failing";

/** A probe and what to do with it. */
export interface ProbeTask {
  readonly probe: Probe;
  readonly ask: AskProbe;
  readonly clock: Clock;
  /**
   * Ask more often than told until the first success, and without the initial delay: nobody waits
   * ten seconds for a program that is ready after one. Failures still count once per period.
   */
  readonly eager: boolean;
  /** Called at the first verdict and at each change after it. */
  verdict(verdict: ProbeVerdict, reason: string): void;
}

/** The first waits of an eager probe; each is half as long again as the one before. */
const EAGER_FIRST_MS = 50;

/** A probe at work. */
export class ProbeRunner {
  readonly #task: ProbeTask;
  #current: ProbeVerdict | null = null;
  #successes = 0;
  #failures = 0;
  #countedMs: number;
  #eagerMs = EAGER_FIRST_MS;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(task: ProbeTask) {
    this.#task = task;
    // The first failure counts once the initial delay is over.
    this.#countedMs = task.clock.monotonicMs() + task.probe.initialDelayMs - task.probe.periodMs;
  }

  start(): void {
    this.#wait(this.#task.eager ? EAGER_FIRST_MS : this.#task.probe.initialDelayMs);
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #wait(delayMs: number): void {
    this.#timer = this.#task.clock.after(delayMs, () => void this.#round());
  }

  async #round(): Promise<void> {
    const reason = await this.#task.ask(this.#task.probe);
    if (this.#stopped) return;
    this.#count(reason);
    // The verdict may have stopped us.
    if (!this.#stopped) this.#wait(this.#delay());
  }

  #delay(): number {
    const { periodMs } = this.#task.probe;
    if (!this.#task.eager || this.#current === "passing") return periodMs;
    this.#eagerMs = Math.min(periodMs, this.#eagerMs * 1.5);
    return this.#eagerMs;
  }

  #count(reason: string | null): void {
    const { probe } = this.#task;
    if (reason === null) {
      this.#failures = 0;
      if (++this.#successes >= probe.successThreshold) this.#conclude("passing", "");
      return;
    }
    this.#successes = 0;
    const nowMs = this.#task.clock.monotonicMs();
    // A little early is in time: timers and rounds do not keep step to the millisecond.
    if (nowMs - this.#countedMs < probe.periodMs * 0.9) return;
    this.#countedMs = nowMs;
    if (++this.#failures >= probe.failureThreshold) this.#conclude("failing", reason);
  }

  #conclude(verdict: ProbeVerdict, reason: string): void {
    // A failing program is reported once; only what changes is news.
    if (verdict === this.#current) return;
    this.#current = verdict;
    this.#task.verdict(verdict, reason);
  }
}
