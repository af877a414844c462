/**
 * Repair of a node's pods that came before the plugin: their network has no redirect and never will, and
 * the validator keeps them from starting. They are deleted, so that what made them makes them again.
 */

import { describeError } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import { VALIDATOR_CONTAINER } from "../inject/containers.ts";
import type { KubeClient, KubeObject } from "../source/kube/client.ts";
import type { EventRecorder } from "../source/kube/events.ts";
import { isRecord } from "../source/shape.ts";

/** What repair works with. */
export interface RepairOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly events: Pick<EventRecorder, "record">;
  /** The node whose pods are looked at. */
  readonly node: string;
  /** Since when pods of the node are redirected; undefined while they are not. */
  readonly readySinceMs: () => number | undefined;
  /** Told of each pod that was deleted. */
  readonly repaired: (namespace: string, name: string) => void;
  readonly failed: (reason: string) => void;
}

/** What is to be done about a pod. */
export type Verdict =
  /** Nothing: it is well, or nobody knows yet. */
  | "none"
  /** It came too early, and comes again. */
  | "delete"
  /** It came too early, and nobody would make it again. */
  | "bare"
  /** The plugin was there, and was not called. */
  | "bypassed";

/** A validator takes 10 s to say that there is no redirect. */
const PERIOD_MS = 5_000;
/** Runtimes read a changed configuration a moment later, and the kubelet counts whole seconds. */
const SETTLED_MS = 10_000;

const MESSAGES: Readonly<Record<Exclude<Verdict, "none">, string>> = {
  delete: "The pod's network was set up before Malla's CNI plugin was on the node, so nothing " +
    "redirects its connections: it is deleted, so that it comes again",
  bare: "The pod's network was set up before Malla's CNI plugin was on the node, so nothing " +
    "redirects its connections: delete it and create it again, since nothing else would",
  bypassed: "Malla's CNI plugin was on the node, but the container runtime did not call it for " +
    "this pod: the first file in its folder of network configurations must name malla-cni " +
    "(destCNINetDir is that folder)",
};

/** Looks at a node's pods until it is stopped. */
export class Repair {
  readonly #options: RepairOptions;
  #timer: Timer | undefined;
  #isBusy = false;

  constructor(options: RepairOptions) {
    this.#options = options;
  }

  /** Begins. */
  start(): void {
    this.#timer = this.#options.clock.every(PERIOD_MS, () => void this.look());
  }

  /** Ends it. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Looks once; never rejects. */
  async look(): Promise<void> {
    const readySinceMs = this.#options.readySinceMs();
    // A pod that is deleted now would come again too early.
    if (this.#isBusy || readySinceMs === undefined) return;
    this.#isBusy = true;
    try {
      for (const pod of await this.#waiting()) await this.#treat(pod, readySinceMs);
    } catch (thrown) {
      this.#options.failed(describeError(thrown));
    } finally {
      this.#isBusy = false;
    }
  }

  /** The meshed pods of this node that have not started yet. */
  async #waiting(): Promise<readonly KubeObject[]> {
    const { client, node } = this.#options;
    return await client.list(
      "/api/v1/pods",
      "linkerd.io/control-plane-ns",
      `spec.nodeName=${node},status.phase=Pending`,
    ) ?? [];
  }

  async #treat(pod: KubeObject, readySinceMs: number): Promise<void> {
    const verdict = verdictOn(pod, readySinceMs);
    if (verdict === "none") return;
    const { client, events, repaired } = this.#options;
    const { name, namespace = "", uid = "" } = pod.metadata;
    const object = { apiVersion: "v1", kind: "Pod", name, namespace, uid };
    events.record(uid, () => Promise.resolve(object), {
      type: "Warning",
      reason: verdict === "delete" ? "RedirectRepaired" : "RedirectMissing",
      message: MESSAGES[verdict],
    });
    if (verdict !== "delete") return;
    await client.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, uid);
    repaired(namespace, name);
  }
}

/** What is to be done about a pod of a node whose pods are redirected since then. */
export function verdictOn({ metadata, status }: KubeObject, readySinceMs: number): Verdict {
  if (metadata.deletionTimestamp !== undefined || !hasFailedValidator(status)) return "none";
  const startedMs = Date.parse(textOf(status, "startTime"));
  if (!(startedMs <= readySinceMs + SETTLED_MS)) return "bypassed";
  const isOwned = metadata.ownerReferences?.some(({ controller }) => controller === true) === true;
  return isOwned ? "delete" : "bare";
}

function hasFailedValidator(status: unknown): boolean {
  const statuses = isRecord(status) ? status["initContainerStatuses"] : undefined;
  if (!Array.isArray(statuses)) return false;
  return statuses.some((one: unknown) =>
    isRecord(one) && one["name"] === VALIDATOR_CONTAINER && one["ready"] !== true &&
    [one["state"], one["lastState"]].some(hasFailed)
  );
}

function hasFailed(state: unknown): boolean {
  const ended = isRecord(state) ? state["terminated"] : undefined;
  return isRecord(ended) && ended["exitCode"] !== 0;
}

function textOf(value: unknown, key: string): string {
  const text = isRecord(value) ? value[key] : undefined;
  return typeof text === "string" ? text : "";
}
