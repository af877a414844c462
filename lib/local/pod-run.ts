/**
 * One pod at work: its network, its files, its init containers one after the other, then sidecars and
 * containers together, until it is stopped or all its containers have ended.
 */

import { describeError, Fault } from "../base/fault.ts";
import { sleep } from "../host/clock.ts";
import { kindAt, removeTree, textAt, writeFile } from "../host/directory.ts";
import { killInNamespace } from "../host/namespace.ts";
import { execute, type Exit, spawn } from "../host/process.ts";
import { INIT_CONTAINER } from "../inject/mod.ts";
import { applicationEnvironment } from "./application-environment.ts";
import { Changes } from "./changes.ts";
import { chooseCommand, expandWords } from "./command.ts";
import { ContainerRun } from "./container.ts";
import { type PodContext, resolveEnvironment } from "./environment.ts";
import { LineStream } from "./log-lines.ts";
import { machineTree } from "./machine-tree.ts";
import { makePodNetwork, type PodNetwork, removePodNetwork } from "./network.ts";
import { PodFiles } from "./pod-files.ts";
import type { ContainerModel, LifecycleHook, PodModel } from "./pod-model.ts";
import { askProbe } from "./probe-ask.ts";
import type { PodHost } from "./pod-host.ts";
import { joinCommand, type Rights, sandbox } from "./sandbox.ts";
import { type ContainerSnapshot, isPodReady, type PodSnapshot } from "./status.ts";

/** Takes what a program writes. */
export type ProgramOutput = (container: string, stream: "out" | "err", chunk: Uint8Array) => void;

/** What a pod is started with. */
export interface PodTask {
  readonly model: PodModel;
  /** The workload's name, for `--exec` and messages. */
  readonly workload: string;
  /** A number that no other living pod has. */
  readonly index: number;
  /** One for each IP version of the mesh; the first is the pod's main address. */
  readonly ips: readonly string[];
  /** Takes the output of a container instead of the log; for `malla run`. */
  readonly output?: ProgramOutput;
  /** The environment that programs start from. Default: that of `malla up`. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Where commands run that name no directory. Default: that of `malla up`. */
  readonly workingDir?: string;
}

/** A pod. `changes` rings when anything of `snapshot` changes. */
export class PodRun {
  readonly task: PodTask;
  readonly changes = new Changes();
  readonly #host: PodHost;
  readonly #files: PodFiles;
  readonly #rights = new Map<string, Rights>();
  readonly #createdAtMs: number;
  #init: ContainerRun[] = [];
  #containers: ContainerRun[] = [];
  #network: PodNetwork | null = null;
  #initialized = false;
  #failure = "";
  #stopping = false;
  #stopped: Promise<void> | null = null;

  constructor(task: PodTask, host: PodHost) {
    this.task = task;
    this.#host = host;
    this.#files = new PodFiles(`${host.folder}/pod${task.index}`, task.model);
    this.#createdAtMs = host.clock.nowMs();
    const { model } = task;
    this.#init = model.initContainers.map((each) => this.#makeContainer(each, true));
    this.#containers = model.containers.map((each) => this.#makeContainer(each, false));
  }

  /** The pod's main address. */
  get ip(): string {
    return this.task.ips[0] ?? "";
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** What the pod's status is made from. */
  snapshot(): PodSnapshot {
    const { model, ips } = this.task;
    const shot = (run: ContainerRun): ContainerSnapshot => {
      const { name, phase, reason, ready, started, restartCount } = run;
      const { startedAtMs, endedAtMs, lastExit } = run;
      const image = containerOf(model, name).image;
      return {
        name,
        image,
        phase,
        reason,
        ready,
        started,
        restartCount,
        startedAtMs,
        endedAtMs,
        lastExit,
      };
    };
    return {
      ips,
      hostIps: this.#hostIps(),
      createdAtMs: this.#createdAtMs,
      initialized: this.#initialized,
      failure: this.#failure,
      terminating: this.#stopping,
      init: this.#init.map(shot),
      sidecars: new Set(model.initContainers.filter((one) => one.sidecar).map(({ name }) => name)),
      containers: this.#containers.map(shot),
    };
  }

  get ready(): boolean {
    return isPodReady(this.snapshot());
  }

  /** Starts everything. What fails is told in the snapshot and to the user, never thrown. */
  async start(): Promise<void> {
    try {
      const { model, ips, index } = this.task;
      const { folder, networks } = this.#host;
      this.#network = await makePodNetwork(folder, index, ips, networks);
      await this.#files.write(this.#context(), this.#host.makeToken);
      for (const run of this.#init) {
        if (this.#stopping) return;
        await this.#runInit(run, containerOf(model, run.name));
      }
      if (this.#stopping) return;
      this.#initialized = true;
      for (const run of this.#containers) {
        run.start();
        await this.#runHook(run, containerOf(model, run.name).postStart, "postStart");
        if (this.#stopping) return;
      }
      this.#endSidecarsWithPod();
    } catch (error) {
      this.#fail(describeError(error));
    }
    this.changes.ring();
  }

  /** Writes the files of the volumes again: ConfigMaps may have changed, tokens grow old. */
  async refreshFiles(): Promise<void> {
    if (this.#network === null || this.#stopping) return;
    try {
      await this.#files.write(this.#context(), this.#host.makeToken);
    } catch (error) {
      // A ConfigMap that went away: what is mounted stays as it is, as in a cluster.
      this.#host.complain(`pod ${this.task.model.name}: ${describeError(error)}`);
    }
  }

  /**
   * Stops everything and gives back what the pod held. A pod that takes traffic is out of its Services
   * for `noticeMs` before its programs are told. A second call waits for the first one.
   */
  stop(graceMs: number, noticeMs = 0): Promise<void> {
    this.#stopped ??= this.#stop(graceMs, this.ready ? noticeMs : 0);
    return this.#stopped;
  }

  async #stop(graceMs: number, noticeMs: number): Promise<void> {
    this.#stopping = true;
    this.changes.ring();
    if (noticeMs > 0) await sleep(this.#host.clock, noticeMs);
    await Promise.all(this.#containers.map((run) => this.#stopContainer(run, graceMs)));
    // The proxy goes last, so that the application can finish what it has begun.
    for (const run of [...this.#init].reverse()) await this.#stopContainer(run, graceMs);
    if (this.#network === null) return;
    killInNamespace(this.#network.namespace);
    await removePodNetwork(this.#network, this.task.index);
    this.#files.remove();
  }

  async #stopContainer(run: ContainerRun, graceMs: number): Promise<void> {
    const hook = containerOf(this.task.model, run.name).preStop;
    if (run.phase === "running") await this.#runHook(run, hook, "preStop");
    await run.stop(graceMs);
  }

  async #runInit(run: ContainerRun, model: ContainerModel): Promise<void> {
    run.start();
    await this.#runHook(run, model.postStart, "postStart");
    if (model.sidecar) {
      await this.changes.until(() => run.started || this.#stopping);
      return;
    }
    await this.changes.until(() => run.phase === "terminated" || this.#stopping);
    const code = run.lastExit?.code ?? 0;
    if (this.#stopping || code === 0) return;
    throw new Fault("failed_precondition", `init container ${run.name} ended with code ${code}`);
  }

  /** When the last container has ended for good (a Job), the sidecars have nothing to do any more. */
  #endSidecarsWithPod(): void {
    const off = this.changes.listen(() => {
      if (!this.#containers.every(({ phase }) => phase === "terminated")) return;
      off();
      if (this.#stopping) return;
      for (const run of this.#init) void run.stop(this.#host.graceMs);
    });
    this.changes.ring();
  }

  #fail(message: string): void {
    this.#failure = message;
    if (!this.#stopping) this.#host.complain(`pod ${this.task.model.name} cannot run: ${message}`);
  }

  #makeContainer(model: ContainerModel, isInit: boolean): ContainerRun {
    const pod = this.task.model;
    const policy = isInit
      ? model.sidecar ? "Always" : pod.restartPolicy === "Never" ? "Never" : "OnFailure"
      : pod.restartPolicy;
    const run: ContainerRun = new ContainerRun({
      name: model.name,
      policy,
      startup: model.startup,
      readiness: model.readiness,
      liveness: model.liveness,
      clock: this.#host.clock,
      changes: this.changes,
      launch: () => this.#launch(model),
      sweep: () => this.#sweep(model.name),
      ask: (probe) =>
        askProbe(probe, {
          namespace: this.#network?.namespace ?? null,
          ip: this.ip,
          ports: model.ports,
          run: (command) => this.#runInside(run, command, probe.timeoutMs),
        }),
      complain: (text) => this.#host.complain(`${pod.name}: ${text}`),
    });
    return run;
  }

  /** A container's mount namespace is its own: whatever lives in it came from its program. */
  #sweep(container: string): void {
    const namespace = textAt(this.#files.namespaceFile(container))?.trim();
    if (namespace && this.#network !== null) killInNamespace(this.#network.namespace, namespace);
  }

  #launch(container: ContainerModel) {
    const { model, workload } = this.task;
    const choice = chooseCommand(container, model, workload, this.#host.overrides);
    if (choice === null || this.#network === null) {
      throw new Fault("failed_precondition", `container ${container.name} has no command`);
    }
    const own = resolveEnvironment(container, this.#context());
    const words = expandWords(choice.words, own);
    const rights: Rights = choice.own
      ? { kind: "mesh" }
      : this.#host.applicationRights(container.runAsUser);
    this.#rights.set(container.name, rights);
    const scriptFile = this.#files.scriptFile(container.name);
    const { script, words: command } = sandbox(
      {
        scriptFile,
        namespaceFile: this.#files.namespaceFile(container.name),
        networkNamespace: this.#network.namespace,
        mounts: this.#files.mounts(container, (path) => kindAt(path) === "folder"),
        hidden: this.#host.meshFolder,
        workFolder: this.#files.workFolder(container.name),
        workingDir: container.workingDir ?? this.task.workingDir ?? this.#host.workingDir,
        hostname: model.hostname,
        rights,
        command: choice.own ? [...this.#host.ownCommand, ...words] : words,
      },
      machineTree,
      this.#host.programs,
    );
    writeFile(scriptFile, script, 0o600);
    // The name of a former run's namespace may be another one's by now.
    removeTree(this.#files.namespaceFile(container.name));
    const streams = this.#outputs(container, choice.own);
    const child = spawn({
      command,
      env: {
        ...(choice.own ? this.#host.ownEnvironment : this.#applicationEnvironment()),
        HOSTNAME: model.hostname,
        ...own,
      },
      cwd: "/",
      session: true,
      ...streams.options,
    });
    void child.exited.then(streams.end);
    return child;
  }

  #outputs(container: ContainerModel, own: boolean) {
    const { output } = this.task;
    if (output !== undefined && !own) {
      const to = (stream: "out" | "err") => (chunk: Uint8Array) =>
        output(container.name, stream, chunk);
      return { options: { stdout: to("out"), stderr: to("err") }, end() {} };
    }
    const name = `${this.task.model.name}/${container.name}`;
    const lines: LineStream[] = [this.#host.lines(name), this.#host.lines(name)];
    const [out, err] = lines;
    const kept: Uint8Array[] = [];
    // The redirect says what it did; that is news only when it failed.
    const quiet = container.name === INIT_CONTAINER && this.#host.quiet;
    const take = (line: LineStream | undefined) => (chunk: Uint8Array) => {
      if (quiet) kept.push(chunk);
      else line?.write(chunk);
    };
    return {
      options: { stdout: take(out), stderr: take(err) },
      end(exit: Exit) {
        if (exit.code !== 0) { for (const chunk of kept) err?.write(chunk); }
        for (const line of lines) line.end();
      },
    };
  }

  async #runHook(run: ContainerRun, hook: LifecycleHook | null, name: string): Promise<void> {
    if (hook === null) return;
    if (hook.sleepSeconds > 0) {
      await sleep(this.#host.clock, hook.sleepSeconds * 1_000);
    }
    if (hook.command.length === 0) return;
    const problem = await this.#runInside(run, hook.command, HOOK_TIMEOUT_MS);
    if (problem !== null) this.#host.complain(`${run.name}: ${name} hook failed: ${problem}`);
  }

  /** Runs a short command beside a container's program; null when it succeeded. */
  async #runInside(
    run: ContainerRun,
    command: readonly string[],
    timeoutMs: number,
  ): Promise<string | null> {
    const pid = run.child?.pid;
    const rights = this.#rights.get(run.name);
    if (pid === undefined || rights === undefined) return "the container is not running";
    const [program = "", ...rest] = command;
    const words = program === "malla" ? [...this.#host.ownCommand, ...rest] : command;
    const env = {
      ...this.#applicationEnvironment(),
      ...resolveEnvironment(containerOf(this.task.model, run.name), this.#context()),
    };
    const joined = joinCommand(pid, rights, words, this.#host.programs);
    const { code, stderr } = await execute(joined, { env, timeoutMs });
    if (code === 0) return null;
    const [line = ""] = stderr.trim().split("\n");
    return `exit code ${code}${line === "" ? "" : ` (${line})`}`;
  }

  #hostIps(): readonly string[] {
    return this.#host.networks.map(({ gateway }) => gateway);
  }

  #applicationEnvironment(): Record<string, string> {
    const { environment } = this.task;
    if (environment === undefined) return { ...this.#host.applicationEnvironment };
    return applicationEnvironment(environment);
  }

  #context(): PodContext {
    return {
      pod: this.task.model,
      podIps: this.task.ips,
      nodeName: this.#host.nodeName,
      hostIps: this.#hostIps(),
      objects: this.#host.objects,
      machine: this.#host.machine,
    };
  }
}

/** Kubelet bounds hooks by the pod's grace; two minutes is what `malla await` takes at most. */
const HOOK_TIMEOUT_MS = 120_000;

function containerOf(pod: PodModel, name: string): ContainerModel {
  const found = [...pod.initContainers, ...pod.containers].find((each) => each.name === name);
  if (found === undefined) throw new Fault("internal", `pod ${pod.name} has no container ${name}`);
  return found;
}
