/** The user's manifests, read at the start and again whenever a file changes. */

import type { Clock, Timer } from "../host/clock.ts";
import { kindAt } from "../host/directory.ts";
import { splitPath, watchFolder } from "../host/files.ts";
import { describeError } from "../base/fault.ts";
import { manifestFiles, type ManifestSet, readManifests } from "./manifest-set.ts";

/** Where manifests are and how they are read. */
export interface ManifestPlaces {
  readonly places: readonly string[];
  readonly namespace: string;
  readonly workingDir: string;
  /** `--exec NAME='CMD'`. */
  readonly overrides: Readonly<Record<string, string>>;
}

/** Editors write in several steps; what they do within this time is one change. */
const SETTLE_MS = 150;

/** Calls at the start and after each change, with all manifests. */
export class ManifestWatch {
  readonly #places: ManifestPlaces;
  readonly #clock: Clock;
  readonly #changed: (set: ManifestSet) => void;
  #timer: Timer | null = null;

  constructor(places: ManifestPlaces, clock: Clock, changed: (set: ManifestSet) => void) {
    this.#places = places;
    this.#clock = clock;
    this.#changed = changed;
  }

  start(): void {
    const folders = new Set(
      this.#places.places.map((place) =>
        kindAt(place) === "file" ? splitPath(place).folder : place
      ),
    );
    for (const folder of folders) watchFolder(folder, () => this.#soon());
    this.#read();
  }

  #soon(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(SETTLE_MS, () => this.#read());
  }

  #read(): void {
    const { places, namespace, workingDir } = this.#places;
    const overrides = new Map(Object.entries(this.#places.overrides));
    const shown = (path: string) => shorten(path, workingDir);
    try {
      const files = manifestFiles(places, workingDir);
      this.#changed(readManifests(files, { namespace, overrides, shown }));
    } catch (error) {
      // A folder that went away: what runs goes on with what was last known.
      this.#changed({ objects: [], workloads: [], errors: [describeError(error)], notes: [] });
    }
  }
}

/** A path as the user would write it. */
export function shorten(path: string, workingDir: string): string {
  return path.startsWith(`${workingDir}/`) ? path.slice(workingDir.length + 1) : path;
}
