/**
 * A folder of manifests as a source: reads all of it, then again whatever changes. EndpointSlices are
 * computed from its Services and Pods, as a cluster's controllers would.
 *
 *     change → names that may differ → (while one reads, others gather) → folder state → difference
 */

import { equalValues } from "../../base/equal.ts";
import { FILES_RESYNC_MS, FILES_SETTLE_MS } from "../../base/limits.ts";
import type { Clock, Timer } from "../../host/clock.ts";
import { watchFolder } from "../../host/files.ts";
import type { Problem, Source, SourceWatch, SourceWatcher } from "../mod.ts";
import { type Kind, type MeshObject, type ObjectRef, refKey, refOf } from "../objects.ts";
import { DerivedSlices } from "./derived-slices.ts";
import { type FolderState, ManifestFolder } from "./folder.ts";

export { type Manifest, type Manifests, parseManifests } from "./manifest.ts";
export { endpointSlices } from "./slices.ts";

/** Makes a source of a folder, or of a single file. */
export function filesSource(path: string, clock: Clock): Source {
  return {
    name: `files:${path}`,
    async watch(kinds, watcher) {
      const folder = await ManifestFolder.open(path);
      return new FilesWatch(folder, new Difference(kinds, watcher), clock);
    },
  };
}

/** Reads a folder, or a single file, once. Rejects with `not_found` when there is nothing. */
export async function readFolder(path: string): Promise<FolderState> {
  const folder = await ManifestFolder.open(path);
  return await folder.refresh(null);
}

/** Reads while there is something to read; one reading at a time. */
class FilesWatch implements SourceWatch {
  readonly #folder: ManifestFolder;
  readonly #difference: Difference;
  readonly #clock: Clock;
  readonly #ends: (() => void)[] = [];
  /** Names that may have changed since the last reading began; null stands for all. */
  #changed: Set<string> | null = null;
  #reading = false;
  #stopped = false;
  readonly #settling = new Set<Timer>();

  constructor(folder: ManifestFolder, difference: Difference, clock: Clock) {
    this.#folder = folder;
    this.#difference = difference;
    this.#clock = clock;
    // First watch, then read: a change between both is seen twice rather than never.
    this.#ends.push(watchFolder(folder.folder, (name) => this.#mark(name)));
    // Network file systems tell nothing of changes made elsewhere, and the kernel's queue can run over.
    const resync = clock.every(FILES_RESYNC_MS, () => this.#mark(null));
    this.#ends.push(() => resync.cancel());
    this.#mark(null);
  }

  stop(): void {
    this.#stopped = true;
    for (const end of this.#ends.splice(0)) end();
    for (const timer of this.#settling) timer.cancel();
  }

  #mark(name: string | null): void {
    if (name === null) this.#changed = null;
    else if (!this.#folder.concerns(name)) return;
    else this.#changed?.add(name);
    if (!this.#reading) void this.#read();
  }

  /** Never rejects: what can go wrong with files is a problem of the folder's state. */
  async #read(): Promise<void> {
    this.#reading = true;
    let state: FolderState | undefined;
    do {
      const changed = this.#changed;
      this.#changed = new Set();
      state = await this.#folder.refresh(changed);
      if (this.#stopped) return;
      this.#difference.tell(state);
      if (state.differs) this.#lookAgain(changed);
    } while (this.#changed === null || this.#changed.size > 0);
    this.#reading = false;
  }

  /**
   * The runtime drops the second of two equal events within about a millisecond: a file that was
   * written again right after we read it would stay as it was. So whatever differed is looked at
   * again, until it does not.
   */
  #lookAgain(names: ReadonlySet<string> | null): void {
    const timer = this.#clock.after(FILES_SETTLE_MS, () => {
      this.#settling.delete(timer);
      for (const name of names ?? [null]) this.#mark(name);
    });
    this.#settling.add(timer);
  }
}

/** Tells a watcher what differs from what it was told before. */
class Difference {
  readonly #kinds: ReadonlySet<Kind>;
  readonly #watcher: SourceWatcher;
  readonly #slices = new DerivedSlices();
  #told = new Map<string, MeshObject>();
  #problems: readonly Problem[] = [];
  #synced = false;

  constructor(kinds: ReadonlySet<Kind>, watcher: SourceWatcher) {
    this.#kinds = kinds;
    this.#watcher = watcher;
  }

  tell(state: FolderState): void {
    const next = new Map<string, MeshObject>();
    const slices = this.#kinds.has("EndpointSlice") ? this.#slices.of(state.objects) : [];
    // A slice that somebody wrote by hand wins over one of the same name that we would make.
    for (const object of [...slices, ...state.objects]) {
      if (this.#kinds.has(object.kind)) next.set(refKey(refOf(object)), object);
    }
    const gone: ObjectRef[] = [];
    for (const [key, object] of this.#told) if (!next.has(key)) gone.push(refOf(object));
    const former = this.#told;
    this.#told = next;
    if (!equalValues(this.#problems, state.problems)) {
      this.#problems = state.problems;
      this.#watcher.problems(state.problems);
    }
    for (const [key, object] of next) {
      if (former.get(key) !== object) this.#watcher.applied(object);
    }
    for (const ref of gone) this.#watcher.deleted(ref);
    if (this.#synced) return;
    this.#synced = true;
    this.#watcher.synced();
  }
}
