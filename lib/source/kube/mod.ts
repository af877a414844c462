/** A cluster as a source: one list and watch for each kind that is asked for. */

import type { Clock } from "../../host/clock.ts";
import type { Problem, Source, SourceWatch, SourceWatcher } from "../mod.ts";
import type { Kind } from "../objects.ts";
import type { KubeAccess } from "./access.ts";
import { Reflector } from "./reflector.ts";

export { clusterAccess, inClusterAccess, type KubeAccess, kubeconfigAccess } from "./access.ts";

/** Makes a source of a cluster. `random` spreads the retries of many replicas. */
export function kubeSource(access: KubeAccess, clock: Clock, random: () => number): Source {
  return {
    name: `kube:${access.server}`,
    watch: (kinds, watcher) =>
      Promise.resolve(new KubeWatch(kinds, watcher, { access, clock, random })),
  };
}

class KubeWatch implements SourceWatch {
  readonly #reflectors: readonly Reflector[];
  readonly #watcher: SourceWatcher;
  readonly #unlisted: Set<Kind>;
  readonly #problems = new Map<string, Problem>();
  #stopped = false;

  constructor(
    kinds: ReadonlySet<Kind>,
    watcher: SourceWatcher,
    options: { access: KubeAccess; clock: Clock; random: () => number },
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

  #reflector(
    kind: Kind,
    options: { access: KubeAccess; clock: Clock; random: () => number },
  ): Reflector {
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
