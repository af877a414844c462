/** What the pages of the documentation tell to do on this machine, done on the compiled executable. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readSteps } from "../docs/page.ts";
import { PAGES, TOP } from "../docs/pages.ts";
import { Terminal } from "../docs/terminal.ts";
import { whyNoMesh } from "../support/laptop.ts";

const PROGRAM = `${TOP}dist/malla`;
const STEP_MS = 120_000;

const obstacle = existsSync(PROGRAM)
  ? whyNoMesh("bash", "setsid", "curl", "python3")
  : "the executable is not built: bun run build";
if (obstacle !== undefined) console.warn(`skipped: pages on this machine: ${obstacle}`);

/** A folder with the programs that the pages name. */
let programs = "";

beforeAll(() => {
  programs = mkdtempSync(join(tmpdir(), "malla-docs-programs-"));
  symlinkSync(PROGRAM, join(programs, "malla"));
});

afterAll(() => rmSync(programs, { recursive: true }));

for (const page of PAGES) {
  const steps = readSteps(page, readFileSync(join(TOP, page), "utf8"))
    .filter(({ place }) => place === "laptop");
  if (steps.length === 0) continue;
  describe.skipIf(obstacle !== undefined)(page, () => {
    let terminal: Terminal;
    const followed = new Set<string>();
    beforeAll(() => {
      terminal = new Terminal(programs);
    });
    for (const step of steps) {
      test(`${step.at}: ${step.script.split("\n")[0]}`, async () => {
        await terminal.follow(step);
        followed.add(step.at);
      }, STEP_MS);
    }
    test("every command was run, and Ctrl-C ends what stays", async () => {
      await terminal.close();
      expect([...followed]).toEqual(steps.map(({ at }) => at));
    }, STEP_MS);
  });
}
