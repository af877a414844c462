/**
 * Where mesh objects come from. A source lists and watches objects of some kinds and tells a watcher
 * what is there. It is level-triggered: after a gap a source lists again and tells the difference, so
 * a watcher that keeps the last object per name has the truth and needs no event in particular.
 */

import type { Kind, MeshObject, ObjectRef } from "./objects.ts";

/** Takes what a source finds. Nobody changes the objects that pass through here. */
export interface SourceWatcher {
  /** The object exists and is as given; it may have been given before, changed or not. */
  applied(object: MeshObject): void;
  deleted(ref: ObjectRef): void;
  /** Everything that existed at the start has been told. Called once. */
  synced(): void;
  /** All that is wrong with the source now; called whenever that changes, with `[]` when mended. */
  problems(problems: readonly Problem[]): void;
}

/** Something that an operator should mend. Objects that are not affected keep flowing. */
export interface Problem {
  readonly severity: "error" | "note";
  /** A full sentence that begins with the place, such as `web.yaml:12: …`. */
  readonly message: string;
}

/** A place that mesh objects come from. */
export interface Source {
  /** For log lines: `files:/etc/malla`, `kube`. */
  readonly name: string;
  /** Begins to list and watch; rejects only when it can never work (a folder that does not exist). */
  watch(kinds: ReadonlySet<Kind>, watcher: SourceWatcher): Promise<SourceWatch>;
}

/** A running list and watch. */
export interface SourceWatch {
  /** Ends it; the watcher hears nothing more, also not from what is under way. */
  stop(): void;
}
