/** How pages are read and compared; and that every page of the documentation says where it runs. */

import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PAGES, TOP } from "./pages.ts";
import { isShown, readSteps } from "./page.ts";

const fence = (words: string, ...lines: string[]) =>
  ["```" + words, ...lines, "```", ""].join("\n");

describe("a page", () => {
  test("is its commands, with marks and what they write", () => {
    const page = `# A page\n\n${fence("sh cluster repeat", "malla check", "echo x")}You see\n\n` +
      fence("text", "all …") + fence('sh skip="no such machine"', "rm -r /") +
      fence("sh laptop stays needs=python status=2", "malla demo");
    expect(readSteps("a.md", page)).toEqual([
      {
        at: "a.md:3",
        script: "malla check\necho x",
        place: "cluster",
        repeats: true,
        stays: false,
        status: 0,
        shown: "all …",
      },
      {
        at: "a.md:12",
        script: "rm -r /",
        place: undefined,
        repeats: false,
        stays: false,
        status: 0,
        skip: "no such machine",
      },
      {
        at: "a.md:15",
        script: "malla demo",
        place: "laptop",
        repeats: false,
        stays: true,
        status: 2,
        needs: "python",
      },
    ]);
  });

  const wrong: [string, string][] = [
    [fence("sh", "true"), "a.md:1: a command says where it runs, or why nowhere"],
    [fence('sh cluster skip="x"', "true"), "a command says where it runs, or why nowhere"],
    [fence("sh cluster soon", "true"), 'unknown mark "soon"'],
    [fence("sh cluster skip", "true"), 'unknown mark "skip"'],
    [fence("sh cluster needs", "true"), 'unknown mark "needs"'],
    [fence("bash", "true"), 'a fence is "sh", "text" or "yaml", got "bash"'],
    [fence("text", "hello"), "a.md:1: the output of no command"],
    [fence("sh cluster", "true") + fence("text", "a") + fence("text", "b"), "a.md:7: the output"],
    ["```sh cluster\ntrue\n", "a.md:1: a fence without an end"],
  ];
  test.each(wrong)("%p is refused", (page, message) => {
    expect(() => readSteps("a.md", page)).toThrow(message);
  });
});

describe("an output", () => {
  const rows: [string, string, boolean][] = [
    ["NAME   READY\nweb  2/2", "NAME READY\nweb        2/2\n", true],
    ["NAME READY\nweb 2/2", "NAME READY\nweb 1/2\n", false],
    ["web …rps", "web 12.1rps", true],
    ["web …rps", "web 12.1rps\nmore", false],
    ["a\n…\nz", "a\nb\nc\nz", true],
    ["a\n…\nz", "a\nz", true],
    ["a\n…\nz", "a\nb\n", false],
    ["…\nz", "z", true],
    ["a.c", "abc", false],
    ["√ fine", "\u001b[32m√\u001b[39m fine", true],
  ];
  test.each(rows)("%p and %p", (shown, output, is) => {
    expect(isShown(shown, output)).toBe(is);
  });
});

describe("the documentation", () => {
  test.each([...PAGES])("%s: every command has a place", (page) => {
    const steps = readSteps(page, readFileSync(join(TOP, page), "utf8"));
    expect(steps.length).toBeGreaterThan(0);
    // What nobody tries is not known to be true: nearly nothing may be so.
    expect(steps.filter(({ skip }) => skip !== undefined).length).toBeLessThanOrEqual(1);
  });

  test("links lead to pages and titles that are there", async () => {
    const broken: string[] = [];
    const pages = ["README.md", ...new Bun.Glob("docs/*.md").scanSync({ cwd: TOP })];
    for (const page of pages) {
      const text = readFileSync(join(TOP, page), "utf8");
      for (const [, target = ""] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = "", anchor] = target.split("#");
        const file = path === "" ? page : join(page, "..", path);
        const isThere = existsSync(join(TOP, file)) &&
          (anchor === undefined || titlesOf(readFileSync(join(TOP, file), "utf8")).has(anchor));
        if (!isThere) broken.push(`${page}: ${target}`);
      }
    }
    expect(broken).toEqual([]);
  });

  test("all pages are tested", () => {
    // Without commands: the generated references, and what manifests alone switch on.
    const others = [
      "docs/configuration.md",
      "docs/metrics.md",
      "docs/reliability.md",
      "docs/values.md",
    ];
    const pages = [...new Bun.Glob("docs/*.md").scanSync({ cwd: TOP })];
    expect(pages.filter((page) => !others.includes(page)).sort()).toEqual([...PAGES].sort());
    for (const page of others) {
      expect(readSteps(page, readFileSync(join(TOP, page), "utf8"))).toEqual([]);
    }
  });
});

/** Anchors as they are made of titles where pages are shown. */
function titlesOf(page: string): ReadonlySet<string> {
  return new Set(
    [...page.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title.toLowerCase().replace(/[^\p{L}\p{N} -]/gu, "").replaceAll(" ", "-")
    ),
  );
}
