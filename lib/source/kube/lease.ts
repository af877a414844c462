/**
 * Leadership by a Lease: of several replicas one acts, and another takes over when it is gone. The
 * Lease exists from the installation on, so that nobody needs the right to create one.
 *
 *     following ──nobody holds it, or unchanged for its duration──▶ taken
 *         ▲                                                          │ renewed every 5 s
 *         └────────── not renewed for 10 s, taken by another ────────┘
 *
 * Clocks of machines are never compared: a follower counts from when it saw the Lease change, and a
 * leader stops to act before anybody may take over.
 */

import { describeError, Fault } from "../../base/fault.ts";
import type { Clock, Timer } from "../../host/clock.ts";
import { isRecord } from "../shape.ts";
import { isConflict, type KubeClient, type KubeObject } from "./client.ts";

/** What leadership takes. */
export interface LeadershipOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly namespace: string;
  /** The Lease's name. */
  readonly lease: string;
  /** This replica, such as the pod's name. */
  readonly holder: string;
  /** Told when this replica begins to lead and when it does not lead any more. */
  readonly changed: (leads: boolean) => void;
  /** Told why the Lease cannot be read or written, and again only when that changes. */
  readonly failed: (reason: string) => void;
}

/** How long a Lease counts that nobody renews. */
const DURATION_MS = 15_000;
/** A leader that could not renew for so long stops to act. */
const DEADLINE_MS = 10_000;
const PERIOD_MS = 5_000;

/** One replica's part in the election. */
export class Leadership {
  readonly #options: LeadershipOptions;
  readonly #path: string;
  #timer: Timer | undefined;
  #leads = false;
  #renewedMs = 0;
  /** The version of the Lease that was seen last, and when it was seen first. */
  #seen = { version: "", atMs: 0 };
  #turn: Promise<void> = Promise.resolve();
  #busy = false;
  #stopped = false;
  #reason = "";

  constructor(options: LeadershipOptions) {
    this.#options = options;
    this.#path =
      `/apis/coordination.k8s.io/v1/namespaces/${options.namespace}/leases/${options.lease}`;
  }

  /** Takes part from now on. */
  start(): void {
    const { clock } = this.#options;
    this.#turn = this.#step();
    this.#timer = clock.every(PERIOD_MS, () => {
      // A step that hangs must not keep a leader in office.
      this.#resignWhenLate();
      if (!this.#busy) this.#turn = this.#step();
    });
  }

  /** Whether this replica may act now. */
  leads(): boolean {
    return this.#leads &&
      this.#options.clock.monotonicMs() - this.#renewedMs < DEADLINE_MS;
  }

  /** Takes part no more; a leader hands over at once. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#turn;
    if (!this.#leads) return;
    this.#set(false);
    try {
      const lease = await this.#options.client.get(this.#path);
      if (lease !== undefined && holderOf(lease) === this.#options.holder) {
        await this.#write(lease, "");
      }
    } catch {
      // The next leader then waits until the Lease has run out.
    }
  }

  /** Never rejects for what a cluster does. */
  async #step(): Promise<void> {
    if (this.#stopped) return;
    const { client, clock, holder, lease: name, namespace, failed } = this.#options;
    this.#busy = true;
    try {
      const lease = await client.get(this.#path);
      if (lease === undefined) {
        throw new Fault("not_found", `there is no Lease "${name}" in namespace "${namespace}"`);
      }
      if (!this.#mayHold(lease)) return this.#set(false);
      const beganMs = clock.monotonicMs();
      await this.#write(lease, holder);
      this.#renewedMs = beganMs;
      this.#reason = "";
      if (!this.#stopped) this.#set(true);
    } catch (thrown) {
      if (!(thrown instanceof Fault)) throw thrown;
      if (isConflict(thrown)) return this.#set(false);
      const reason = describeError(thrown);
      if (reason !== this.#reason) failed(reason);
      this.#reason = reason;
      this.#resignWhenLate();
    } finally {
      this.#busy = false;
    }
  }

  #resignWhenLate(): void {
    if (this.#leads && !this.leads()) this.#set(false);
  }

  #mayHold(lease: KubeObject): boolean {
    const { clock, holder } = this.#options;
    const held = holderOf(lease);
    if (held === "" || held === holder) return true;
    const version = lease.metadata.resourceVersion ?? "";
    if (version !== this.#seen.version) this.#seen = { version, atMs: clock.monotonicMs() };
    return clock.monotonicMs() - this.#seen.atMs >= DURATION_MS;
  }

  async #write(lease: KubeObject, holderIdentity: string): Promise<void> {
    const now = microTime(this.#options.clock.nowMs());
    const former = specOf(lease);
    const isNew = former["holderIdentity"] !== holderIdentity;
    const transitions = Number(former["leaseTransitions"] ?? 0) + (isNew ? 1 : 0);
    await this.#options.client.replace(this.#path, {
      ...lease,
      spec: {
        ...former,
        holderIdentity,
        leaseDurationSeconds: DURATION_MS / 1_000,
        acquireTime: isNew ? now : former["acquireTime"] ?? now,
        renewTime: now,
        leaseTransitions: transitions,
      },
    });
  }

  #set(leads: boolean): void {
    if (this.#leads === leads) return;
    this.#leads = leads;
    this.#options.changed(leads);
  }
}

function specOf(lease: KubeObject): Readonly<Record<string, unknown>> {
  const { spec } = lease;
  return isRecord(spec) ? spec : {};
}

function holderOf(lease: KubeObject): string {
  const holder = specOf(lease)["holderIdentity"];
  return typeof holder === "string" ? holder : "";
}

/** Kubernetes' MicroTime takes six digits after the point and no fewer. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/Z$/, "000Z");
}
