/** The tests that follow the pages: one for each command, in the order in which a reader types them. */

import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readSteps, type Step } from "./page.ts";
import { type PageName, PAGES, TOP } from "./pages.ts";
import type { Terminal } from "./terminal.ts";

/** Where and how pages are followed. */
export interface FollowOptions {
  readonly place: NonNullable<Step["place"]>;
  /** Opens the terminal in which a page's commands are typed. */
  readonly open: (page: PageName) => Terminal | Promise<Terminal>;
  /** Why there is no such program here as a step needs, or null. Default: there is none of any. */
  readonly needObstacle?: (program: string) => string | null;
  /** Why a page cannot be followed here, or null. Default: each can. */
  readonly pageObstacle?: (page: PageName) => string | null;
  readonly stepMs: number;
}

/** Makes the tests of all pages that have commands for this place. */
export function followPages(options: FollowOptions): void {
  const { place, open, stepMs, needObstacle = (program) => `no ${program}` } = options;
  for (const page of PAGES) {
    const steps = readSteps(page, readFileSync(join(TOP, page), "utf8"))
      .filter((step) => step.place === place);
    if (steps.length === 0) continue;
    const reason = options.pageObstacle?.(page) ?? null;
    if (reason !== null) console.warn(`skipped: ${page} in a ${place}: ${reason}`);
    describe.skipIf(reason !== null)(page, () => {
      let terminal: Terminal;
      const followed = new Set<string>();
      beforeAll(async () => void (terminal = await open(page)), stepMs);
      const followable = steps.filter(({ at, needs }) => {
        const why = needs === undefined ? null : needObstacle(needs);
        if (why !== null) console.warn(`skipped: ${at}: ${why}`);
        return why === null;
      });
      for (const step of steps) {
        const name = `${step.at}: ${step.script.split("\n")[0]}`;
        test.skipIf(!followable.includes(step))(name, async () => {
          await terminal.follow(step);
          followed.add(step.at);
        }, stepMs);
      }
      test("every command was run, and Ctrl-C ends what stays", async () => {
        await terminal.close();
        expect([...followed]).toEqual(followable.map(({ at }) => at));
      }, stepMs);
    });
  }
}
