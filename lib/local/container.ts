/**
 * One container at work: started, watched by its probes, started again when it ends, stopped.
 *
 *     waiting ─start→ running ─exit→ waiting (back-off) ─→ running …
 *                        │  └──exit, no restart→ terminated
 *                        └─stop→ (SIGTERM … SIGKILL) → terminated
 *
 * How a program gets into its pod is the caller's affair (`launch`).
 */

import { describeError } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { type Child, type Exit } from "../host/process.ts";
import type { Changes } from "./changes.ts";
import type { Probe } from "./probe-model.ts";
import { type AskProbe, ProbeRunner } from "./probe-runner.ts";
import type { RestartPolicy } from "./pod-model.ts";
import { RestartDelay, shouldRestart } from "./restart.ts";

/** The states of a container, as Kubernetes names them. */
export type ContainerPhase = "waiting" | "running" | "terminated";

/** What a container is made of. */
export interface ContainerTask {
  readonly name: string;
  readonly policy: RestartPolicy;
  readonly startup: Probe | null;
  readonly readiness: Probe | null;
  readonly liveness: Probe | null;
  readonly clock: Clock;
  readonly changes: Changes;
  /** Starts the program once. Throws a fault when it cannot. */
  launch(): Child;
  /** Runs after each end: kills what the program left behind. */
  sweep(): void;
  readonly ask: AskProbe;
  /** Tells the user what happened. */
  complain(text: string): void;
}

/** A container; its fields are what is true now, `changes` rings when they change. */
export class ContainerRun {
  readonly name: string;
  phase: ContainerPhase = "waiting";
  /** Why it waits or ended: `ContainerCreating`, `CrashLoopBackOff`, `Completed`, `Error`. */
  reason = "ContainerCreating";
  started = false;
  ready = false;
  restartCount = 0;
  lastExit: Exit | null = null;
  startedAtMs = 0;
  endedAtMs = 0;
  child: Child | null = null;
  readonly #task: ContainerTask;
  readonly #delay = new RestartDelay();
  #probes: ProbeRunner[] = [];
  #timer: Timer | null = null;
  #stopping = false;

  constructor(task: ContainerTask) {
    this.name = task.name;
    this.#task = task;
  }

  start(): void {
    const { clock, changes } = this.#task;
    this.startedAtMs = clock.nowMs();
    const began = clock.monotonicMs();
    let child: Child;
    try {
      child = this.#task.launch();
    } catch (error) {
      this.#task.complain(describeError(error));
      this.#ended({ code: 127, signal: null }, 0);
      return;
    }
    this.child = child;
    this.phase = "running";
    this.reason = "";
    this.started = this.#task.startup === null;
    this.ready = this.started && this.#task.readiness === null;
    // What it left behind would hold its output open.
    void child.ended.then(() => this.#task.sweep());
    void child.exited.then((exit) => this.#ended(exit, clock.monotonicMs() - began));
    if (this.#task.startup === null) this.#startProbes();
    else this.#startStartup(this.#task.startup);
    changes.ring();
  }

  /** Asks the program to end, and makes it end after the grace. Resolves when it has ended. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    this.#timer?.cancel();
    this.#stopProbes();
    if (this.child === null) {
      if (this.phase !== "terminated") this.#terminate("Completed");
      return;
    }
    const { child } = this;
    child.kill("SIGTERM", true);
    const kill = this.#task.clock.after(graceMs, () => void child.kill("SIGKILL", true));
    await this.#task.changes.until(() => this.child !== child);
    kill.cancel();
  }

  #startStartup(probe: Probe): void {
    this.#addProbe(probe, true, (passing, reason) => {
      if (!passing) return this.#restartFor("startup", reason);
      this.started = true;
      this.ready = this.#task.readiness === null;
      this.#stopProbes();
      this.#startProbes();
      this.#task.changes.ring();
    });
  }

  #startProbes(): void {
    const { readiness, liveness } = this.#task;
    if (readiness !== null) {
      this.#addProbe(readiness, true, (passing) => {
        this.ready = passing;
        this.#task.changes.ring();
      });
    }
    if (liveness !== null) {
      this.#addProbe(liveness, false, (passing, reason) => {
        if (!passing) this.#restartFor("liveness", reason);
      });
    }
  }

  #addProbe(
    probe: Probe,
    eager: boolean,
    verdict: (passing: boolean, reason: string) => void,
  ): void {
    const runner = new ProbeRunner({
      probe,
      eager,
      ask: this.#task.ask,
      clock: this.#task.clock,
      verdict: (found, reason) => verdict(found === "passing", reason),
    });
    this.#probes.push(runner);
    runner.start();
  }

  #restartFor(kind: string, reason: string): void {
    this.#task.complain(`${this.name} is stopped, since its ${kind} probe fails: ${reason}`);
    this.#stopProbes();
    const { child } = this;
    if (child === null) return;
    child.kill("SIGTERM", true);
    this.#timer = this.#task.clock.after(PROBE_KILL_MS, () => void child.kill("SIGKILL", true));
  }

  #stopProbes(): void {
    for (const probe of this.#probes) probe.stop();
    this.#probes = [];
  }

  #ended(exit: Exit, ranMs: number): void {
    this.#stopProbes();
    this.#timer?.cancel();
    this.child = null;
    this.started = false;
    this.ready = false;
    this.lastExit = exit;
    this.endedAtMs = this.#task.clock.nowMs();
    if (this.#stopping || !shouldRestart(this.#task.policy, exit.code)) {
      this.#terminate(exit.code === 0 ? "Completed" : "Error");
      return;
    }
    const delayMs = this.#delay.after(ranMs);
    this.phase = "waiting";
    this.reason = "CrashLoopBackOff";
    const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
    this.#task.complain(`${this.name} ended (${how}); it starts again in ${delayMs / 1000} s`);
    this.#timer = this.#task.clock.after(delayMs, () => {
      this.restartCount++;
      this.start();
    });
    this.#task.changes.ring();
  }

  #terminate(reason: string): void {
    this.phase = "terminated";
    this.reason = reason;
    this.#task.changes.ring();
  }
}

/** How long a program that fails its probes may take to end by itself. */
const PROBE_KILL_MS = 10_000;
