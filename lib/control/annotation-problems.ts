/** Tells once of each annotation of a Service that was left out, when it comes and when it changes. */

import type { MeshObject, ObjectRef } from "../source/objects.ts";
import { serviceReliability } from "./reliability.ts";

/** Of one controller. */
export class AnnotationProblems {
  readonly #tell: (service: string, problem: string) => void;
  /** What was told of each Service. */
  readonly #told = new Map<string, readonly string[]>();

  /** `tell` gets the Service as `namespace/name`, and a sentence. */
  constructor(tell: (service: string, problem: string) => void) {
    this.#tell = tell;
  }

  /** An object is now so. */
  applied(object: MeshObject): void {
    if (object.kind !== "Service") return;
    const { namespace, name, annotations } = object.metadata;
    const service = `${namespace}/${name}`;
    const before = this.#told.get(service) ?? [];
    const { problems } = serviceReliability(annotations);
    for (const problem of problems) if (!before.includes(problem)) this.#tell(service, problem);
    if (problems.length > 0) this.#told.set(service, problems);
    else this.#told.delete(service);
  }

  /** An object is gone. */
  deleted(ref: ObjectRef): void {
    if (ref.kind === "Service") this.#told.delete(`${ref.namespace}/${ref.name}`);
  }
}
