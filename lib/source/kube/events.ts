/**
 * Events for users: what `kubectl describe` and `kubectl get events` show beside an object. The same is
 * said once in a while only, and never at the cost of what the process is there for.
 */

import { EVENTS_PENDING_MAX, EVENTS_REMEMBERED_MAX } from "../../base/limits.ts";
import type { Clock } from "../../host/clock.ts";
import { randomHex } from "../../host/directory.ts";
import type { KubeClient } from "./client.ts";

/** The object that an event is about. */
export interface EventObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  /** Without it `kubectl describe` does not find the event. */
  readonly uid?: string;
}

/** What happened. */
export interface EventText {
  readonly type: "Normal" | "Warning";
  /** One word in camel case, for machines. */
  readonly reason: string;
  readonly message: string;
}

/** Who tells. */
export interface EventSource {
  /** Such as `malla-injector`. */
  readonly component: string;
  /** The replica, such as its pod's name. */
  readonly instance: string;
}

/** How long the same is not said again; an event itself is kept for an hour. */
const QUIET_MS = 600_000;

/** The API server takes no longer message. */
const MESSAGE_CHARS_MAX = 1_024;

/** Writes events into the namespaces of their objects. */
export class EventRecorder {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #source: EventSource;
  readonly #failed: (reason: unknown) => void;
  /** When each was said last, oldest first. */
  readonly #said = new Map<string, number>();
  #pending = 0;

  constructor(
    client: KubeClient,
    clock: Clock,
    source: EventSource,
    failed: (reason: unknown) => void,
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#source = source;
    this.#failed = failed;
  }

  /**
   * Tells something of an object, unless that was said just now or too much waits to be said. `find`
   * may name the object late, so that nobody is asked for events that are not written.
   */
  record(key: string, find: () => Promise<EventObject>, text: EventText): void {
    const nowMs = this.#clock.monotonicMs();
    const name = `${key} ${text.reason} ${text.message}`;
    const saidMs = this.#said.get(name);
    if (saidMs !== undefined && nowMs - saidMs < QUIET_MS) return;
    if (this.#pending >= EVENTS_PENDING_MAX) return;
    this.#said.delete(name);
    this.#said.set(name, nowMs);
    const [oldest] = this.#said.keys();
    if (this.#said.size > EVENTS_REMEMBERED_MAX && oldest !== undefined) this.#said.delete(oldest);
    this.#pending++;
    find().then((object) => this.#write(object, text)).catch((thrown: unknown) => {
      this.#said.delete(name);
      this.#failed(thrown);
    }).finally(() => this.#pending--);
  }

  async #write(object: EventObject, { type, reason, message }: EventText): Promise<void> {
    const { namespace, name } = object;
    const time = new Date(this.#clock.nowMs()).toISOString().replace(/\.\d+Z$/, "Z");
    const { component, instance } = this.#source;
    await this.#client.create(`/api/v1/namespaces/${namespace}/events`, {
      apiVersion: "v1",
      kind: "Event",
      // An object's name may be as long as an event's.
      metadata: { name: `${name.slice(0, 200)}.${randomHex(8)}`, namespace },
      involvedObject: object,
      type,
      reason,
      message: message.slice(0, MESSAGE_CHARS_MAX),
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    });
  }
}
