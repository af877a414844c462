/** Holds the tree against the import graph and the text rules; each rule is first shown to bite. */

import { describe, expect, test } from "bun:test";
import { findCycle, importsOf, resolveImport, wrongImports } from "./tidy/graph.ts";
import { wrongTest, wrongText } from "./tidy/text.ts";

const top = new URL("..", import.meta.url).pathname;

async function sources(pattern: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for await (const path of new Bun.Glob(pattern).scan({ cwd: top })) {
    if (path.includes("/gen/") || path.endsWith(".d.ts")) continue;
    files.set(path, await Bun.file(top + path).text());
  }
  return files;
}

async function product(): Promise<Map<string, string>> {
  const files = new Map([...await sources("{lib,cmd}/**/*.ts"), ...await sources("mod.ts")]);
  for (const path of files.keys()) if (path.endsWith(".test.ts")) files.delete(path);
  return files;
}

describe("the rules bite", () => {
  test("a product room must not import its neighbour", () => {
    const source = `import { a } from "../control/index.ts";`;
    expect(wrongImports("lib/proxy/x.ts", source)).toHaveLength(1);
    expect(wrongImports("lib/local/x.ts", source)).toHaveLength(0);
  });

  test("a package has one owner", () => {
    expect(wrongImports("lib/proxy/x.ts", `import pino from "pino";`)).toHaveLength(1);
    expect(wrongImports("lib/telemetry/x.ts", `import pino from "pino";`)).toHaveLength(0);
    expect(wrongImports("lib/proxy/x.ts", `import x from "left-pad";`)).toHaveLength(1);
  });

  test("imports are read in all their forms", () => {
    const source = `import a from "a";\nimport type { B } from "b";\nimport "c";\n` +
      `export { d } from "d";\nconst e = await import("e");\nimport {\n  f,\n} from "f";\n`;
    expect(importsOf(source).map((found) => found.specifier).sort()).toEqual([..."abcdef"]);
  });

  test("a cycle is found", () => {
    expect(findCycle(new Map([["a", ["b"]], ["b", ["a"]]]))).toEqual(["a", "b", "a"]);
    expect(findCycle(new Map([["a", ["b"]], ["b", []]]))).toBeUndefined();
  });

  test("text rules", () => {
    const doc = "/** Doc. */\n";
    expect(wrongText("lib/mesh/x.ts", `${doc}const now = Date.now();`)).toHaveLength(1);
    expect(wrongText("lib/host/x.ts", `${doc}const now = Date.now();`)).toHaveLength(0);
    expect(wrongText("lib/wire/x.ts", `// hot\n${doc}const a = b.slice(1);`)).toHaveLength(1);
    expect(wrongText("lib/wire/x.ts", `// hot\n${doc}b.slice(1); // cold: once`)).toHaveLength(0);
    expect(wrongText("lib/mesh/x.ts", "const a = 1;")).toHaveLength(1);
    expect(wrongText("lib/mesh/x.ts", `${doc}${"\n".repeat(600)}`)).toHaveLength(1);
  });

  test("tests that cannot fail", () => {
    const body = (line: string) => `test("x", async () => {\n  ${line}\n});\n`;
    expect(wrongTest("x.test.ts", body("expect(read()).rejects.toThrow();"))).toHaveLength(1);
    expect(wrongTest("x.test.ts", body("expect(a(b(1)))\n    .resolves.toBe(1);"))).toHaveLength(1);
    expect(wrongTest("x.test.ts", body("await expect(read()).rejects.toThrow();"))).toEqual([]);
    expect(wrongTest("x.test.ts", body("expect(a).toBe(1);\n  await expect(b).rejects.x();")))
      .toEqual([]);
    expect(wrongTest("x.test.ts", 'test.only("x", () => {});')).toHaveLength(1);
  });
});

describe("the tree", () => {
  test("imports go downward, and each package has one owner", async () => {
    const wrong = [...await product()].flatMap(([path, source]) => wrongImports(path, source));
    expect(wrong).toEqual([]);
  });

  test("has no import cycle", async () => {
    const graph = new Map<string, string[]>();
    for (const [path, source] of await product()) {
      const targets = importsOf(source)
        .filter((found) => !found.typeOnly && found.specifier.startsWith("."))
        .map((found) => resolveImport(path, found.specifier));
      graph.set(path, targets);
    }
    expect(findCycle(graph)).toBeUndefined();
  });

  test("text keeps the rules", async () => {
    const wrong = [...await product()].flatMap(([path, source]) => wrongText(path, source));
    expect(wrong).toEqual([]);
  });

  test("tests can fail", async () => {
    const files = await sources("{lib,cmd,test}/**/*.test.ts");
    files.delete("test/tidy.test.ts");
    expect(files.size).toBeGreaterThan(80);
    expect([...files].flatMap(([path, source]) => wrongTest(path, source))).toEqual([]);
  });

  test("speaks of itself alone", async () => {
    const listed = Bun.spawnSync(["git", "ls-files"], { cwd: top }).stdout.toString().trim();
    const wrong: string[] = [];
    for (const path of listed.split("\n").filter((path) => !path.startsWith("test/tidy"))) {
      const file = Bun.file(top + path);
      if (!await file.exists()) continue;
      const text = await file.text();
      const found = /\/work\/(?:main|shared|peers)|registry\.npmjs|\bissue #?\d+\b|proxy\.golang/i
        .exec(text);
      if (found !== null) wrong.push(`${path}: ${found[0]}`);
    }
    expect(wrong).toEqual([]);
  });
});
