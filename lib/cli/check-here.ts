/** The checks of this machine, and of the mesh that runs on it if one does. */

import { describeError } from "../base/fault.ts";
import { readText } from "../host/files.ts";
import { environment, findProgram, ownIds, signalProcess } from "../host/process.ts";
import { serveWeb } from "../host/web-server.ts";
import { PROGRAMS } from "../local/machine-needs.ts";
import { executeInNamespaces } from "../local/outer.ts";
import { readState } from "../local/running-mesh.ts";
import type { MeshState } from "../local/state.ts";
import type { Category } from "./check.ts";
import { type Machine, machineChecks } from "./check-machine.ts";
import { meshChecks } from "./check-mesh.ts";
import { notePath } from "./mesh-note.ts";
import { askMesh } from "./running-mesh.ts";

/** The live page's usual port. */
const PAGE_PORT = 8084;

/** The categories, and what to say where no mesh runs. */
export async function machineCategories(): Promise<
  { readonly categories: readonly Category[]; readonly note?: string }
> {
  const path = notePath();
  const state = await readState(path);
  const runs = state !== undefined && signalProcess(state.pid, 0);
  const machine = machineChecks({
    machine: thisMachine(),
    programs: PROGRAMS,
    ports: runs ? [] : [PAGE_PORT],
  });
  return {
    categories: [machine, ...meshCategory(state, runs, path)],
    ...state === undefined ? { note: 'No mesh runs here; "malla demo" shows one' } : {},
  };
}

function meshCategory(
  state: MeshState | undefined,
  runs: boolean,
  path: string,
): readonly Category[] {
  if (state === undefined) return [];
  if (runs) return [meshChecks((question) => askMesh(state.pageUrl, question))];
  const outcome = {
    status: "warn",
    message: `process ${state.pid} of ${path} is gone`,
    hint: "it was killed; start the mesh again, it replaces the note",
  } as const;
  return [{
    name: "malla-mesh",
    checks: [{ name: "the mesh of the note runs", run: () => Promise.resolve(outcome) }],
  }];
}

function thisMachine(): Machine {
  const path = environment()["PATH"];
  return {
    isRoot: ownIds().uid === 0,
    async kernelSetting(name) {
      try {
        return (await readText(`/proc/sys/${name.replaceAll(".", "/")}`)).trim();
      } catch {
        return undefined; // This kernel has no such setting.
      }
    },
    hasProgram: (name) => findProgram(name, path) !== null,
    inNamespaces: executeInNamespaces,
    async whyPortTaken(port) {
      try {
        await serveWeb({ ip: "127.0.0.1", port, handler: () => new Response("") }).stop();
        return undefined;
      } catch (error) {
        return describeError(error);
      }
    },
  };
}
