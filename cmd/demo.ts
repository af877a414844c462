/**
 * `malla demo`: the laptop mesh on an application of ours, with live figures until Ctrl-C. It takes the
 * same way as `malla up`; only the manifests and the programs are inside of this executable.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeError, Fault } from "../lib/base/fault.ts";
import { demoLine, demoScreen } from "../lib/cli/demo-screen.ts";
import { askMesh } from "../lib/cli/running-mesh.ts";
import { createStyle } from "../lib/cli/style.ts";
import { createVerb, runVerb, valueOf } from "../lib/cli/verb.ts";
import { port } from "../lib/config/mod.ts";
import { sleep, systemClock } from "../lib/host/clock.ts";
import { environment, execute, findProgram, onSignals, ownCommand } from "../lib/host/process.ts";
import { processTerminal, type Terminal } from "../lib/host/terminal.ts";
import { type RunningMesh, startMesh } from "../lib/local/mod.ts";
import type { Graph } from "../lib/viz/graph.ts";
import manifest from "./demo/manifest.yaml" with { type: "text" };

const ROLES = ["web", "catalog", "payments", "traffic"];
const GRACE_MS = 3_000;
/** Lines of the mesh's output that are kept to explain a failure. */
const LOG_BYTES_MAX = 16_384;
/** A start that takes longer wants an explanation; usually it takes two seconds. */
const SLOW_START_MS = 20_000;
const REDRAW_MS = 1_000;
const LINE_MS = 5_000;

/** The words after `demo`, as read. */
interface DemoFlags {
  readonly open?: true;
  readonly pagePort: number;
  readonly logs?: true;
}

/** Runs the demo until Ctrl-C; resolves to the exit code. */
export function run(args: readonly string[]): Promise<number> {
  const terminal = processTerminal();
  const verb = createVerb("demo", "Runs a small application in a mesh on this machine.", terminal)
    .option("--open", "open the live page in the browser")
    .option("--page-port <port>", "port of the live page on 127.0.0.1", valueOf(port()), 8084)
    .option("--logs", "show what the programs write instead of live figures");
  return runVerb(verb, args, terminal, async () => {
    const folder = mkdtempSync(join(tmpdir(), "malla-demo-"));
    try {
      writeFileSync(join(folder, "demo.yaml"), manifest);
      return await runMesh(folder, verb.opts<DemoFlags>(), terminal);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

async function runMesh(folder: string, flags: DemoFlags, terminal: Terminal): Promise<number> {
  const log = new TailText(LOG_BYTES_MAX);
  const mesh = await startMesh({
    places: [folder],
    namespace: "default",
    overrides: new Map(ROLES.map((role) => [role, roleCommand(role)])),
    published: [],
    pagePort: flags.pagePort,
    colours: terminal.colours,
    logLevel: "warn",
    proxyLogLevel: "warn",
    graceMs: GRACE_MS,
    output: flags.logs === true ? "inherit" : (chunk) => log.push(chunk),
  });
  terminal.write("Starting the demo: 6 pods, each in a network of its own, each with a proxy\n");
  const { pageUrl } = mesh;
  let isOver = false;
  let isStopping = false;
  const off = onSignals(["SIGINT", "SIGTERM", "SIGHUP"], () => {
    if (!isStopping) terminal.write("\nEnding the demo\n");
    isStopping = true;
    mesh.stop();
  });
  const ended = mesh.ended.then((code) => {
    isOver = true;
    return code;
  });
  const slow = systemClock.after(SLOW_START_MS, () => {
    terminal.writeError(`Not all pods are ready yet; the mesh says:\n${log.text()}`);
  });
  try {
    await mesh.ready;
    slow.cancel();
    if (isStopping) return await ended;
    terminal.write(introduction(pageUrl));
    if (flags.open === true) await openPage(pageUrl, terminal);
    if (flags.logs !== true) await showFigures(pageUrl, terminal, () => isOver || isStopping);
  } catch (error) {
    if (!isStopping) {
      terminal.writeError(`${log.text()}${describeError(error)}\n`);
      await endMesh(mesh, isOver);
      return 1;
    }
  } finally {
    slow.cancel();
    await ended;
    off();
  }
  const code = await ended;
  if (!isStopping) terminal.writeError(`${log.text()}The mesh ended by itself\n`);
  return isStopping ? code : code || 1;
}

function introduction(pageUrl: string): string {
  return `
  traffic ─▶ web ─▶ catalog    slow on purpose
                └─▶ payments   fails now and then

  The live page      ${pageUrl}
  In other terminals malla stat deploy, malla edges deploy, malla check
  To end it          Ctrl-C

`;
}

/** The words that run a role in a container's shell, each safe from it. */
function roleCommand(role: string): string {
  const words = [...ownCommand(), "demo-app", role];
  return `exec ${words.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ")}`;
}

async function endMesh(mesh: RunningMesh, isOver: boolean): Promise<void> {
  if (!isOver) mesh.stop();
  await mesh.ended;
}

/** Draws in place on a terminal, else writes a line now and then; until it is over. */
async function showFigures(
  pageUrl: string,
  terminal: Terminal,
  isOver: () => boolean,
): Promise<void> {
  const style = createStyle(terminal.colours);
  let linesDrawn = 0;
  while (!isOver()) {
    const graph = await askGraph(pageUrl);
    if (isOver()) return;
    if (graph !== undefined && terminal.isInteractive) {
      const screen = demoScreen(graph, style, terminal.columns());
      const back = linesDrawn === 0 ? "" : `\u001b[${linesDrawn}A\u001b[J`;
      terminal.write(back + screen);
      linesDrawn = screen.split("\n").length - 1;
    } else if (graph !== undefined) terminal.write(demoLine(graph));
    const periodMs = terminal.isInteractive ? REDRAW_MS : LINE_MS;
    for (let waited = 0; waited < periodMs && !isOver(); waited += 100) {
      await sleep(systemClock, 100);
    }
  }
}

async function askGraph(pageUrl: string): Promise<Graph | undefined> {
  try {
    return await askMesh<Graph>(pageUrl, "/api/graph?window=10s");
  } catch (error) {
    // The dashboard may be starting, or starting again: the next look will tell.
    if (error instanceof Fault) return undefined;
    throw error;
  }
}

async function openPage(url: string, terminal: Terminal): Promise<void> {
  const path = environment()["PATH"];
  const program = ["xdg-open", "open"].find((name) => findProgram(name, path) !== null);
  if (program === undefined) {
    terminal.writeError("There is no xdg-open or open to show the page with\n");
  } else await execute([program, url]);
}

/** The end of a text that may be long. */
class TailText {
  readonly #bytesMax: number;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  push(chunk: Uint8Array): void {
    this.#text = (this.#text + this.#decoder.decode(chunk, { stream: true })).slice(
      -this.#bytesMax,
    );
  }

  text(): string {
    return this.#text;
  }
}
