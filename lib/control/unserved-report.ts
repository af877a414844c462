/**
 * Tells users of objects that the mesh does not serve: by an event at the object, a line in the log and
 * a metric. One replica looks, now and then; nothing in the mesh depends on it.
 */

import { describeError } from "../base/fault.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { KubeClient } from "../source/kube/client.ts";
import type { EventRecorder } from "../source/kube/events.ts";
import { isRecord } from "../source/shape.ts";
import {
  EGRESS_KIND,
  findUnserved,
  SERVER_KIND,
  titleOf,
  type UnservedObject,
} from "../source/kube/unserved.ts";
import type { Logger } from "../telemetry/logger.ts";

/** What a report works with. */
export interface UnservedReportOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly log: Logger;
  readonly recorder: EventRecorder;
  /** Whether this replica is the one that tells. */
  readonly leads: () => boolean;
  /** The pods that such objects select stay open. */
  readonly accepted: boolean;
  /** Takes how many objects of each kind there are. */
  readonly counted: (kinds: ReadonlyMap<string, number>) => void;
}

/** Users wait for it when they apply an object; a dozen lists in that time are no load. */
const PERIOD_MS = 15_000;

/** Looks at the cluster until it is stopped. */
export class UnservedReport {
  readonly #options: UnservedReportOptions;
  #timer: Timer | undefined;
  #busy = false;
  /** What is in the log already, by the objects' ids. */
  #told = new Set<string>();

  constructor(options: UnservedReportOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.every(PERIOD_MS, () => this.look());
    this.look();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Looks now, for instance because this replica has just begun to lead. */
  look(): void {
    const { client, leads, log } = this.#options;
    if (this.#busy || !leads()) return;
    this.#busy = true;
    findUnserved(client).then((found) => this.#tell(found), (thrown: unknown) => {
      log.warn("cannot look for objects that are not served", { error: describeError(thrown) });
    }).finally(() => this.#busy = false);
  }

  #tell(found: readonly UnservedObject[]): void {
    const { recorder, log, accepted, counted } = this.#options;
    const counts = new Map<string, number>();
    const told = new Set<string>();
    for (const unserved of found) {
      const { kind, apiVersion, object: { metadata } } = unserved;
      counts.set(kind.kind, (counts.get(kind.kind) ?? 0) + 1);
      const title = titleOf(unserved);
      const key = metadata.uid ?? title;
      const message = messageOf(unserved, accepted);
      if (!this.#told.has(key)) log.warn("not served", { object: title, message });
      told.add(key);
      const object = {
        apiVersion,
        kind: kind.kind,
        name: metadata.name,
        namespace: metadata.namespace ?? "default",
        ...metadata.uid === undefined ? {} : { uid: metadata.uid },
      };
      const text = { type: "Warning", reason: "NotServed", message } as const;
      recorder.record(key, () => Promise.resolve(object), text);
    }
    this.#told = told;
    counted(counts);
  }
}

/** What it means that the object is not served. */
function messageOf({ kind, object: { spec } }: UnservedObject, accepted: boolean): string {
  const begin = `Malla does not serve ${kind.kind} (${kind.group}) yet: `;
  if (kind === EGRESS_KIND && isRecord(spec) && spec["trafficPolicy"] === "Deny") {
    return `${begin}pods still reach everything that it denies`;
  }
  if (kind.purpose === "route" || accepted) return `${begin}it has no effect`;
  return kind === SERVER_KIND
    ? `${begin}the pods that it selects refuse all clients`
    : `${begin}it admits nobody, and restricts nobody`;
}
