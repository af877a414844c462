/** The note that a mesh of this machine leaves. */

import { environment, ownIds } from "../host/process.ts";
import { readState } from "../local/running-mesh.ts";
import { meshStatePath } from "../local/state.ts";

/** Where this user's mesh leaves it. */
export function notePath(): string {
  return meshStatePath(environment(), ownIds().uid);
}

/** Whether a mesh left one. */
export async function meshRunsHere(): Promise<boolean> {
  return await readState(notePath()) !== undefined;
}
