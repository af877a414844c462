/** Finds the mesh that runs on this machine, and asks its API. */

import { Fault } from "../base/fault.ts";
import { httpGet } from "../host/http-get.ts";
import { readText } from "../host/files.ts";
import { environment, ownIds, signalProcess } from "../host/process.ts";
import { type MeshState, meshStatePath, parseMeshState } from "../local/state.ts";

/** The bounds of one question. */
const BOUNDS = { timeoutMs: 10_000, bytesMax: 64 * 1_024 * 1_024 };

/** Finds the API's address. Throws `failed_precondition` when no mesh runs, saying how to start one. */
export async function findMesh(): Promise<MeshState> {
  const path = meshStatePath(environment(), ownIds().uid);
  const state = await readState(path);
  if (state !== undefined && signalProcess(state.pid, 0)) return state;
  throw new Fault(
    "failed_precondition",
    state === undefined
      ? 'No mesh runs here: start one with "malla up -f DIR" or "malla demo", or name its ' +
        "dashboard with --url"
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

/** Asks the API at an address; the shape of the answer is the dashboard's promise. */
export async function askMesh<T>(url: string, path: string): Promise<T> {
  const { status, text } = await httpGet(`${url.replace(/\/$/, "")}${path}`, BOUNDS);
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch (cause) {
    throw new Fault("unavailable", `${url} does not answer like a dashboard of Malla`, { cause });
  }
  if (status === 200) return answer as T;
  const reason = (answer as { readonly error?: unknown } | null)?.error;
  throw new Fault(
    status === 400 ? "invalid_argument" : "unavailable",
    typeof reason === "string" ? reason : `${url} answered with status ${status}`,
  );
}
