/** Namespaces and their annotations, from a cluster. */

import { KUBE_OBJECT_BYTES_MAX } from "../base/limits.ts";
import type { Clock } from "../host/clock.ts";
import { getJson } from "../host/http-json.ts";
import type { KubeAccess } from "../source/kube/access.ts";
import type { InjectNamespace } from "./inject.ts";
import { checkMetadata, isObject } from "./object.ts";

/** Gives a namespace with its annotations. Rejects when nobody can say. */
export type FindNamespace = (name: string) => Promise<InjectNamespace>;

/** The API server waits 10 s for a webhook; of those the question may take a part. */
const BOUNDS = { idleMs: 3_000, bytesMax: KUBE_OBJECT_BYTES_MAX };

/** A rollout of many pods asks once, and a changed annotation counts within seconds. */
const KEPT_MS = 2_000;

/** Asks a cluster's API server. */
export function clusterNamespaces(access: KubeAccess, clock: Clock): FindNamespace {
  const kept = new Map<string, { readonly answer: Promise<InjectNamespace>; untilMs: number }>();
  return (name) => {
    const nowMs = clock.nowMs();
    const known = kept.get(name);
    if (known !== undefined && known.untilMs > nowMs) return known.answer;
    for (const [other, { untilMs }] of kept) if (untilMs <= nowMs) kept.delete(other);
    const answer = ask(access, name);
    kept.set(name, { answer, untilMs: nowMs + KEPT_MS });
    // The next pod asks again instead of failing for the same reason.
    answer.catch(() => kept.delete(name));
    return answer;
  };
}

async function ask(access: KubeAccess, name: string): Promise<InjectNamespace> {
  const target = await access.target(`/api/v1/namespaces/${encodeURIComponent(name)}`);
  const object = await getJson(target, BOUNDS);
  const metadata = isObject(object) ? object["metadata"] : undefined;
  checkMetadata(metadata, "metadata");
  return { name, annotations: metadata?.annotations ?? {} };
}
