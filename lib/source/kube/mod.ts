/** A cluster as a source: one list and watch for each kind that is asked for. */

import { KUBE_WATCH_SECONDS } from "../../base/limits.ts";
import type { Clock } from "../../host/clock.ts";
import type { Problem, Source, SourceWatch, SourceWatcher } from "../mod.ts";
import type { Kind } from "../objects.ts";
import type { KubeAccess } from "./access.ts";
import { Reflector, type ReflectorOptions } from "./reflector.ts";

export { clusterAccess, inClusterAccess, type KubeAccess, kubeconfigAccess } from "./access.ts";

/**
 * Makes a source of a cluster. `random` spreads what many replicas ask; after `watchSeconds` without a word a
 * connection counts as cut.
 */
export function kubeSource(
  access: KubeAccess,
  clock: Clock,
  random: () => number,
  watchSeconds: number = KUBE_WATCH_SECONDS,
): Source {
  const options = { access, clock, random, watchSeconds };
  return {
    name: `kube:${access.server}`,
    watch: (kinds, watcher) => Promise.resolve(new KubeWatch(kinds, watcher, options)),
  };
}

type WatchOptions = Omit<ReflectorOptions, "kind" | "events">;

class KubeWatch implements SourceWatch {
  readonly #reflectors: readonly Reflector[];
  readonly #watcher: SourceWatcher;
  readonly #unlisted: Set<Kind>;
  readonly #problems = new Map<string, Problem>();
  #stopped = false;

  constructor(
    kinds: ReadonlySet<Kind>,
    watcher: SourceWatcher,
    options: WatchOptions,
  ) {
    this.#watcher = watcher;
    this.#unlisted = new Set(kinds);
    this.#reflectors = [...kinds].map((kind) => this.#reflector(kind, options));
    for (const reflector of this.#reflectors) void reflector.run();
  }

  stop(): void {
    this.#stopped = true;
    for (const reflector of this.#reflectors) reflector.stop();
  }

  #reflector(kind: Kind, options: WatchOptions): Reflector {
    return new Reflector({
      ...options,
      kind,
      events: {
        applied: (object) => this.#watcher.applied(object),
        deleted: (ref) => this.#watcher.deleted(ref),
        listed: () => this.#listed(kind),
        trouble: (message) => this.#problem(kind, message),
        odd: (ref, message) => this.#problem(ref, message),
      },
    });
  }

  #listed(kind: Kind): void {
    this.#unlisted.delete(kind);
    if (this.#unlisted.size === 0) this.#watcher.synced();
  }

  #problem(key: string, message: string | undefined): void {
    if (this.#stopped || this.#problems.get(key)?.message === message) return;
    if (message === undefined) this.#problems.delete(key);
    else this.#problems.set(key, { severity: "error", message });
    this.#watcher.problems([...this.#problems.values()]);
  }
}
