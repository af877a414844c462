/** What the pages of the documentation tell to do on this machine, done on the compiled executable. */

import { afterAll, beforeAll, describe } from "bun:test";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { followPages } from "../docs/follow.ts";
import { TOP } from "../docs/pages.ts";
import { Terminal } from "../docs/terminal.ts";
import { whyNoMesh } from "../support/laptop.ts";

const PROGRAM = `${TOP}dist/malla`;
const STEP_MS = 120_000;

const obstacle = existsSync(PROGRAM)
  ? whyNoMesh("bash", "setsid", "curl", "python3")
  : "the executable is not built: bun run build";
if (obstacle !== undefined) console.warn(`skipped: pages on this machine: ${obstacle}`);

describe.skipIf(obstacle !== undefined)("on this machine", () => {
  /** A folder with the programs that the pages name. */
  let programs = "";
  beforeAll(() => {
    programs = mkdtempSync(join(tmpdir(), "malla-docs-programs-"));
    symlinkSync(PROGRAM, join(programs, "malla"));
  });
  afterAll(() => rmSync(programs, { recursive: true }));

  followPages({ place: "laptop", stepMs: STEP_MS, open: () => new Terminal(programs) });
});
