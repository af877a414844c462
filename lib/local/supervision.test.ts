/** Restarts, probes and status of containers, on a clock that the test moves. */

import { describe, expect, test } from "bun:test";
import type { Clock } from "../host/clock.ts";
import type { Child, Exit, Signal } from "../host/process.ts";
import { Changes } from "./changes.ts";
import { ContainerRun, type ContainerTask } from "./container.ts";
import { httpRequest } from "./probe-ask.ts";
import type { Probe } from "./probe-model.ts";
import { RestartDelay, shouldRestart } from "./restart.ts";
import { type ContainerSnapshot, isPodReady, podPhase, podStatus, whyNotReady } from "./status.ts";

class HandClock implements Clock {
  now = 0;
  #calls: { at: number; call: () => void }[] = [];
  nowMs = () => this.now;
  monotonicMs = () => this.now;
  after(delayMs: number, call: () => void) {
    const entry = { at: this.now + delayMs, call };
    this.#calls.push(entry);
    return { cancel: () => void (this.#calls = this.#calls.filter((other) => other !== entry)) };
  }
  every(): never {
    throw new Error("not used");
  }
  afterTurn(): never {
    throw new Error("not used");
  }
  /** Moves on, step by step, and lets promises run after each call. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      const [next] = this.#calls.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.now = Math.max(this.now, next.at);
      this.#calls = this.#calls.filter((other) => other !== next);
      next.call();
      await settle();
    }
    this.now = end;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

class FakeChild implements Child {
  readonly pid: number;
  readonly signals: Signal[] = [];
  readonly #exit = Promise.withResolvers<Exit>();
  readonly ended = this.#exit.promise.then(() => {});
  readonly exited = this.#exit.promise;
  constructor(pid: number) {
    this.pid = pid;
  }
  kill(signal: Signal): boolean {
    this.signals.push(signal);
    return true;
  }
  write(): void {}
  endInput(): void {}
  async end(code: number, signal: string | null = null): Promise<void> {
    this.#exit.resolve({ code, signal });
    await settle();
  }
}

const probe = (more: Partial<Probe> = {}): Probe => ({
  action: { kind: "tcp", port: 80 },
  initialDelayMs: 0,
  periodMs: 10_000,
  timeoutMs: 1_000,
  successThreshold: 1,
  failureThreshold: 3,
  ...more,
});

function start(more: Partial<ContainerTask> = {}) {
  const clock = new HandClock();
  const children: FakeChild[] = [];
  const complaints: string[] = [];
  const run = new ContainerRun({
    name: "app",
    policy: "Always",
    startup: null,
    readiness: null,
    liveness: null,
    clock,
    changes: new Changes(),
    launch() {
      const child = new FakeChild(children.length + 1);
      children.push(child);
      return child;
    },
    sweep() {},
    ask: () => Promise.resolve(null),
    complain: (text) => void complaints.push(text),
    ...more,
  });
  run.start();
  return { run, clock, children, complaints };
}

describe("restarts", () => {
  test("by policy", () => {
    expect([shouldRestart("Always", 0), shouldRestart("OnFailure", 0), shouldRestart("Never", 1)])
      .toEqual([true, false, false]);
    expect(shouldRestart("OnFailure", 1)).toBe(true);
  });

  test("wait twice as long each time, at most five minutes, and forget after ten good ones", () => {
    const delay = new RestartDelay();
    const waits = Array.from({ length: 11 }, () => delay.after(0) / 1_000);
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    expect(delay.after(600_000)).toBe(1_000);
    expect(delay.after(599_999)).toBe(2_000);
  });

  test("happen after the wait and are counted", async () => {
    const { run, clock, children, complaints } = start();
    await children[0]!.end(3);
    expect(run).toMatchObject({ phase: "waiting", reason: "CrashLoopBackOff", restartCount: 0 });
    expect(complaints).toEqual(["app ended (exit code 3); it starts again in 1 s"]);
    await clock.advance(999);
    expect(children).toHaveLength(1);
    await clock.advance(1);
    expect(run).toMatchObject({ phase: "running", restartCount: 1 });
    await children[1]!.end(137, "SIGKILL");
    expect(complaints[1]).toBe("app ended (SIGKILL); it starts again in 2 s");
  });

  test("do not happen to a program that has done its work", async () => {
    const { run, children } = start({ policy: "OnFailure" });
    await children[0]!.end(0);
    expect(run).toMatchObject({ phase: "terminated", reason: "Completed" });
  });

  test("a program that cannot be started counts as one that failed", () => {
    const { run, complaints } = start({
      launch() {
        throw new Error("no such program");
      },
    });
    expect(run).toMatchObject({ phase: "waiting", lastExit: { code: 127 } });
    expect(complaints[0]).toBe("no such program");
  });
});

describe("stopping", () => {
  test("asks first, and insists after the grace", async () => {
    const { run, clock, children } = start();
    const stopped = run.stop(5_000);
    await clock.advance(4_999);
    expect(children[0]!.signals).toEqual(["SIGTERM"]);
    await clock.advance(1);
    expect(children[0]!.signals).toEqual(["SIGTERM", "SIGKILL"]);
    await children[0]!.end(137, "SIGKILL");
    await stopped;
    expect(run.phase).toBe("terminated");
    await clock.advance(600_000);
    expect(children).toHaveLength(1);
  });

  test("takes back a restart that was due", async () => {
    const { run, clock, children } = start();
    await children[0]!.end(1);
    await run.stop(1_000);
    await clock.advance(600_000);
    expect(children).toHaveLength(1);
    expect(run.phase).toBe("terminated");
  });
});

describe("probes", () => {
  test("readiness is asked for early, and a program that is ready need not wait", async () => {
    let up = false;
    const { run, clock } = start({
      readiness: probe({ initialDelayMs: 30_000 }),
      ask: () => Promise.resolve(up ? null : "refused"),
    });
    expect(run.ready).toBe(false);
    await clock.advance(1_000);
    up = true;
    await clock.advance(1_000);
    expect(run.ready).toBe(true);
  });

  test("readiness goes after as many failures as the threshold says, and comes back", async () => {
    let up = true;
    const { run, clock, children } = start({
      readiness: probe({ failureThreshold: 2 }),
      ask: () => Promise.resolve(up ? null : "refused"),
    });
    await clock.advance(100);
    up = false;
    await clock.advance(10_000);
    expect(run.ready).toBe(true);
    await clock.advance(10_000);
    expect(run.ready).toBe(false);
    up = true;
    await clock.advance(10_000);
    expect(run.ready).toBe(true);
    expect(children[0]!.signals).toEqual([]);
  });

  test("liveness stops the program, the policy starts it again", async () => {
    const { run, clock, children, complaints } = start({
      liveness: probe({ periodMs: 1_000, failureThreshold: 2 }),
      ask: () => Promise.resolve("refused"),
    });
    await clock.advance(1_000);
    expect(children[0]!.signals).toEqual(["SIGTERM"]);
    expect(complaints[0]).toBe("app is stopped, since its liveness probe fails: refused");
    await children[0]!.end(143, "SIGTERM");
    await clock.advance(1_000);
    expect(run.restartCount).toBe(1);
  });

  test("eager rounds of a startup probe do not use up its failures", async () => {
    const { run, clock, children } = start({
      startup: probe({ periodMs: 1_000, failureThreshold: 5 }),
      ask: () => Promise.resolve("refused"),
    });
    await clock.advance(3_500);
    expect(children[0]!.signals).toEqual([]);
    expect(run.started).toBe(false);
    await clock.advance(3_000);
    expect(children[0]!.signals).toEqual(["SIGTERM"]);
  });

  test("readiness begins when the startup probe has passed", async () => {
    let asked = 0;
    const { run, clock } = start({
      startup: probe(),
      readiness: probe({ action: { kind: "exec", command: ["x"] } }),
      ask: ({ action }) => Promise.resolve(action.kind === "tcp" || ++asked > 1 ? null : "no"),
    });
    await clock.advance(60);
    expect(run).toMatchObject({ started: true, ready: false });
    await clock.advance(200);
    expect(run.ready).toBe(true);
  });

  test("the HTTP request is kubelet's, with the manifest's headers over it", () => {
    const action = {
      kind: "http",
      path: "healthz",
      port: 80,
      tls: false,
      host: null,
      headers: [["host", "shop.test"], ["X-A", "1"]],
    } as const;
    expect(httpRequest(action, "10.42.1.1", 80)).toBe(
      "GET /healthz HTTP/1.1\r\nUser-Agent: kube-probe/malla\r\nAccept: */*\r\n" +
        "Connection: close\r\nhost: shop.test\r\nX-A: 1\r\n\r\n",
    );
  });
});

describe("a pod's status", () => {
  const container = (more: Partial<ContainerSnapshot> = {}): ContainerSnapshot => ({
    name: "app",
    image: "",
    phase: "running",
    reason: "",
    ready: true,
    started: true,
    restartCount: 0,
    startedAtMs: 0,
    endedAtMs: 0,
    lastExit: null,
    ...more,
  });
  const pod = {
    ips: ["10.42.1.1", "fd42::1:1"],
    hostIps: ["10.42.0.1", "fd42::1"],
    createdAtMs: 0,
    initialized: true,
    failure: "",
    terminating: false,
    init: [container({ name: "linkerd-proxy" })],
    sidecars: new Set(["linkerd-proxy"]),
    containers: [container()],
  };

  test("is ready with its sidecars, not without them and not on its way out", () => {
    expect(isPodReady(pod)).toBe(true);
    expect(isPodReady({ ...pod, init: [container({ name: "linkerd-proxy", ready: false })] }))
      .toBe(false);
    expect(isPodReady({ ...pod, terminating: true })).toBe(false);
    expect(isPodReady({ ...pod, initialized: false })).toBe(false);
  });

  test("does not wait for init containers that have done their work", () => {
    const init = [container({ name: "linkerd-init", phase: "terminated", ready: false })];
    expect(isPodReady({ ...pod, init, sidecars: new Set() })).toBe(true);
  });

  test("has Kubernetes' phases", () => {
    const ended = (code: number) =>
      podPhase({
        ...pod,
        containers: [container({ phase: "terminated", lastExit: { code, signal: null } })],
      });
    expect([
      podPhase(pod),
      podPhase({ ...pod, initialized: false }),
      ended(0),
      ended(1),
      podPhase({ ...pod, failure: "no volume" }),
    ]).toEqual(["Running", "Pending", "Succeeded", "Failed", "Failed"]);
  });

  test("tells people what it waits for", () => {
    const first = (more: Partial<ContainerSnapshot>) =>
      whyNotReady({ ...pod, containers: [container(more)] });
    expect([
      first({ ready: false }),
      first({ ready: false, started: false }),
      first({ phase: "waiting", reason: "CrashLoopBackOff", ready: false }),
      first({ phase: "terminated", reason: "Error", ready: false }),
      whyNotReady({ ...pod, failure: "no volume" }),
      whyNotReady({
        ...pod,
        initialized: false,
        init: [container({ name: "linkerd-proxy", started: false, ready: false })],
      }),
    ]).toEqual([
      "app has not passed its readiness probe yet",
      "app has not passed its startup probe yet",
      "app waits (CrashLoopBackOff)",
      "app has ended (Error)",
      "no volume",
      "linkerd-proxy has not passed its startup probe yet",
    ]);
  });

  test("tells restarts and the end before the last", () => {
    const crashed = container({
      phase: "waiting",
      reason: "CrashLoopBackOff",
      ready: false,
      restartCount: 2,
      lastExit: { code: 3, signal: null },
    });
    expect(podStatus({ ...pod, containers: [crashed] })).toMatchObject({
      phase: "Running",
      podIP: "10.42.1.1",
      podIPs: [{ ip: "10.42.1.1" }, { ip: "fd42::1:1" }],
      hostIP: "10.42.0.1",
      conditions: expect.arrayContaining([{ type: "Ready", status: "False" }]),
      containerStatuses: [{
        restartCount: 2,
        ready: false,
        state: { waiting: { reason: "CrashLoopBackOff" } },
        lastState: { terminated: { exitCode: 3 } },
      }],
    });
  });
});
