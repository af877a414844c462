/**
 * The cores of a proxy besides its main thread: one thread each, with a byte path on the same ports, so
 * that the kernel spreads connections over all. The main thread gives them its certificate, collects
 * their figures and drains them; a core that ends by itself ends the proxy.
 */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import type { WorkerEvents, WorkerThread } from "../host/worker.ts";
import type { LogLevel } from "../telemetry/logger.ts";
import type { FamilySnapshot } from "../telemetry/snapshot.ts";
import type { Credentials } from "./environment.ts";

/** What a core is told. */
export type ToCore =
  /** The certificate of this moment; with the first one, it begins to serve. */
  | { readonly kind: "certified"; readonly credentials: Credentials }
  | { readonly kind: "level"; readonly level: LogLevel }
  /** It answers with its figures of that moment. */
  | { readonly kind: "measure" }
  | { readonly kind: "drain" };

/** What a core tells. */
export type FromCore =
  | { readonly kind: "serving" }
  | { readonly kind: "figures"; readonly families: readonly FamilySnapshot[] }
  | { readonly kind: "drained" }
  /** It cannot serve; `message` is for the log. */
  | { readonly kind: "failed"; readonly message: string };

/** How other cores come to be. */
export interface OtherCoresOptions {
  /** How many. */
  readonly count: number;
  readonly clock: Clock;
  /** For how long a drain may go on. */
  readonly drainMs: number;
  /** `number` is 2 for the first: the main thread is core 1. */
  readonly startCore: (number: number, events: WorkerEvents<FromCore>) => WorkerThread<ToCore>;
  /** A core has ended, or cannot serve; called once. */
  readonly failed: (fault: Fault) => void;
}

/** A core that is busy for longer shows the figures that it told last. */
const FIGURES_WAIT_MS = 1_000;
/** What a core may take beyond the grace period to say that it has drained. */
const DRAIN_EXTRA_MS = 1_000;

/** All cores but the main thread's. */
export class OtherCores {
  readonly #options: OtherCoresOptions;
  readonly #cores: readonly OtherCore[];
  #isOver = false;

  /** Starts the threads, which then wait for a certificate. */
  constructor(options: OtherCoresOptions) {
    this.#options = options;
    this.#cores = Array.from({ length: options.count }, (_, index) => {
      const number = index + 2;
      const failed = (reason: string) => this.#failed(`Core ${number} ${reason}`);
      return new OtherCore((events) => options.startCore(number, events), failed);
    });
  }

  /** There is a new certificate. */
  certified(credentials: Credentials): void {
    for (const core of this.#cores) core.post({ kind: "certified", credentials });
  }

  /** Resolves when all of them serve; never, when one cannot: `failed` is called then. */
  async serving(): Promise<void> {
    await Promise.all(this.#cores.map((core) => core.serving.promise));
  }

  setLogLevel(level: LogLevel): void {
    for (const core of this.#cores) core.post({ kind: "level", level });
  }

  /** Figures of each core. */
  async figures(): Promise<readonly (readonly FamilySnapshot[])[]> {
    await this.#within(FIGURES_WAIT_MS, this.#cores.map((core) => core.measure()));
    return this.#cores.map((core) => core.figures);
  }

  /** Resolves when all have drained, or when their time is over. */
  async drain(): Promise<void> {
    const { drainMs } = this.#options;
    for (const core of this.#cores) core.post({ kind: "drain" });
    const drained = this.#cores.map((core) => core.drained.promise);
    await this.#within(drainMs + DRAIN_EXTRA_MS, drained);
  }

  /** Ends the threads. */
  stop(): void {
    this.#isOver = true;
    for (const core of this.#cores) core.stop();
  }

  async #within(limitMs: number, all: readonly Promise<void>[]): Promise<void> {
    const over = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(limitMs, over.resolve);
    await Promise.race([Promise.all(all), over.promise]);
    timer.cancel();
  }

  #failed(reason: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.failed(new Fault("internal", reason));
  }
}

/** One core as the main thread sees it. */
class OtherCore {
  readonly serving = Promise.withResolvers<void>();
  readonly drained = Promise.withResolvers<void>();
  /** What it told last. */
  figures: readonly FamilySnapshot[] = [];
  readonly #thread: WorkerThread<ToCore>;
  #measured = Promise.withResolvers<void>();
  #isMeasuring = false;

  constructor(
    start: (events: WorkerEvents<FromCore>) => WorkerThread<ToCore>,
    failed: (reason: string) => void,
  ) {
    this.#thread = start({
      message: (message) => this.#take(message, failed),
      ended: (reason) => failed(`has ended: ${reason}`),
    });
  }

  post(message: ToCore): void {
    this.#thread.post(message);
  }

  /** Resolves when newer figures have come. Those who ask together get the same. */
  measure(): Promise<void> {
    if (!this.#isMeasuring) {
      this.#isMeasuring = true;
      this.#measured = Promise.withResolvers();
      this.post({ kind: "measure" });
    }
    return this.#measured.promise;
  }

  stop(): void {
    this.#thread.stop();
  }

  #take(message: FromCore, failed: (reason: string) => void): void {
    switch (message.kind) {
      case "serving":
        return this.serving.resolve();
      case "figures":
        this.figures = message.families;
        this.#isMeasuring = false;
        return this.#measured.resolve();
      case "drained":
        return this.drained.resolve();
      case "failed":
        return failed(`cannot serve: ${message.message}`);
      default:
        return message satisfies never;
    }
  }
}
