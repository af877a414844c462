/**
 * What is wrong with annotations of Services and with ServiceProfiles, and was therefore left out. A line in
 * the log tells of each once, when it comes and when it changes; for events it is here as long as it is so.
 */

import { type MeshObject, type ObjectRef, refKey, refOf } from "../source/objects.ts";
import { API_VERSIONS } from "../source/shapes.ts";
import type { EventObject } from "../source/kube/events.ts";
import { serviceReliability } from "./reliability.ts";
import { profileConfiguration } from "./service-profile.ts";

/** One object's. */
export interface ObjectProblems {
  readonly object: EventObject;
  /** Each in a sentence. */
  readonly problems: readonly string[];
}

/** Of one controller. */
export class ConfigurationProblems {
  readonly #tell: (object: string, problem: string) => void;
  readonly #byObject = new Map<string, ObjectProblems>();

  /** `tell` gets the object as `Service shop/web`, and a sentence. */
  constructor(tell: (object: string, problem: string) => void) {
    this.#tell = tell;
  }

  /** All that is wrong now. */
  all(): readonly ObjectProblems[] {
    return [...this.#byObject.values()];
  }

  /** An object is now so. */
  applied(object: MeshObject): void {
    const problems = problemsOf(object);
    if (problems === undefined) return;
    const { kind, metadata: { namespace, name, uid } } = object;
    const key = refKey(refOf(object));
    const before = this.#byObject.get(key)?.problems ?? [];
    for (const problem of problems) {
      if (!before.includes(problem)) this.#tell(`${kind} ${namespace}/${name}`, problem);
    }
    if (problems.length === 0) {
      this.#byObject.delete(key);
      return;
    }
    const about = { apiVersion: API_VERSIONS[kind], kind, namespace, name };
    this.#byObject.set(key, {
      object: { ...about, ...uid === undefined ? {} : { uid } },
      problems,
    });
  }

  /** An object is gone. */
  deleted(ref: ObjectRef): void {
    this.#byObject.delete(refKey(ref));
  }
}

/** Undefined for a kind of which nothing is left out. */
function problemsOf(object: MeshObject): readonly string[] | undefined {
  switch (object.kind) {
    case "Service":
      return serviceReliability(object.metadata.annotations).problems;
    case "ServiceProfile":
      return profileConfiguration(object).problems;
    default:
      return undefined;
  }
}
