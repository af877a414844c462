/**
 * The manifests of a folder, kept up to date: which files there are, what is in each, and what is
 * wrong. A file that cannot be read any more, or whose new text has errors, keeps its last good state.
 */

import { Fault } from "../../base/fault.ts";
import { MANIFEST_FILE_BYTES_MAX } from "../../base/limits.ts";
import { equalValues } from "../../base/equal.ts";
import { joinPath, listFolder, readText, splitPath, statPath } from "../../host/files.ts";
import { type MeshObject, refKey, refOf } from "../objects.ts";
import type { Problem } from "../mod.ts";
import { type Manifest, parseManifests } from "./manifest.ts";

/** What is in force of one file. */
interface FileState {
  readonly version: string;
  readonly manifests: readonly Manifest[];
  readonly problems: readonly Problem[];
}

/** All objects of the folder, and all that is wrong with it. */
export interface FolderState {
  /** One object for each name, in the order of files and of their documents. */
  readonly objects: readonly MeshObject[];
  readonly problems: readonly Problem[];
  /** Whether a file was found to differ from the look before. */
  readonly differs: boolean;
}

/** Names that are read. Hidden files are drafts of editors and of our own writer. */
const MANIFEST_NAME = /^[^.].*\.(ya?ml|json)$/;

/** Reads a folder, or a single file, again and again. */
export class ManifestFolder {
  readonly folder: string;
  readonly #only: string | undefined;
  #files = new Map<string, FileState>();
  #folderProblem: Problem | undefined;
  #differs = false;

  private constructor(folder: string, only: string | undefined) {
    this.folder = folder;
    this.#only = only;
  }

  /** Rejects with `not_found` when there is nothing at the path. */
  static async open(path: string): Promise<ManifestFolder> {
    const found = await statPath(path);
    if (found === undefined) {
      throw new Fault("not_found", `Cannot read manifests from "${path}": no such file or folder`);
    }
    if (found.kind === "directory") return new ManifestFolder(path, undefined);
    const { folder, name } = splitPath(path);
    return new ManifestFolder(folder, name);
  }

  /** Whether an entry of this name is read. */
  concerns(name: string): boolean {
    return this.#only === undefined ? MANIFEST_NAME.test(name) : name === this.#only;
  }

  /** Reads what may have changed; null stands for everything. */
  async refresh(changed: ReadonlySet<string> | null): Promise<FolderState> {
    this.#differs = false;
    if (changed === null || [...changed].some((name) => !this.#files.has(name))) {
      await this.#refreshAll();
    } else {
      for (const name of changed) await this.#refreshFile(name);
    }
    return this.#state();
  }

  async #refreshAll(): Promise<void> {
    let names: readonly string[];
    try {
      names = this.#only === undefined ? await listFolder(this.folder) : [this.#only];
      this.#folderProblem = undefined;
    } catch (thrown) {
      // A folder that is gone for a moment must not take the whole mesh with it.
      this.#folderProblem = { severity: "error", message: faultOf(thrown).message };
      return;
    }
    const wanted = new Set(names.filter((name) => this.concerns(name)));
    for (const name of this.#files.keys()) if (!wanted.has(name)) this.#forget(name);
    for (const name of wanted) await this.#refreshFile(name);
  }

  async #refreshFile(name: string): Promise<void> {
    const known = this.#files.get(name);
    try {
      const next = await readManifestFile(this.folder, name, known);
      if (next === undefined) return this.#forget(name);
      if (next !== known) this.#differs = true;
      this.#files.set(name, next);
    } catch (thrown) {
      const problem: Problem = {
        severity: "error",
        message: `${name}: ${faultOf(thrown).message}`,
      };
      this.#files.set(name, {
        version: "unread",
        manifests: known?.manifests ?? [],
        problems: [problem],
      });
    }
  }

  #forget(name: string): void {
    if (this.#files.delete(name)) this.#differs = true;
  }

  #state(): FolderState {
    const problems = this.#folderProblem === undefined ? [] : [this.#folderProblem];
    const byKey = new Map<string, Manifest>();
    // Files in the order of their names: which of two duplicates counts must not depend on time.
    for (const [, file] of [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1))) {
      problems.push(...file.problems);
      for (const manifest of file.manifests) {
        if (manifest.object === undefined) continue;
        const key = refKey(refOf(manifest.object));
        const first = byKey.get(key);
        if (first === undefined) byKey.set(key, manifest);
        else problems.push(duplicateProblem(manifest, manifest.object, first));
      }
    }
    const objects = [...byKey.values()].flatMap(({ object }) => object === undefined ? [] : object);
    problems.push(...addressProblems([...byKey.values()]));
    return { objects, problems, differs: this.#differs };
  }
}

/** The file's state as it is now; undefined when it is gone. */
async function readManifestFile(
  folder: string,
  name: string,
  known: FileState | undefined,
): Promise<FileState | undefined> {
  const path = joinPath(folder, name);
  let before = await statPath(path);
  while (before !== undefined && before.kind === "file") {
    if (before.version === known?.version) return known;
    if (before.size > MANIFEST_FILE_BYTES_MAX) {
      throw new Fault(
        "resource_exhausted",
        `the file has ${before.size} bytes, and at most ${MANIFEST_FILE_BYTES_MAX} are read`,
      );
    }
    const text = await readText(path);
    // Changed while it was read: what was read may be half of two states.
    const after = await statPath(path);
    if (after?.version === before.version) return fileState(name, text, before.version, known);
    before = after;
  }
  return undefined;
}

function fileState(
  name: string,
  text: string,
  version: string,
  known: FileState | undefined,
): FileState {
  const had = known !== undefined && known.manifests.length > 0;
  if (text.trim() === "" && had) {
    // Many editors empty a file before they write it.
    const message = `${name}: the file is empty; its last contents stay in force until it is ` +
      "written or removed";
    return { version, manifests: known.manifests, problems: [{ severity: "note", message }] };
  }
  const { manifests, errors, notes } = parseManifests(text, name);
  const kept = errors.length > 0 && had;
  const problems: Problem[] = [
    ...errors.map((message) => ({ severity: "error", message }) as const),
    ...(kept ? [keptProblem(name)] : []),
    ...notes.map((message) => ({ severity: "note", message }) as const),
  ];
  return {
    version,
    manifests: kept ? known.manifests : sameWhereEqual(manifests, known?.manifests ?? []),
    problems,
  };
}

function keptProblem(name: string): Problem {
  return { severity: "note", message: `${name}: its last good contents stay in force` };
}

/** Keeps the known object where the new one is equal, so that later steps compare by identity. */
function sameWhereEqual(
  manifests: readonly Manifest[],
  known: readonly Manifest[],
): readonly Manifest[] {
  const objects = new Map(
    known.flatMap(({ object }) => object === undefined ? [] : [[refKey(refOf(object)), object]]),
  );
  return manifests.map((manifest) => {
    if (manifest.object === undefined) return manifest;
    const former = objects.get(refKey(refOf(manifest.object)));
    return former !== undefined && equalValues(former, manifest.object)
      ? { ...manifest, object: former }
      : manifest;
  });
}

function duplicateProblem(manifest: Manifest, object: MeshObject, first: Manifest): Problem {
  const { name, namespace } = object.metadata;
  const title = `${object.kind} "${name}"${namespace === "" ? "" : ` in namespace "${namespace}"`}`;
  const message = `${manifest.file}:${manifest.line}: ${title} is already in ` +
    `${first.file}:${first.line}, which stays in force; remove one of them`;
  return { severity: "error", message };
}

/** Two Services at one address: connections to it could not be told apart. */
function addressProblems(manifests: readonly Manifest[]): readonly Problem[] {
  const owners = new Map<string, Manifest>();
  const problems: Problem[] = [];
  for (const manifest of manifests) {
    const { object } = manifest;
    if (object?.kind !== "Service") continue;
    const { clusterIP = "", clusterIPs } = object.spec;
    for (const ip of new Set([clusterIP, ...clusterIPs])) {
      if (ip === "" || ip === "None") continue;
      const owner = owners.get(ip);
      if (owner === undefined) {
        owners.set(ip, manifest);
        continue;
      }
      const message = `${manifest.file}:${manifest.line}: Service "${object.metadata.name}": ` +
        `spec.clusterIP: ${ip} is already the address of Service ` +
        `"${owner.object?.metadata.name}" (${owner.file}:${owner.line})`;
      problems.push({ severity: "error", message });
    }
  }
  return problems;
}

function faultOf(thrown: unknown): Fault {
  if (thrown instanceof Fault) return thrown;
  throw thrown;
}
