/** `deploy`, `deploy/web`, `deploy web`: what the verbs take as a resource. */

import { Fault } from "../base/fault.ts";
import {
  RESOURCE_WORDS,
  type ResourceKind,
  resourceKind,
  unknownResource,
} from "../viz/resource.ts";

/** Reads the words for a resource. Throws `invalid_argument` with what is possible. */
export function knownResource(
  text: string,
  name: string | undefined,
  possible: readonly string[] = RESOURCE_WORDS,
): { readonly kind: ResourceKind; readonly name?: string } {
  const [word = "", inline, ...more] = text.split("/");
  const kind = resourceKind(word);
  const isPossible = possible.some((candidate) => resourceKind(candidate) === kind);
  if (kind === undefined || !isPossible) {
    throw new Fault("invalid_argument", unknownResource(word, possible));
  }
  if (more.length > 0 || inline === "" || (inline !== undefined && name !== undefined)) {
    throw new Fault(
      "invalid_argument",
      `Cannot read "${text}": expected ${word}/NAME or ${word} NAME`,
    );
  }
  const wanted = inline ?? name;
  return wanted === undefined ? { kind } : { kind, name: wanted };
}
