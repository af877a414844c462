/** The committed references are those that the schemas give, and leave nothing out. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { configurationPage, REFERENCE_PATH, VALUES_PATH, valuesPage } from "./docs.ts";

test("docs/configuration.md is current; `bun run docs` writes it", () => {
  expect(readFileSync(REFERENCE_PATH, "utf8")).toBe(configurationPage());
});

test("docs/values.md is current; `bun run docs` writes it", () => {
  expect(readFileSync(VALUES_PATH, "utf8")).toBe(valuesPage());
});

test("no mode's settings are left out", async () => {
  const top = new URL("..", import.meta.url).pathname;
  const modes: string[] = [];
  for await (const path of new Bun.Glob("{cmd,lib}/**/*.ts").scan(top)) {
    if (path.endsWith(".test.ts")) continue;
    const text = await Bun.file(`${top}${path}`).text();
    modes.push(
      ...[...text.matchAll(/= defineSettings\("([\w-]+)"/g)].map(([, mode]) => mode ?? ""),
    );
  }
  const page = configurationPage();
  expect(modes.length).toBeGreaterThan(4);
  // The hook of an ordinary sidecar is written by the injector, never by people.
  const shown = modes.filter((mode) => mode !== "await");
  expect(shown.filter((mode) => !page.includes(`\n## malla ${mode}\n`))).toEqual([]);
});
