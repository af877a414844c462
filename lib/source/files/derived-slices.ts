/** Adds to a set of objects the EndpointSlices that Kubernetes would make of its Services and Pods. */

import { equalValues } from "../../base/equal.ts";
import {
  type EndpointSlice,
  type MeshObject,
  type Pod,
  refKey,
  refOf,
  type Service,
} from "../objects.ts";
import { endpointSlices } from "./slices.ts";

/** What one namespace's slices were computed from, and the slices. */
interface Derived {
  readonly inputs: readonly MeshObject[];
  readonly slices: ReadonlyMap<string, EndpointSlice>;
}

/** Computes slices anew where something changed, and keeps equal slices the same objects. */
export class DerivedSlices {
  #namespaces = new Map<string, Derived>();

  /** All slices for these objects. Objects that are unchanged must be the same as the last time. */
  of(objects: Iterable<MeshObject>): readonly EndpointSlice[] {
    const inputs = new Map<string, (Pod | Service)[]>();
    for (const object of objects) {
      if (object.kind !== "Pod" && object.kind !== "Service") continue;
      const { namespace } = object.metadata;
      const members = inputs.get(namespace);
      if (members === undefined) inputs.set(namespace, [object]);
      else members.push(object);
    }
    const next = new Map<string, Derived>();
    for (const [namespace, members] of inputs) {
      next.set(namespace, derive(members, this.#namespaces.get(namespace)));
    }
    this.#namespaces = next;
    return [...next.values()].flatMap(({ slices }) => [...slices.values()]);
  }
}

function derive(inputs: readonly (Pod | Service)[], previous: Derived | undefined): Derived {
  const same = previous?.inputs.length === inputs.length &&
    inputs.every((object, index) => object === previous.inputs[index]);
  if (same) return previous;
  const pods = inputs.filter((object) => object.kind === "Pod");
  const slices = new Map<string, EndpointSlice>();
  for (const service of inputs) {
    if (service.kind !== "Service") continue;
    for (const slice of endpointSlices(service, pods)) {
      const key = refKey(refOf(slice));
      const known = previous?.slices.get(key);
      slices.set(key, known !== undefined && equalValues(known, slice) ? known : slice);
    }
  }
  return { inputs, slices };
}
