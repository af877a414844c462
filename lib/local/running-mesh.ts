/** Finds the mesh that this user runs on this machine, by the note that it left. */

import { Fault } from "../base/fault.ts";
import { readText } from "../host/files.ts";
import { environment, ownIds, signalProcess } from "../host/process.ts";
import { type MeshState, meshStatePath, parseMeshState } from "./state.ts";

/** The running mesh. Throws `failed_precondition` when there is none, saying how to start one. */
export async function findMesh(): Promise<MeshState> {
  const state = await readState(meshStatePath(environment(), ownIds().uid));
  if (state !== undefined && signalProcess(state.pid, 0)) return state;
  throw new Fault(
    "failed_precondition",
    state === undefined
      ? 'No mesh of this user runs here: start one with "malla up -f DIR" or "malla demo"'
      : `The mesh of process ${state.pid} has ended without cleaning up: start it again`,
  );
}

/** The state of this user's mesh if there is a note of one, whether or not it still runs. */
export async function readState(path: string): Promise<MeshState | undefined> {
  try {
    return parseMeshState(await readText(path));
  } catch (error) {
    if (error instanceof Fault && error.code === "not_found") return undefined;
    throw error;
  }
}
