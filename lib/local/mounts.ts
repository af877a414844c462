/**
 * The file tree of a container: the machine's own, with some files and folders of the pod mounted into
 * it, also at paths that the machine does not have. Pure: it looks at the machine through `HostTree`
 * and gives the shell script that makes the mounts inside a fresh mount namespace.
 *
 * A path that does not exist gets its nearest existing folder replaced by an empty one (tmpfs) into
 * which everything that was there is mounted again. The root itself cannot be covered like that, so
 * then the whole tree is built beside it and made the root.
 *
 * All mounts are made with `-n`: what `mount` notes of its own in `/run/mount` would stay on the machine.
 */

import { assert } from "../base/assert.ts";

/** One mount of a container. */
export interface Mount {
  /** What to show: a file or folder of the machine. */
  readonly source: string;
  readonly kind: "file" | "folder";
  readonly target: string;
  readonly readOnly: boolean;
}

/** What `planMounts` must know of the machine's files; links are told, not followed. */
export interface HostTree {
  kind(path: string): "file" | "folder" | "link" | "other" | null;
  list(path: string): readonly string[];
  target(link: string): string;
}

/** The place for work that the script may use; an empty folder that only this container sees. */
const STAGE = "stage";
const ROOT = "root";
const LINKS_MAX = 40;
/** No path holds this: it would have to begin a line, and paths begin with a slash. */
const TABLE_END = "END-OF-TABLE";

/** The folders that the script works with. */
export interface MountPlaces {
  /** An existing folder for the script's own use, outside all targets. */
  readonly work: string;
  /** A folder that nothing in the container may see, such as the mesh's keys and sockets. */
  readonly hidden: string;
}

/** Gives the shell commands that mount all of it. */
export function mountScript(
  mounts: readonly Mount[],
  tree: HostTree,
  { work, hidden }: MountPlaces,
): string {
  const wanted = mounts.map((mount) => ({ ...mount, target: resolveLinks(mount.target, tree) }))
    // Parents first, so that a mount below another one is not hidden by it.
    .sort((a, b) => depth(a.target) - depth(b.target));
  const covers = coveredFolders(wanted, tree);
  const lines = ["set -e", `mount -n -t tmpfs -o mode=0755 malla ${quote(work)}`];
  const newRoot = covers.includes("/") ? `${work}/${ROOT}` : "";
  if (newRoot !== "") lines.push(...rebuildRoot(tree, newRoot));
  covers.filter((folder) => folder !== "/").forEach((folder, index) => {
    lines.push(...cover(folder, `${work}/${STAGE}${index}`, newRoot, tree));
  });
  lines.push(...placeAll(wanted, newRoot));
  lines.push(`mount -n -t tmpfs -o mode=0500,size=4k malla ${quote(`${newRoot}${hidden}`)}`);
  // What was mounted is a copy by now: the sources' folder stays visible, it is ours anyway.
  if (newRoot !== "") {
    lines.push(
      `cd ${quote(newRoot)}`,
      "pivot_root . .",
      // The old root lies under the new one now: off with it.
      "umount -n -l .",
      "cd /",
    );
  }
  return `${lines.join("\n")}\n`;
}

/** Quotes a word for the shell. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** Follows the links in a path as far as the machine has it; the rest stays as it is. */
function resolveLinks(path: string, tree: HostTree): string {
  let pending = path.split("/").filter((part) => part !== "" && part !== ".");
  let resolved = "";
  let links = 0;
  while (pending.length > 0) {
    const [part = "", ...rest] = pending;
    pending = rest;
    if (part === "..") {
      resolved = parent(resolved);
      continue;
    }
    const next = `${resolved}/${part}`;
    if (tree.kind(next) !== "link" || ++links > LINKS_MAX) {
      resolved = next;
      continue;
    }
    const target = tree.target(next);
    pending = [...target.split("/").filter((step) => step !== "" && step !== "."), ...pending];
    if (target.startsWith("/")) resolved = "";
  }
  return resolved === "" ? "/" : resolved;
}

/** The existing folders that must be covered so that the missing targets can be made in them. */
function coveredFolders(mounts: readonly Mount[], tree: HostTree): string[] {
  const covers = new Set<string>();
  for (const { target, kind } of mounts) {
    const found = tree.kind(target);
    if (found === kind || (kind === "file" && found === "other")) continue;
    // A mount above it brings its own folder, in which the target can be made.
    const above = mounts.some((other) =>
      other.target !== target && other.kind === "folder" && isBelow(target, other.target)
    );
    if (above) continue;
    let folder = parent(target);
    while (tree.kind(folder || "/") !== "folder") folder = parent(folder);
    covers.add(folder || "/");
  }
  return [...covers].sort((a, b) => depth(a) - depth(b));
}

function rebuildRoot(tree: HostTree, newRoot: string): string[] {
  return [
    `mkdir ${quote(newRoot)}`,
    `mount -n -t tmpfs -o mode=0755 malla ${quote(newRoot)}`,
    ...showAgain("/", "", newRoot, tree),
  ];
}

function cover(folder: string, stage: string, newRoot: string, tree: HostTree): string[] {
  const place = `${newRoot}${folder}`;
  return [
    `mkdir ${quote(stage)}`,
    `mount -n --rbind ${quote(place)} ${quote(stage)}`,
    `mount -n -t tmpfs -o mode=0755 malla ${quote(place)}`,
    ...showAgain(folder, stage, newRoot, tree),
  ];
}

/**
 * Shows the entries of a covered folder again; there may be hundreds, so each step is one program for
 * all of them. An entry that we may not see stays away: the program could not have used it either.
 */
function showAgain(
  folder: string,
  from: string,
  newRoot: string,
  tree: HostTree,
): string[] {
  const tableFile = `${newRoot === "" ? from : newRoot}.table`;
  const lines: string[] = [];
  const folders: string[] = [];
  const files: string[] = [];
  const table: string[] = [];
  for (const name of tree.list(folder)) {
    const at = folder === "/" ? `/${name}` : `${folder}/${name}`;
    const target = `${newRoot}${at}`;
    const kind = tree.kind(at);
    if (kind === null) continue;
    if (kind === "link") {
      lines.push(`ln -s ${quote(tree.target(at))} ${quote(target)}`);
      continue;
    }
    (kind === "folder" ? folders : files).push(quote(target));
    table.push(tableLine(`${from}/${name}`, target, kind === "folder" ? "rbind" : "bind"));
  }
  if (folders.length > 0) lines.push(`mkdir ${folders.join(" ")}`);
  if (files.length > 0) lines.push(`touch ${files.join(" ")}`);
  return [...lines, ...mountAll(table, tableFile)];
}

/** One program makes all mounts of a table, in its order. */
function mountAll(table: readonly string[], file: string): string[] {
  if (table.length === 0) return [];
  return [
    `cat > ${quote(file)} <<'${TABLE_END}'`,
    ...table,
    TABLE_END,
    `mount -n --all --fstab ${quote(file)} 2>/dev/null || true`,
  ];
}

/** A line of fstab(5), in which white space and backslashes are written in octal. */
function tableLine(source: string, target: string, options: string): string {
  const escape = (path: string) =>
    path.replace(/[\s\\#]/g, (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, "0")}`);
  return `${escape(source)} ${escape(target)} none ${options} 0 0`;
}

/** Makes the places for the mounts, then the mounts: parents before what lies in them. */
function placeAll(mounts: readonly Mount[], newRoot: string): string[] {
  return mounts.flatMap((mount) => {
    assert(mount.target !== "/", "a volume is mounted over the root");
    const target = quote(`${newRoot}${mount.target}`);
    const folder = quote(`${newRoot}${parent(mount.target) || "/"}`);
    const make = mount.kind === "folder"
      ? `[ -d ${target} ] || mkdir -p ${target}`
      : `[ -e ${target} ] || { mkdir -p ${folder} && : > ${target}; }`;
    const lines = [make, `mount -n --rbind ${quote(mount.source)} ${target}`];
    // A read-only remount of a foreign file system may be refused: then the volume stays writable
    // for those who may write to its source anyway.
    if (mount.readOnly) lines.push(`mount -n -o remount,bind,ro ${target} 2>/dev/null || true`);
    return lines;
  });
}

function parent(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function depth(path: string): number {
  return path.split("/").filter((part) => part !== "").length;
}

function isBelow(path: string, folder: string): boolean {
  return path.startsWith(folder === "/" ? "/" : `${folder}/`);
}
