/**
 * Folders as a runtime needs them: made with their rights, looked through without following links,
 * removed whole. Synchronous, because what they serve (starting and ending) is a sequence anyway.
 */

import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { isAbsolute, resolve } from "node:path";
import { Fault } from "../base/fault.ts";

/** What stands at a path, links not followed. */
export type EntryKind = "file" | "folder" | "link" | "other";

/** One entry of a folder. */
export interface Entry {
  readonly name: string;
  readonly kind: EntryKind;
}

/** Makes a folder and those above it; the mode holds for the last one, whatever the umask says. */
export function makeFolder(path: string, mode = 0o755): void {
  guarded(`Cannot make folder "${path}"`, () => {
    mkdirSync(path, { recursive: true });
    chmodSync(path, mode);
  });
}

/** Makes a folder that must be new. Throws `already_exists` when something is there. */
export function makeNewFolder(path: string, mode: number): void {
  guarded(`Cannot make folder "${path}"`, () => mkdirSync(path, { mode }));
}

/** Removes a file or a folder with all that is in it; that it is gone already is no error. */
export function removeTree(path: string): void {
  guarded(`Cannot remove "${path}"`, () => rmSync(path, { recursive: true, force: true }));
}

/** Removes a folder when nothing is in it. */
export function removeEmptyFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // ENOTEMPTY: another mesh has its folder there. ENOENT: the other one was faster.
  }
}

/** The entries of a folder, sorted by name. */
export function entriesOf(path: string): readonly Entry[] {
  return guarded(`Cannot list "${path}"`, () =>
    readdirSync(path, { withFileTypes: true })
      .map((found) => ({
        name: found.name,
        kind: found.isDirectory()
          ? "folder" as const
          : found.isSymbolicLink()
          ? "link" as const
          : found.isFile()
          ? "file" as const
          : "other" as const,
      }))
      .sort((a, b) => a.name < b.name ? -1 : 1));
}

/** What stands at the path, links not followed; null when nothing does. */
export function kindAt(path: string): EntryKind | null {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return null;
  if (found.isDirectory()) return "folder";
  if (found.isSymbolicLink()) return "link";
  return found.isFile() ? "file" : "other";
}

/** Whether something stands at the path, links followed. */
export function exists(path: string): boolean {
  return existsSync(path);
}

/** Whether this process may write into the folder. */
export function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    // EACCES, ENOENT, EROFS: all mean no.
    return false;
  }
}

/** Whether the path is a folder (no link) of this user into which no other user can write. */
export function isOwnFolder(path: string, uid: number): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found !== undefined && found.isDirectory() && found.uid === uid &&
    (found.mode & 0o022) === 0;
}

/** Where a link points to, as it is written in it. */
export function linkTarget(path: string): string {
  return guarded(`Cannot read link "${path}"`, () => readlinkSync(path));
}

/** Makes a link to `target`. */
export function makeLink(target: string, path: string): void {
  guarded(`Cannot make link "${path}"`, () => symlinkSync(target, path));
}

/** The path without links; null when it leads nowhere. */
export function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    // A dangling link or a missing part: there is no such place.
    return null;
  }
}

/** The absolute form of a path, seen from a folder. */
export function absolutePath(path: string, from: string): string {
  return isAbsolute(path) ? resolve(path) : resolve(from, path);
}

/** Writes a file with exactly these rights. */
export function writeFile(path: string, contents: string | Uint8Array, mode = 0o644): void {
  guarded(`Cannot write "${path}"`, () => {
    writeFileSync(path, contents);
    chmodSync(path, mode);
  });
}

/** Moves a file or folder over another one in one step. */
export function moveOver(from: string, to: string): void {
  guarded(`Cannot move "${from}" to "${to}"`, () => renameSync(from, to));
}

/** The text of a file; null when it cannot be read. */
export function textAt(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // Missing or not for us: the caller asked "if there is one".
    return null;
  }
}

/** Bytes that nobody can guess, in hexadecimal. */
export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

function guarded<T>(message: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    const errno = cause instanceof Error && "code" in cause ? cause.code : undefined;
    const code = errno === "EEXIST"
      ? "already_exists"
      : errno === "ENOENT"
      ? "not_found"
      : errno === "EACCES" || errno === "EPERM"
      ? "permission_denied"
      : "unavailable";
    throw new Fault(code, message, { cause });
  }
}
