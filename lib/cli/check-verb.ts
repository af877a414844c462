/** `malla check`: the machine first, then the mesh if one runs. */

import { describeError } from "../base/fault.ts";
import { oneOf } from "../config/mod.ts";
import { readText } from "../host/files.ts";
import { environment, findProgram, ownIds, signalProcess } from "../host/process.ts";
import type { Terminal } from "../host/terminal.ts";
import { serveWeb } from "../host/web-server.ts";
import { PROGRAMS } from "../local/machine-needs.ts";
import { executeInNamespaces } from "../local/outer.ts";
import { readState } from "../local/running-mesh.ts";
import { type MeshState, meshStatePath } from "../local/state.ts";
import {
  type Category,
  checksJson,
  formatCategory,
  formatSummary,
  isPassed,
  runChecks,
} from "./check.ts";
import { type Machine, machineChecks } from "./check-machine.ts";
import { meshChecks } from "./check-mesh.ts";
import { askMesh } from "./running-mesh.ts";
import { createStyle } from "./style.ts";
import { createVerb, runVerb, valueOf } from "./verb.ts";

/** The live page's usual port. */
const PAGE_PORT = 8084;

/** Runs the verb; the exit code is 1 when a check failed. */
export function runCheck(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb(
    "check",
    "Whether this machine can run a mesh, and whether its mesh is well.",
    terminal,
  )
    .option("-o, --output <format>", "text or json", valueOf(oneOf(["text", "json"])), "text");
  return runVerb(verb, words, terminal, async () => {
    const { output } = verb.opts<{ output: "text" | "json" }>();
    const path = meshStatePath(environment(), ownIds().uid);
    const state = await readState(path);
    const runs = state !== undefined && signalProcess(state.pid, 0);
    const machine = machineChecks({
      machine: thisMachine(),
      programs: PROGRAMS,
      ports: runs ? [] : [PAGE_PORT],
    });
    const categories = [machine, ...meshCategory(state, runs, path)];
    const style = createStyle(terminal.colours);
    const isText = output === "text";
    const results = await runChecks(categories, (result) => {
      if (isText) terminal.write(formatCategory(result, style));
    });
    if (isText) {
      if (state === undefined) terminal.write('No mesh runs here; "malla demo" shows one\n');
      terminal.write(formatSummary(results, style));
    } else terminal.write(`${JSON.stringify(checksJson(results), null, 2)}\n`);
    return isPassed(results) ? 0 : 1;
  });
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
