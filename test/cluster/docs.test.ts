/**
 * What the pages of the documentation tell to do in a cluster, done in one, page by page, by the
 * compiled executable and kubectl as an operator has them.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSteps } from "../docs/page.ts";
import { PAGES, TOP } from "../docs/pages.ts";
import { Terminal } from "../docs/terminal.ts";
import { docsObstacle, DocsWorld } from "./docs-world.ts";

const obstacle = docsObstacle();
if (obstacle !== null) console.warn(`skipped: pages in a cluster: ${obstacle}`);

/** Building Kubernetes and Helm included, on a machine that has never done it. */
const START_MS = 2_400_000;
const STEP_MS = 240_000;

describe.skipIf(obstacle !== null)("in a cluster", () => {
  let world: DocsWorld;
  beforeAll(async () => {
    world = await DocsWorld.start();
  }, START_MS);
  afterAll(async () => await world?.stop(), STEP_MS);

  for (const page of PAGES) {
    const steps = readSteps(page, readFileSync(join(TOP, page), "utf8"))
      .filter(({ place }) => place === "cluster");
    if (steps.length === 0) continue;
    describe(page, () => {
      let terminal: Terminal;
      const followed = new Set<string>();
      beforeAll(async () => {
        await world.prepare(page);
        terminal = new Terminal(world.programs, {
          KUBECONFIG: world.cluster.kubeconfig,
          MALLA_SOURCE: TOP.replace(/\/$/, ""),
        });
      }, STEP_MS);
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
});
