/** An index under test: fed with objects, asked as a proxy would, and what it said, in order. */

import { Control } from "../../lib/control/mod.ts";
import type { ControlSettings } from "../../lib/control/mod.ts";
import { parseNetwork } from "../../lib/mesh/address.ts";
import { DEFAULT_OPAQUE_PORTS, parsePortRanges } from "../../lib/mesh/port-range.ts";
import type { Asker, Sink, Unwatch } from "../../lib/mesh/discovery.ts";
import { type MeshObject, refOf } from "../../lib/source/objects.ts";

/** A mesh with the defaults of an installation. */
export const CONTROL_SETTINGS: ControlSettings = {
  controlPlaneNamespace: "malla",
  trustDomain: "cluster.local",
  clusterDomain: "cluster.local",
  clusterNetworks: [parseNetwork("10.42.0.0/16"), parseNetwork("10.43.0.0/16")],
  defaultInboundPolicy: "all-unauthenticated",
  defaultOpaquePorts: parsePortRanges(DEFAULT_OPAQUE_PORTS),
};

/** Whoever asks where it does not matter who asks. */
export const SOMEBODY: Asker = { context: "", workload: "" };

/** A control plane with these objects, already synced; changes are told by `flush`. */
export function controlOf(
  objects: readonly MeshObject[] = [],
  settings: Partial<ControlSettings> = {},
): Control {
  const control = new Control({ ...CONTROL_SETTINGS, ...settings }, () => {});
  for (const object of objects) control.applied(object);
  control.synced();
  return control;
}

/** Applies and deletes, then tells those who watch. */
export function change(
  control: Control,
  applied: readonly MeshObject[],
  deleted: readonly MeshObject[] = [],
): void {
  for (const object of applied) control.applied(object);
  for (const object of deleted) control.deleted(refOf(object));
  control.flush();
}

/** What one watch said. */
export interface Heard<T> {
  readonly values: T[];
  readonly faults: (Error & { readonly code?: string })[];
  /** The values since the last call. */
  news(): T[];
  readonly stop: Unwatch;
}

/** Starts a watch and keeps what it says. */
export function listen<T>(watch: (sink: Sink<T>) => Unwatch): Heard<T> {
  const values: T[] = [];
  const faults: Error[] = [];
  let read = 0;
  const stop = watch({
    next: (value) => void values.push(value),
    fail: (fault) => void faults.push(fault),
  });
  return {
    values,
    faults,
    news() {
      const fresh = values.slice(read);
      read = values.length;
      return fresh;
    },
    stop,
  };
}
