/**
 * Whether the injector could decide on a pod now. It asks the cluster again and again what it would ask
 * for one, so that a right which was taken away shows before a pod goes without its proxy.
 */

import { describeError } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { HttpRefusal } from "../host/http-json.ts";
import type { FindSurroundings } from "./surroundings.ts";

/** What it is asked with. */
export interface ReadinessOptions {
  readonly surroundings: FindSurroundings;
  /** A namespace that is there: the control plane's. */
  readonly namespace: string;
  readonly clock: Clock;
  /** Called when it turns out that something is missing, and with undefined when it no longer is. */
  readonly changed: (missing: string | undefined) => void;
}

const PERIOD_MS = 5_000;
/** Statuses by which an API server says that we may not ask. */
const FORBIDDEN: ReadonlySet<number> = new Set([401, 403]);

/** Asks until it is stopped. */
export class Readiness {
  readonly #options: ReadinessOptions;
  #missing: string | undefined;
  #asked = false;
  #stopped = false;
  #timer: Timer | undefined;

  constructor(options: ReadinessOptions) {
    this.#options = options;
  }

  /** What is waited for, as phrases for people; empty when pods can be decided on. */
  waitingFor(): readonly string[] {
    if (this.#missing !== undefined) return [`the right to look around pods: ${this.#missing}`];
    return this.#asked ? [] : ["the cluster's first answer"];
  }

  /** Begins to ask. */
  start(): void {
    void this.#ask();
  }

  /** Ends it. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  async #ask(): Promise<void> {
    const { surroundings, namespace, clock } = this.#options;
    try {
      await surroundings(namespace);
      this.#found(undefined);
    } catch (cause) {
      // A cluster that gives no answer at all is no fault of ours: then it admits no pods either.
      if (cause instanceof HttpRefusal && FORBIDDEN.has(cause.status)) {
        this.#found(describeError(cause));
      }
    }
    if (!this.#stopped) this.#timer = clock.after(PERIOD_MS, () => void this.#ask());
  }

  #found(missing: string | undefined): void {
    this.#asked = true;
    if (this.#stopped || missing === this.#missing) return;
    this.#missing = missing;
    this.#options.changed(missing);
  }
}
