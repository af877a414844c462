/**
 * Files of the Debian that builds the image: what a program needs to run, which package a file is from,
 * and what may be said of that package. Everything is asked of `ldd` and `dpkg`, nothing is guessed.
 */

import { spawnSync } from "node:child_process";
import { lstatSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import type { Entry } from "./layer.ts";

/** An installed package. */
export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** The shared objects that the programs load at their start, the loader among them, sorted. */
export function sharedObjects(programs: readonly string[]): string[] {
  const found = new Set<string>();
  for (const program of programs) {
    const lines = run("ldd", program).split("\n");
    const missing = lines.find((line) => line.includes("not found"));
    if (missing !== undefined) throw new Error(`Cannot resolve ${program}: ${missing.trim()}`);
    for (const line of lines) {
      const path = /^\s*(?:\S+ => )?(\/\S+) \(0x/.exec(line)?.[1];
      if (path !== undefined) found.add(path);
    }
  }
  return [...found].toSorted();
}

/**
 * The entries that make a path of this machine exist in an image: the file itself where it really
 * lies, and every link on the way to it.
 */
export function pathEntries(path: string): Entry[] {
  const place = `${realpathSync(dirname(path))}/${path.slice(path.lastIndexOf("/") + 1)}`;
  if (!lstatSync(place).isSymbolicLink()) {
    const mode = lstatSync(place).mode & 0o111 ? 0o755 : 0o644;
    return [{ kind: "file", path: place, content: readFileSync(place), mode }];
  }
  const target = readlinkSync(place);
  const absolute = target.startsWith("/") ? target : `${dirname(place)}/${target}`;
  return [{ kind: "link", path: place, target }, ...pathEntries(absolute)];
}

/** Entries without those whose path came before. */
export function withoutRepeats(entries: readonly Entry[]): Entry[] {
  return [...new Map(entries.map((entry) => [entry.path, entry])).values()];
}

/**
 * The files that a package installed and that are wanted, folders not among them. Images of Debian leave out
 * manuals, of which `dpkg` tells all the same; throws where a file that is wanted is missing.
 */
export function packageFiles(name: string, wanted: RegExp): string[] {
  return run("dpkg", "-L", name).split("\n")
    .filter((path) => wanted.test(path) && !lstatSync(path).isDirectory());
}

/** The packages that paths belong to, sorted. Throws for a path that no package installed. */
export function ownersOf(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  // Where /lib is a link into /usr, some packages still know their files by the older name.
  const names = paths.flatMap((path) => [path, path.replace(/^\/usr(?=\/lib)/, "")]);
  const { stdout } = spawnSync("dpkg", ["-S", ...names], { encoding: "utf8" });
  const owners = new Map<string, string>();
  for (const [, owner = "", path = ""] of stdout.matchAll(/^(\S+?)(?::\w+)?: (\/.+)$/gm)) {
    owners.set(path.replace(/^\/lib/, "/usr/lib"), owner);
  }
  const stray = paths.find((path) => !owners.has(path));
  if (stray !== undefined) throw new Error(`Cannot tell which Debian package ${stray} is from`);
  return [...new Set(owners.values())].toSorted();
}

/** What dpkg knows of a package. */
export function packageOf(name: string): DebianPackage {
  const format = "${Package} ${Version} ${Architecture}\n";
  const [line = ""] = run("dpkg-query", "-W", `-f=${format}`, name).split("\n");
  const [found = "", version = "", architecture = ""] = line.split(" ");
  return { name: found, version, architecture };
}

/** The package's licences, which its files must be accompanied by. */
export function copyrightEntry(name: string): Entry {
  const path = `/usr/share/doc/${name}/copyright`;
  return { kind: "file", path, content: readFileSync(path) };
}

function run(program: string, ...args: string[]): string {
  const done = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    env: { ...process.env, LC_ALL: "C" },
  });
  if (done.status === 0) return done.stdout;
  const why = done.error?.message ?? done.stderr.trim();
  throw new Error(`${program} ${args.join(" ")}: ${why}`);
}
