/** The committed references are those that the schemas give, and leave nothing out. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import {
  configurationPage,
  METRICS_PATH,
  metricsPage,
  REFERENCE_PATH,
  VALUES_PATH,
  valuesPage,
} from "./docs.ts";

test("docs/configuration.md is current; `bun run docs` writes it", () => {
  expect(readFileSync(REFERENCE_PATH, "utf8")).toBe(configurationPage());
});

test("docs/values.md is current; `bun run docs` writes it", () => {
  expect(readFileSync(VALUES_PATH, "utf8")).toBe(valuesPage());
});

test("docs/metrics.md is current; `bun run docs` writes it", () => {
  expect(readFileSync(METRICS_PATH, "utf8")).toBe(metricsPage());
});

test("no metric is left out, and each says its labels", async () => {
  const top = new URL("..", import.meta.url).pathname;
  const names: string[] = [];
  for await (const path of new Bun.Glob("{cmd,lib}/**/*.ts").scan(top)) {
    if (path.endsWith(".test.ts")) continue;
    const text = await Bun.file(`${top}${path}`).text();
    const calls = /\b(?:counter|gauge|histogram)\(\s*["`]([\w${}]+)["`]/g;
    names.push(...[...text.matchAll(calls)].map(([, name]) => name ?? ""));
  }
  const page = metricsPage();
  expect(names.length).toBeGreaterThan(30);
  // A name with a part that is put in is on the page in all its forms.
  const isThere = (name: string) =>
    new RegExp(`\\| \`${name.replace(/\$\{\w+\}/g, "\\w+")}\` \\|`).test(page);
  expect(names.filter((name) => !isThere(name))).toEqual([]);
  const rows = page.split("\n").filter((line) => /^\| `\w+` \| (?:counter|gauge|hist)/.test(line));
  expect(rows.length).toBeGreaterThan(60);
  expect(rows.filter((row) => row.split(" | ").length !== 5)).toEqual([]);
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
