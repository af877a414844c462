/**
 * Keeps the plugin's files on a node as they must be, for as long as it runs: at every change of the
 * folder, and every few seconds because tokens are renewed and changes may be missed.
 */

import { describeError } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { watchFolder } from "../host/files.ts";
import type { NodeFiles } from "./node-files.ts";

/** What the keeper works with. */
export interface NodeKeeperOptions {
  readonly files: Pick<NodeFiles, "netFolder" | "sync" | "remove">;
  readonly clock: Clock;
  /** Told what was written or removed. */
  readonly changed: (names: readonly string[]) => void;
  /** Told why the plugin is not in its place, once for each reason. */
  readonly failed: (reason: string) => void;
}

const PERIOD_MS = 5_000;

/** One node's keeper. */
export class NodeKeeper {
  readonly #options: NodeKeeperOptions;
  #timer: Timer | undefined;
  #endWatch: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isStopped = false;
  #problem: string | undefined = "the first look at the node";
  #readySinceMs: number | undefined;

  constructor(options: NodeKeeperOptions) {
    this.#options = options;
  }

  /** Begins; what fails is tried again. */
  start(): void {
    this.#timer = this.#options.clock.every(PERIOD_MS, () => this.#look());
    this.#look();
  }

  /** Ends it and takes everything back. Rejects with a `Fault` when that fails. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#endWatch?.();
    await this.#running;
    this.#options.changed(await this.#options.files.remove());
  }

  /** What is not in its place yet, as phrases for people. */
  waitingFor(): readonly string[] {
    return this.#problem === undefined ? [] : [this.#problem];
  }

  /** Since when pods are redirected, by the clock of the wall; undefined while they are not. */
  get readySinceMs(): number | undefined {
    return this.#problem === undefined ? this.#readySinceMs : undefined;
  }

  /** Looks now, or once more when the present look has ended. */
  #look(): void {
    if (this.#isStopped) return;
    this.#isAsked = true;
    this.#running ??= this.#work().finally(() => void (this.#running = undefined));
  }

  async #work(): Promise<void> {
    while (this.#isAsked && !this.#isStopped) {
      this.#isAsked = false;
      await this.#sync();
    }
  }

  async #sync(): Promise<void> {
    const { files, clock, changed, failed } = this.#options;
    try {
      const names = await files.sync();
      // Whatever was written may have been missing a moment ago.
      if (names.length > 0 || this.#problem !== undefined) this.#readySinceMs = clock.nowMs();
      if (names.length > 0) changed(names);
      this.#problem = undefined;
      this.#endWatch ??= watchFolder(files.netFolder, () => this.#look());
    } catch (thrown) {
      const reason = describeError(thrown);
      if (reason !== this.#problem) failed(reason);
      this.#problem = reason;
    }
  }
}
