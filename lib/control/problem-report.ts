/**
 * Tells users by events at their objects what of them was left out. One replica tells, and again now and
 * then while it is so: an event is gone after an hour.
 */

import type { Clock, Timer } from "../host/clock.ts";
import type { EventRecorder } from "../source/kube/events.ts";
import type { ObjectProblems } from "./configuration-problems.ts";

/** What a report works with. */
export interface ProblemReportOptions {
  readonly clock: Clock;
  readonly recorder: EventRecorder;
  /** Whether this replica is the one that tells. */
  readonly leads: () => boolean;
  readonly problems: () => readonly ObjectProblems[];
}

/** Users wait for it when they apply an object; looking costs nothing while nothing is wrong. */
const PERIOD_MS = 5_000;

/** Looks until it is stopped. */
export class ProblemReport {
  readonly #options: ProblemReportOptions;
  #timer: Timer | undefined;

  constructor(options: ProblemReportOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.every(PERIOD_MS, () => this.look());
    this.look();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Looks now, for instance because this replica has just begun to lead. */
  look(): void {
    const { leads, problems, recorder } = this.#options;
    if (!leads()) return;
    for (const { object, problems: sentences } of problems()) {
      const key = object.uid ?? `${object.kind} ${object.namespace}/${object.name}`;
      for (const message of sentences) {
        const text = { type: "Warning", reason: "InvalidConfiguration", message } as const;
        recorder.record(key, () => Promise.resolve(object), text);
      }
    }
  }
}
