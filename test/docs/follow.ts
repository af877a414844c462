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
  readonly stepMs: number;
}

/** Makes the tests of all pages that have commands for this place. */
export function followPages({ place, open, stepMs }: FollowOptions): void {
  for (const page of PAGES) {
    const steps = readSteps(page, readFileSync(join(TOP, page), "utf8"))
      .filter((step) => step.place === place);
    if (steps.length === 0) continue;
    describe(page, () => {
      let terminal: Terminal;
      const followed = new Set<string>();
      beforeAll(async () => void (terminal = await open(page)), stepMs);
      for (const step of steps) {
        test(`${step.at}: ${step.script.split("\n")[0]}`, async () => {
          await terminal.follow(step);
          followed.add(step.at);
        }, stepMs);
      }
      test("every command was run, and Ctrl-C ends what stays", async () => {
        await terminal.close();
        expect([...followed]).toEqual(steps.map(({ at }) => at));
      }, stepMs);
    });
  }
}
