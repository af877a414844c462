/**
 * `malla demo` as a person meets it: started by one command, watched by the command line and the page,
 * ended by Ctrl-C without a trace. As the user of this test, and as one without rights where that is root.
 */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts, MALLA, ORDINARY_PATH, until } from "../support/malla.ts";

const START_MS = 120_000;
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

interface Edge {
  readonly src: string;
  readonly dst: string;
  readonly client_id: string;
  readonly server_id: string;
  readonly secured: boolean;
  readonly rps: number;
}

let folder: string;
let words: readonly string[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "malla-demo-test-"));
  chmodSync(folder, 0o777);
  words = MALLA;
  const [program = "", ...more] = MALLA;
  if (more.length > 0) return;
  // The checkout may lie where an ordinary user cannot look.
  words = [join(folder, "malla")];
  copyFileSync(program, join(folder, "malla"));
  chmodSync(join(folder, "malla"), 0o755);
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a verb as a user; its output is text. */
function start(asNobody: boolean, args: readonly string[]) {
  const user = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  return Bun.spawn([...asNobody ? user : [], ...words, ...args], {
    env: {
      PATH: ORDINARY_PATH,
      TMPDIR: folder,
      XDG_RUNTIME_DIR: folder,
      MALLA_STATE: `${folder}/state/mesh.json`,
    },
    stdout: "pipe",
    // Until the page answers, what asks it complains.
    stderr: args[0] === "demo" ? "inherit" : "ignore",
  });
}

async function outputOf(asNobody: boolean, ...args: readonly string[]): Promise<string> {
  const child = start(asNobody, args);
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  return text;
}

async function keep(
  stream: ReadableStream<Uint8Array>,
  take: (text: string) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const chunk of stream) take(decoder.decode(chunk, { stream: true }));
}

/** Processes that run the executable, or the source, of this test. */
function processesOf(program: string): string[] {
  return readdirSync("/proc").filter((name) => /^\d+$/.test(name)).filter((pid) => {
    const { stdout } = Bun.spawnSync(["cat", `/proc/${pid}/cmdline`], { stderr: "ignore" });
    return stdout.toString().includes(program) && Number(pid) !== process.pid;
  });
}

async function watchDemo(asNobody: boolean): Promise<void> {
  const [port = 0] = await freePorts(1);
  const page = `http://127.0.0.1:${port}`;
  let output = "";
  const demo = start(asNobody, ["demo", "--page-port", String(port)]);
  try {
    void keep(demo.stdout, (text) => void (output += text));
    let edges: readonly Edge[] = [];
    await until(async () => {
      if (demo.exitCode !== null) throw new Error(`the demo ended with ${demo.exitCode}`);
      const child = start(asNobody, ["edges", "deploy", "-o", "json", "--url", page]);
      const text = await new Response(child.stdout).text();
      edges = await child.exited === 0 ? JSON.parse(text) as Edge[] : [];
      // Each side alone knows the other one, and one of them is scraped first.
      return edges.length === 3 &&
        edges.every(({ rps, client_id, server_id }) => rps > 0 && client_id && server_id);
    });
    expect(edges.map(({ src, dst, secured }) => [src, dst, secured])).toEqual([
      ["traffic", "web", true],
      ["web", "catalog", true],
      ["web", "payments", true],
    ]);
    for (const { src, dst, client_id, server_id } of edges) {
      const rest = "default.serviceaccount.identity.malla.cluster.local";
      expect([client_id, server_id]).toEqual([`${src}.${rest}`, `${dst}.${rest}`]);
    }
    // Rates need two scrapes of a series, and edges may have theirs before a deployment has.
    const catalog = /^catalog +2\/2 +100\.00% +[\d.]+rps +\d+ms/m;
    await until(async () => catalog.test(await outputOf(asNobody, "stat", "deploy")));
    const checks = JSON.parse(await outputOf(asNobody, "check", "-o", "json"));
    expect(checks.categories.map(({ categoryName }: { categoryName: string }) => categoryName))
      .toEqual(["malla-machine", "malla-mesh"]);
    expect(checks.success).toBe(true);
    expect(await (await fetch(page)).text()).toContain("<title>Malla</title>");
    const stranger = await fetch(page, { headers: { host: "evil.example" } });
    expect(stranger.status).toBe(403);
    const events = await fetch(`${page}/events`);
    const reader = events.body?.getReader();
    let told = "";
    while (!told.includes('"secured":true')) {
      told += new TextDecoder().decode((await reader?.read())?.value);
    }
    await reader?.cancel();
    await until(() => /web [\d.]+rps [\d.]+% p95 \d+ms .*\| secured 3 of 3 edges\n/.test(output));
  } finally {
    demo.kill("SIGINT");
    await demo.exited;
  }
  expect(await demo.exited).toBe(0);
  expect(output).toContain(`The live page      ${page}`);
  await until(() => processesOf(`${words.at(-1)}\0`).length === 0);
  expect(readdirSync(folder).filter((name) => name.startsWith("malla-"))).toEqual([]);
  expect(existsSync(`${folder}/state/mesh.json`)).toBe(false);
}

describe("malla demo", () => {
  test("runs, is secured, is seen, and leaves nothing behind", () => watchDemo(false), START_MS);

  test.skipIf(!isRoot || MALLA.length > 1)(
    "does the same for an ordinary user",
    () => watchDemo(true),
    START_MS,
  );

  test("a taken port is told before anything starts", async () => {
    const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("") });
    const child = Bun.spawn([...words, "demo", "--page-port", String(server.port)], {
      stdout: "ignore",
      stderr: "pipe",
    });
    expect(await child.exited).toBe(1);
    expect(await new Response(child.stderr).text()).toContain(
      "choose another one with --page-port",
    );
    await server.stop(true);
  });
});
