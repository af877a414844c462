/** The status of a pod as Kubernetes would show it, from the state of its containers. Pure. */

import type { Exit } from "../host/process.ts";
import type { ContainerPhase } from "./container.ts";

/** What is known of one container. */
export interface ContainerSnapshot {
  readonly name: string;
  readonly image: string;
  readonly phase: ContainerPhase;
  readonly reason: string;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly lastExit: Exit | null;
}

/** What is known of one pod. */
export interface PodSnapshot {
  /** One for each IP version of the mesh; the first is the pod's main address. */
  readonly ips: readonly string[];
  readonly hostIps: readonly string[];
  readonly createdAtMs: number;
  readonly initialized: boolean;
  /** Why the pod cannot run at all, else empty. */
  readonly failure: string;
  readonly terminating: boolean;
  /** Sidecars among the init containers count like containers. */
  readonly init: readonly ContainerSnapshot[];
  readonly sidecars: ReadonlySet<string>;
  readonly containers: readonly ContainerSnapshot[];
}

/** The phases of a pod. */
export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

/** Whether the pod takes traffic: everything that runs in it is ready. */
export function isPodReady(pod: PodSnapshot): boolean {
  if (!pod.initialized || pod.terminating || pod.failure !== "") return false;
  const running = [...pod.containers, ...pod.init.filter(({ name }) => pod.sidecars.has(name))];
  return running.every(({ phase, ready }) => phase === "running" && ready);
}

/** The pod's phase. */
export function podPhase(pod: PodSnapshot): PodPhase {
  if (pod.failure !== "") return "Failed";
  if (!pod.initialized) return "Pending";
  if (pod.containers.every(({ phase }) => phase === "terminated")) {
    return pod.containers.every(({ lastExit }) => (lastExit?.code ?? 0) === 0)
      ? "Succeeded"
      : "Failed";
  }
  return "Running";
}

/** Why a pod is not ready, for people: the first of its containers that is not. */
export function whyNotReady(pod: PodSnapshot): string {
  if (pod.failure !== "") return pod.failure;
  const steps = pod.initialized ? [...pod.init, ...pod.containers] : pod.init;
  for (const { name, phase, ready, started, reason } of steps) {
    if (phase === "waiting") return `${name} waits (${reason})`;
    if (phase === "running" && !started) return `${name} has not passed its startup probe yet`;
    if (phase === "running" && !ready) {
      return pod.initialized ? `${name} has not passed its readiness probe yet` : `${name} runs`;
    }
    if (phase === "terminated" && pod.initialized && !isInit(pod, name)) {
      return `${name} has ended (${reason})`;
    }
  }
  return "it is being started";
}

function isInit(pod: PodSnapshot, name: string): boolean {
  return pod.init.some((container) => container.name === name);
}

/** The object's `status`. */
export function podStatus(pod: PodSnapshot): Record<string, unknown> {
  const ready = isPodReady(pod);
  const condition = (type: string, holds: boolean) => ({ type, status: holds ? "True" : "False" });
  return {
    phase: podPhase(pod),
    ...(pod.failure === "" ? {} : { reason: "Failed", message: pod.failure }),
    hostIP: pod.hostIps[0],
    hostIPs: pod.hostIps.map((ip) => ({ ip })),
    podIP: pod.ips[0],
    podIPs: pod.ips.map((ip) => ({ ip })),
    startTime: new Date(pod.createdAtMs).toISOString(),
    conditions: [
      condition("PodScheduled", true),
      condition("Initialized", pod.initialized),
      condition("ContainersReady", ready),
      condition("Ready", ready),
    ],
    initContainerStatuses: pod.init.map(containerStatus),
    containerStatuses: pod.containers.map(containerStatus),
  };
}

function containerStatus(container: ContainerSnapshot): Record<string, unknown> {
  const { name, image, ready, started, restartCount, lastExit } = container;
  return {
    name,
    image,
    imageID: "",
    ready: container.phase === "terminated" ? lastExit?.code === 0 : ready,
    started,
    restartCount,
    state: containerState(container),
    lastState: restartCount > 0 && lastExit !== null && container.phase !== "terminated"
      ? { terminated: terminated(container, lastExit, "Error") }
      : {},
  };
}

function containerState(container: ContainerSnapshot): Record<string, unknown> {
  switch (container.phase) {
    case "waiting":
      return { waiting: { reason: container.reason } };
    case "running":
      return { running: { startedAt: new Date(container.startedAtMs).toISOString() } };
    case "terminated":
      return {
        terminated: terminated(
          container,
          container.lastExit ?? { code: 0, signal: null },
          container.reason,
        ),
      };
  }
}

function terminated(container: ContainerSnapshot, exit: Exit, reason: string) {
  return {
    exitCode: exit.code,
    reason,
    startedAt: new Date(container.startedAtMs).toISOString(),
    finishedAt: new Date(container.endedAtMs).toISOString(),
  };
}
