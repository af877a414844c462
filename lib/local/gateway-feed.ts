/** Tells the gateway of the Services and EndpointSlices in the folder of objects. */

import type { Clock, Timer } from "../host/clock.ts";
import { filesSource } from "../source/files/mod.ts";
import {
  type EndpointSlice,
  isReady,
  type MeshObject,
  type Pod,
  refKey,
  refOf,
  type Service,
} from "../source/objects.ts";
import { Changes } from "./changes.ts";
import type { Gateway } from "./gateway.ts";

/** Several objects change together when a pod comes or goes. */
const SETTLE_MS = 20;

/** Follows the folder for as long as the process lives. */
export class GatewayFeed {
  /** Rings when the gateway has taken over what changed. */
  readonly changes = new Changes();
  readonly #gateway: Gateway;
  readonly #clock: Clock;
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #pods = new Map<string, Pod>();
  #readyAddresses: ReadonlySet<string> = new Set();
  #timer: Timer | null = null;

  private constructor(gateway: Gateway, clock: Clock) {
    this.#gateway = gateway;
    this.#clock = clock;
  }

  /** Resolves when all of the folder was told once. */
  static async start(gateway: Gateway, objects: string, clock: Clock): Promise<GatewayFeed> {
    const feed = new GatewayFeed(gateway, clock);
    const synced = Promise.withResolvers<void>();
    await filesSource(objects, clock).watch(new Set(["Service", "EndpointSlice", "Pod"]), {
      applied: (object) => feed.#changed(refKey(refOf(object)), object),
      deleted: (ref) => feed.#changed(refKey(ref), null),
      synced: () => void feed.#update().then(synced.resolve),
      // The objects are of our own making; the controller tells what it cannot read of them.
      problems() {},
    });
    await synced.promise;
    return feed;
  }

  /** Whether Services lead to the pod of this address already, where they should. */
  knowsReady(ip: string): boolean {
    return this.#readyAddresses.has(ip);
  }

  #changed(key: string, object: MeshObject | null): void {
    this.#services.delete(key);
    this.#slices.delete(key);
    this.#pods.delete(key);
    if (object?.kind === "Service") this.#services.set(key, object);
    if (object?.kind === "EndpointSlice") this.#slices.set(key, object);
    if (object?.kind === "Pod") this.#pods.set(key, object);
    this.#timer ??= this.#clock.after(SETTLE_MS, () => void this.#update());
  }

  /** Never rejects: the gateway logs what it cannot do. */
  async #update(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    // The slices are computed from these very pods, so who has the ones has the others.
    const ready = new Set(
      [...this.#pods.values()].filter(isReady).flatMap(({ status }) => status.podIP ?? []),
    );
    this.#gateway.update([...this.#services.values()], [...this.#slices.values()]);
    await this.#gateway.settled();
    this.#readyAddresses = ready;
    this.changes.ring();
  }
}
