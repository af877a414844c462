/**
 * Whether a pod is to be injected: who is asked, whose word counts, and what stands in the way although
 * somebody asked.
 */

import { Fault } from "../base/fault.ts";
import { INIT_CONTAINER, PROXY_CONTAINER } from "./containers.ts";
import { foreignMesh } from "./foreign.ts";
import type { InjectNamespace } from "./inject.ts";
import type { Pod } from "./object.ts";
import type { InjectOptions } from "./options.ts";
import { allContainers, podName } from "./pod.ts";

/** What came of it. */
export interface Decision {
  /** The proxy routes by the request's authority. */
  readonly ingress: boolean;
  /** Pod or namespace asked for a proxy. */
  readonly asked: boolean;
  /** Why there will be none. */
  readonly skipped?: string;
}

/** The annotation that asks for a proxy. */
export const INJECT_ANNOTATION = "malla.dev/inject";

/** The contract's annotation for the same. */
export const LINKERD_INJECT_ANNOTATION = "linkerd.io/inject";

const WORDS: ReadonlySet<string> = new Set(["enabled", "disabled", "ingress"]);

/** Whose words count. */
export type DecidingOptions = Pick<InjectOptions, "obeyLinkerd" | "injectByDefault">;

/** Decides on one pod; its own word counts more than its namespace's. Throws for any other word. */
export function decide(
  pod: Pod,
  namespace: InjectNamespace,
  options: DecidingOptions,
): Decision {
  const word = decidingWord(pod, namespace, options);
  if (word?.value === "disabled") {
    const skipped = `${word.key} is "disabled" on the ${word.place}`;
    return { ingress: false, asked: false, skipped };
  }
  const asked = word !== undefined;
  const ingress = word?.value === "ingress";
  if (!asked && !options.injectByDefault) {
    const skipped = `neither pod nor namespace has ${INJECT_ANNOTATION}: enabled`;
    return { ingress, asked, skipped };
  }
  const obstacle = obstacleOf(pod, namespace);
  return { ingress, asked, ...(obstacle === undefined ? {} : { skipped: obstacle }) };
}

interface Word {
  readonly key: string;
  readonly value: string;
  readonly place: string;
}

function decidingWord(
  pod: Pod,
  namespace: InjectNamespace,
  { obeyLinkerd }: DecidingOptions,
): Word | undefined {
  const keys = [INJECT_ANNOTATION, ...(obeyLinkerd ? [LINKERD_INJECT_ANNOTATION] : [])];
  const places = [
    { annotations: pod.metadata?.annotations ?? {}, place: `pod ${podName(pod)}` },
    { annotations: namespace.annotations, place: `namespace ${namespace.name}` },
  ];
  for (const { annotations, place } of places) {
    for (const key of keys) {
      const value = annotations[key];
      if (value === undefined) continue;
      if (WORDS.has(value)) return { key, value, place };
      throw new Fault(
        "invalid_argument",
        `Cannot use annotation ${key} of ${place}: ` +
          `expected one of ${[...WORDS].join(", ")}, got "${value}"`,
      );
    }
  }
  return undefined;
}

function obstacleOf(pod: Pod, namespace: InjectNamespace): string | undefined {
  if (pod.spec.hostNetwork === true) return "hostNetwork is on: there is no pod network";
  const names = allContainers(pod).map(({ name }) => name);
  const own = names.find((name) => name === PROXY_CONTAINER || name === INIT_CONTAINER);
  if (own !== undefined) return `it already has a container ${own}`;
  return foreignMesh(pod, namespace);
}
