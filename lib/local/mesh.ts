/**
 * The pods of the laptop mesh: compares what is to run with what runs and acts on the difference. Level,
 * not edge: each round looks at everything, so it does not matter what happened in between.
 *
 *     manifests → workloads → plans → (inject) → PodRun … → Pod objects with status
 */

import { describeError } from "../base/fault.ts";
import { Changes } from "./changes.ts";
import { AddressPool, POD_ADDRESSES } from "./names.ts";
import type { ObjectFolder } from "./object-folder.ts";
import type { PodHost } from "./pod-host.ts";
import type { PodModel } from "./pod-model.ts";
import { PodRun, type ProgramOutput } from "./pod-run.ts";
import { podPhase, podStatus, whyNotReady } from "./status.ts";
import { type Manifest, type PodPlan, podsOf, samePlan, type Workload } from "./workloads.ts";

/** A pod ready to run: its object after injection, and what was read from it. */
export interface PreparedPod {
  readonly object: Manifest;
  readonly model: PodModel;
}

/** What the mesh is given. */
export interface MeshTask {
  readonly host: PodHost;
  readonly objects: ObjectFolder;
  /** Injects and reads a pod. Throws a fault when the pod cannot be. */
  prepare(plan: PodPlan): PreparedPod;
}

/** How a pod differs from others: where its output goes and where it runs. */
export interface PodExtras {
  readonly output?: ProgramOutput;
  readonly workingDir?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** The proxies learn within milliseconds that a pod goes; requests under way then take a while. */
const NOTICE_MS = 500;

interface Running {
  readonly plan: PodPlan;
  readonly object: Manifest;
  readonly run: PodRun;
  /** It is on its way out of the mesh. */
  ending: boolean;
}

/** All pods of the mesh. `changes` rings when a pod changes, comes or goes. */
export class Mesh {
  readonly changes = new Changes();
  readonly #task: MeshTask;
  readonly #addresses: readonly AddressPool[];
  readonly #running = new Map<string, Running>();
  readonly #extras = new Map<string, PodExtras>();
  /** Plans that could not even be prepared: told once. */
  readonly #failed = new Map<string, PodPlan>();
  #workloads: readonly Workload[] = [];
  #extraWorkloads: readonly Workload[] = [];
  #nextIndex = 1;
  #stopping = false;

  constructor(task: MeshTask) {
    this.#task = task;
    this.#addresses = task.host.networks.map(({ version }) =>
      new AddressPool(POD_ADDRESSES[version])
    );
  }

  /** Replaces the workloads of the manifests. */
  apply(workloads: readonly Workload[]): void {
    this.#workloads = workloads;
    this.#reconcile();
  }

  /** Adds a workload beside the manifests', with its own output and directory. */
  add(workload: Workload, extras: PodExtras): void {
    this.#extraWorkloads = [...this.#extraWorkloads, workload];
    for (const { key } of podsOf(workload)) this.#extras.set(key, extras);
    this.#reconcile();
  }

  /** Takes an added workload away again. */
  remove(workload: Workload): void {
    this.#extraWorkloads = this.#extraWorkloads.filter((other) => other !== workload);
    for (const { key } of podsOf(workload)) this.#extras.delete(key);
    this.#reconcile();
  }

  /** Brings the files of all pods up to date. */
  async refreshFiles(): Promise<void> {
    for (const { run } of this.#running.values()) await run.refreshFiles();
  }

  /** How long programs may take to end. */
  get graceMs(): number {
    return this.#task.host.graceMs;
  }

  /** How many pods are to run, and how many of them are ready or have done their work. */
  progress(): { readonly wanted: number; readonly ready: number; readonly failed: number } {
    const plans = this.#plans();
    let ready = 0;
    let failed = 0;
    for (const { key } of plans) {
      const running = this.#running.get(key);
      const run = running?.ending === false ? running.run : undefined;
      if (run === undefined) {
        if (this.#failed.has(key)) failed++;
        continue;
      }
      const phase = podPhase(run.snapshot());
      if (run.ready || phase === "Succeeded") ready++;
      else if (phase === "Failed") failed++;
    }
    return { wanted: plans.length, ready, failed };
  }

  /** The addresses of the pods that are ready. */
  readyAddresses(): readonly string[] {
    return [...this.#running.values()].filter(({ run }) => run.ready).map(({ run }) => run.ip);
  }

  /** What the mesh still waits for: a sentence for each pod that is not ready. */
  waitingFor(): readonly string[] {
    return this.#plans().flatMap(({ key, name }) => {
      const running = this.#running.get(key);
      if (running === undefined || running.ending) return [`${name} cannot run`];
      const shot = running.run.snapshot();
      const phase = podPhase(shot);
      return running.run.ready || phase === "Succeeded" ? [] : [`${name}: ${whyNotReady(shot)}`];
    });
  }

  /** The pods of a workload, without those on their way out. */
  podsOf(workload: Workload): readonly PodRun[] {
    return [...this.#running.values()]
      .filter(({ plan, ending }) => !ending && sameWorkload(plan.workload, workload))
      .map(({ run }) => run);
  }

  /** Stops all pods at once. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#running.values()].map(({ run }) => run.stop(graceMs)));
  }

  #plans(): readonly PodPlan[] {
    return [...this.#workloads, ...this.#extraWorkloads].flatMap(podsOf);
  }

  #reconcile(): void {
    if (this.#stopping) return;
    const plans = new Map(this.#plans().map((plan) => [plan.key, plan]));
    for (const [key, plan] of this.#failed) {
      const wanted = plans.get(key);
      if (wanted === undefined || !samePlan(wanted, plan)) this.#failed.delete(key);
    }
    for (const running of this.#running.values()) {
      const wanted = plans.get(running.plan.key);
      if (wanted !== undefined && samePlan(wanted, running.plan)) continue;
      if (wanted === undefined && this.#keepForNow(running)) continue;
      this.#end(running);
    }
    for (const plan of plans.values()) {
      if (!this.#running.has(plan.key) && !this.#failed.has(plan.key)) this.#begin(plan);
    }
    this.changes.ring();
  }

  /** A pod of a former template stays until the new ones are ready, so that its Service goes on. */
  #keepForNow({ plan }: Running): boolean {
    const next = [...this.#workloads, ...this.#extraWorkloads]
      .find((workload) => sameWorkload(workload, plan.workload));
    if (next === undefined || next.kind !== "Deployment" || next.hash === plan.workload.hash) {
      return false;
    }
    return podsOf(next).some(({ key }) => this.#running.get(key)?.run.ready !== true);
  }

  #begin(plan: PodPlan): void {
    const { host } = this.#task;
    let prepared: PreparedPod;
    try {
      prepared = this.#task.prepare(plan);
    } catch (error) {
      this.#failed.set(plan.key, plan);
      host.complain(`pod ${plan.name} cannot run: ${describeError(error)}`);
      return;
    }
    const run = new PodRun({
      model: prepared.model,
      workload: plan.workload.name,
      index: this.#nextIndex++,
      ips: this.#addresses.map((pool) => pool.take(plan.key)),
      ...this.#extras.get(plan.key),
    }, host);
    const running: Running = { plan, object: prepared.object, run, ending: false };
    this.#running.set(plan.key, running);
    let wasReady = false;
    run.changes.listen(() => {
      if (this.#running.get(plan.key) !== running) return;
      this.#write(running);
      const isReady = run.ready;
      // A new pod that is ready may let a former one go.
      if (isReady && !wasReady) this.#reconcile();
      else this.changes.ring();
      wasReady = isReady;
    });
    this.#write(running);
    void run.start();
  }

  #end(running: Running): void {
    if (running.ending) return;
    running.ending = true;
    const { graceSeconds } = running.run.task.model;
    const graceMs = Math.min(this.#task.host.graceMs, graceSeconds * 1_000);
    void running.run.stop(graceMs, NOTICE_MS).catch((error: unknown) => {
      this.#task.host.complain(`pod ${running.plan.name}: ${describeError(error)}`);
    }).then(() => {
      this.#running.delete(running.plan.key);
      for (const pool of this.#addresses) pool.release(running.plan.key);
      this.#task.objects.remove(running.object);
      this.#reconcile();
    });
  }

  #write({ object, run }: Running): void {
    const snapshot = run.snapshot();
    const metadata = object["metadata"] as Manifest;
    const created = { creationTimestamp: new Date(snapshot.createdAtMs).toISOString() };
    const deleted = snapshot.terminating
      ? { deletionTimestamp: new Date(snapshot.createdAtMs).toISOString() }
      : {};
    this.#task.objects.put({
      ...object,
      metadata: { ...metadata, ...created, ...deleted },
      status: podStatus(snapshot),
    });
  }
}

function sameWorkload(a: Workload, b: Workload): boolean {
  return a.kind === b.kind && a.namespace === b.namespace && a.name === b.name;
}
