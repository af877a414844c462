/**
 * The folder of objects that the controller and the dashboard read: one JSON file per object, replaced
 * in one step, removed when the object is gone. The folder's readers see whole files only.
 */

import { entriesOf, makeFolder, moveOver, removeTree, writeFile } from "../host/directory.ts";
import { canonical } from "./names.ts";
import { Reader } from "./reader.ts";
import type { Manifest } from "./workloads.ts";

/** Writes what differs from what it wrote before. */
export class ObjectFolder {
  readonly #folder: string;
  readonly #drafts: string;
  readonly #written = new Map<string, string>();

  /** `drafts` is a folder beside it on the same file system. */
  constructor(folder: string, drafts: string) {
    this.#folder = folder;
    this.#drafts = drafts;
    makeFolder(folder);
    makeFolder(drafts);
    for (const { name } of entriesOf(folder)) removeTree(`${folder}/${name}`);
  }

  /** Writes or replaces an object. */
  put(object: Manifest): void {
    const name = fileName(object);
    const text = canonical(object);
    if (this.#written.get(name) === text) return;
    this.#written.set(name, text);
    const draft = `${this.#drafts}/${name}`;
    writeFile(draft, text, 0o600);
    moveOver(draft, `${this.#folder}/${name}`);
  }

  /** Removes an object of this kind and name. */
  remove(object: Manifest): void {
    const name = fileName(object);
    if (this.#written.delete(name)) removeTree(`${this.#folder}/${name}`);
  }

  /** Makes the objects of one group be exactly these: `former` is what was given last time. */
  replace(former: readonly Manifest[], next: readonly Manifest[]): void {
    const names = new Set(next.map(fileName));
    for (const object of next) this.put(object);
    for (const object of former) if (!names.has(fileName(object))) this.remove(object);
  }
}

function fileName(object: Manifest): string {
  const reader = new Reader(object);
  const metadata = reader.at("metadata");
  const [group = ""] = reader.at("apiVersion").textOr("").split("/");
  const parts = [
    reader.at("kind").text(),
    group,
    metadata.at("namespace").textOr(""),
    metadata.at("name").text(),
  ];
  // Names come from the user: nothing in them may lead out of the folder.
  return `${parts.map((part) => encodeURIComponent(part)).join("_")}.json`.toLowerCase();
}
