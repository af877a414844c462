/**
 * The import graph as data: which room may import which, who owns which package, and how to read a
 * file's imports. `test/tidy.test.ts` holds the tree against it.
 */

/** A room may import rooms of a strictly lower rank only; so equals never know each other. */
export const RANK: Readonly<Record<string, number>> = {
  base: 0,
  mesh: 1,
  wire: 1,
  host: 2,
  telemetry: 3,
  config: 3,
  contract: 4,
  pki: 4,
  source: 5,
  proxy: 6,
  control: 6,
  identity: 6,
  inject: 6,
  viz: 6,
  cni: 7,
  install: 7,
  local: 7,
  cli: 8,
  cmd: 9,
  "mod.ts": 9,
};

/** The one room that may import a package; by the package's name or scope. */
export const OWNER: Readonly<Record<string, string>> = {
  pino: "telemetry",
  valibot: "config",
  commander: "cli",
  "@bufbuild/": "contract",
  "@peculiar/": "pki",
  "reflect-metadata": "pki",
  "@kubernetes/client-node": "source",
  yaml: "source",
  "dns-packet": "local",
  "@dagrejs/dagre": "viz",
};

/** Packages that several rooms may use, each for a server of its own. */
export const SHARED: Readonly<Record<string, readonly string[]>> = {
  hono: ["viz", "inject"],
};

/** One import: what was written, and whether it is gone at run time. */
export interface Import {
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** The imports and re-exports of a source text, `import("…")` and `require("…")` included. */
export function importsOf(source: string): Import[] {
  const found: Import[] = [];
  const statement = /^(?:import|export)\s+(type\s)?[^"';]*?from\s+"([^"]+)"/gm;
  for (const [, type, specifier = ""] of source.matchAll(statement)) {
    found.push({ specifier, typeOnly: type !== undefined });
  }
  for (const [, specifier = ""] of source.matchAll(/^import\s+"([^"]+)"/gm)) {
    found.push({ specifier, typeOnly: false });
  }
  for (const [, specifier = ""] of source.matchAll(/\b(?:import|require)\(\s*"([^"]+)"\s*\)/g)) {
    found.push({ specifier, typeOnly: false });
  }
  return found;
}

/** The room of a file, by its path from the top: `lib/<room>/…`, `cmd/…`, `mod.ts`. */
export function roomOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  return top === "lib" ? second : top;
}

/** The path, from the top, that a relative import means. */
export function resolveImport(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** What is wrong with the imports of one file; empty when nothing is. */
export function wrongImports(path: string, source: string): string[] {
  const room = roomOf(path);
  const wrong: string[] = [];
  for (const { specifier } of importsOf(source)) {
    if (specifier.startsWith(".")) {
      const target = roomOf(resolveImport(path, specifier));
      if (target === room || target === "package.json") continue;
      const from = RANK[room];
      const to = RANK[target];
      if (from === undefined || to === undefined || to >= from) {
        wrong.push(`${path}: room ${room} must not import room ${target} (${specifier})`);
      }
    } else if (specifier.startsWith("node:") || specifier.startsWith("bun")) {
      if (room !== "host" && room !== "cmd") {
        wrong.push(`${path}: only lib/host and cmd may import ${specifier}`);
      }
    } else wrong.push(...wrongPackage(path, room, specifier));
  }
  return wrong;
}

function wrongPackage(path: string, room: string, specifier: string): string[] {
  const shared = Object.entries(SHARED).find(([name]) => specifier.startsWith(name));
  if (shared !== undefined) {
    return shared[1].includes(room)
      ? []
      : [`${path}: ${specifier} belongs to ${shared[1].join(", ")}`];
  }
  const owner = Object.entries(OWNER).find(([name]) => specifier.startsWith(name));
  if (owner === undefined) return [`${path}: package ${specifier} has no owner room`];
  return owner[1] === room ? [] : [`${path}: package ${specifier} belongs to lib/${owner[1]}`];
}

/** A cycle of run-time imports as a list of paths, or undefined when there is none. */
export function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const stack: string[] = [];
  const visit = (path: string): string[] | undefined => {
    if (stack.includes(path)) return [...stack.slice(stack.indexOf(path)), path];
    if (done.has(path)) return undefined;
    stack.push(path);
    for (const next of graph.get(path) ?? []) {
      const cycle = visit(next);
      if (cycle !== undefined) return cycle;
    }
    stack.pop();
    done.add(path);
    return undefined;
  };
  for (const path of graph.keys()) {
    const cycle = visit(path);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}
