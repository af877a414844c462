/** Files of the machine: read, list, watch, and write so that a reader never sees half a file. */

import { watch as watchPath } from "node:fs";
import {
  chmod,
  copyFile,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Fault } from "../base/fault.ts";

/** What is known of a file without reading it. */
export interface FileStat {
  readonly kind: "file" | "directory" | "other";
  readonly size: number;
  /** Its permissions. */
  readonly mode: number;
  /** Differs whenever the contents may differ: inode, size and times in one text. */
  readonly version: string;
}

/** The file's text. Throws `not_found`, `permission_denied` or `unavailable`. */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw fromFileSystem(`Cannot read "${path}"`, cause);
  }
}

/** The file's bytes. Throws `not_found`, `permission_denied` or `unavailable`. */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (cause) {
    throw fromFileSystem(`Cannot read "${path}"`, cause);
  }
}

/** The names in a folder, sorted. Throws `not_found`, `permission_denied` or `unavailable`. */
export async function listFolder(path: string): Promise<readonly string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    throw fromFileSystem(`Cannot list "${path}"`, cause);
  }
}

/** What is at the path, symbolic links followed; undefined when there is nothing. */
export async function statPath(path: string): Promise<FileStat | undefined> {
  try {
    const found = await stat(path, { bigint: true });
    const kind = found.isFile() ? "file" : found.isDirectory() ? "directory" : "other";
    const version = `${found.ino}.${found.size}.${found.mtimeNs}.${found.ctimeNs}`;
    return { kind, size: Number(found.size), mode: Number(found.mode) & 0o777, version };
  } catch (cause) {
    const fault = fromFileSystem(`Cannot look at "${path}"`, cause);
    if (fault.code === "not_found") return undefined;
    throw fault;
  }
}

/**
 * Writes the whole file beside its place, then moves it there. The folder is made when it is missing.
 * `mode` is that of a new file, in octal; the umask does not apply to it.
 */
export async function writeTextAtomic(path: string, text: string, mode = 0o644): Promise<void> {
  await writeAtomic(path, async (draft) => {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.chmod(mode);
    } finally {
      await file.close();
    }
  });
}

/** Copies a file beside its new place, then moves it there. `mode` is the new file's. */
export async function copyFileAtomic(from: string, path: string, mode: number): Promise<void> {
  await writeAtomic(path, async (draft) => {
    await copyFile(from, draft);
    await chmod(draft, mode);
  });
}

/** Moves a file within its file system, over what is there. */
export async function moveFile(from: string, path: string): Promise<void> {
  try {
    await rename(from, path);
  } catch (cause) {
    throw fromFileSystem(`Cannot move "${from}" to "${path}"`, cause);
  }
}

/** Removes a file or an empty place; that it is gone already is no error. */
export async function removeFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw fromFileSystem(`Cannot remove "${path}"`, cause);
  }
}

/**
 * Calls `changed` with the name of each entry of the folder that may have changed, or with null when
 * the system does not say which; several calls may stand for one change. Throws when the folder
 * cannot be watched. Returns what ends the watch.
 */
export function watchFolder(path: string, changed: (name: string | null) => void): () => void {
  try {
    const watcher = watchPath(path, (_event, name) => changed(name));
    watcher.on("error", () => changed(null));
    return () => watcher.close();
  } catch (cause) {
    throw fromFileSystem(`Cannot watch "${path}"`, cause);
  }
}

async function writeAtomic(path: string, write: (draft: string) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const draft = join(folder, `.${basename(path)}.${crypto.randomUUID()}~`);
  try {
    await mkdir(folder, { recursive: true });
    await write(draft);
    await rename(draft, path);
  } catch (cause) {
    // The first failure counts, such as that the folder is none.
    await rm(draft, { force: true }).catch(() => {});
    throw fromFileSystem(`Cannot write "${path}"`, cause);
  }
}

/** Joins a folder and a name. */
export const joinPath: (folder: string, name: string) => string = join;

/** Splits a path into its folder and its last part. */
export function splitPath(path: string): { readonly folder: string; readonly name: string } {
  return { folder: dirname(path), name: basename(path) };
}

/** The one place where the file system's errors become faults. */
function fromFileSystem(message: string, cause: unknown): Fault {
  const errno = (cause as { code?: unknown } | null)?.code;
  const code = errno === "ENOENT" || errno === "ENOTDIR"
    ? "not_found"
    : errno === "EACCES" || errno === "EPERM" || errno === "EISDIR"
    ? "permission_denied"
    : "unavailable";
  return new Fault(code, `${message}: ${errnoText(errno)}`);
}

function errnoText(errno: unknown): string {
  switch (errno) {
    case "ENOENT":
      return "no such file or folder";
    case "ENOTDIR":
      return "a part of the path is not a folder";
    case "EISDIR":
      return "it is a folder";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    default:
      return typeof errno === "string" ? errno : "unknown error";
  }
}
