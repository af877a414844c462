/** Tells the gateway of the Services and EndpointSlices in the folder of objects. */

import type { Clock, Timer } from "../host/clock.ts";
import { filesSource } from "../source/files/mod.ts";
import {
  type EndpointSlice,
  type MeshObject,
  refKey,
  refOf,
  type Service,
} from "../source/objects.ts";
import type { Gateway } from "./gateway.ts";

/** Several objects change together when a pod comes or goes. */
const SETTLE_MS = 20;

/** Follows the folder for as long as the process lives; resolves when all of it was told once. */
export async function feedGateway(gateway: Gateway, objects: string, clock: Clock): Promise<void> {
  const services = new Map<string, Service>();
  const slices = new Map<string, EndpointSlice>();
  let timer: Timer | null = null;
  const update = () => {
    timer = null;
    gateway.update([...services.values()], [...slices.values()]);
  };
  const changed = (key: string, object: MeshObject | null) => {
    services.delete(key);
    slices.delete(key);
    if (object?.kind === "Service") services.set(key, object);
    if (object?.kind === "EndpointSlice") slices.set(key, object);
    timer ??= clock.after(SETTLE_MS, update);
  };
  await filesSource(objects, clock).watch(new Set(["Service", "EndpointSlice"]), {
    applied: (object) => changed(refKey(refOf(object)), object),
    deleted: (ref) => changed(refKey(ref), null),
    synced: update,
    // The objects are of our own making; the controller tells what it cannot read of them.
    problems() {},
  });
}
