/** Namespaces and their annotations, from the cluster that this process runs in. */

import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import { readText } from "../host/files.ts";
import { getJson } from "../host/https-json.ts";
import type { InjectNamespace } from "./inject.ts";
import { checkMetadata, isObject } from "./object.ts";

/** Gives a namespace with its annotations. Rejects when nobody can say. */
export type FindNamespace = (name: string) => Promise<InjectNamespace>;

const FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount";

/** The API server waits 10 s for a webhook; of those the question may take a part. */
const TIMEOUT_MS = 3_000;

/** A rollout of many pods asks once, and a changed annotation counts within seconds. */
const KEPT_MS = 2_000;

/**
 * Asks the API server, as this process's own service account. Throws `failed_precondition` outside of
 * a cluster.
 */
export function clusterNamespaces(
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
  folder: string = FOLDER,
): FindNamespace {
  const host = env["KUBERNETES_SERVICE_HOST"];
  const port = env["KUBERNETES_SERVICE_PORT"] ?? "443";
  if (!host) {
    throw new Fault(
      "failed_precondition",
      "Cannot read namespaces: KUBERNETES_SERVICE_HOST is not set, expected to run in a cluster " +
        "(or --source files:DIR)",
    );
  }
  const base = `https://${host.includes(":") ? `[${host}]` : host}:${port}/api/v1/namespaces`;
  const kept = new Map<string, { readonly answer: Promise<InjectNamespace>; untilMs: number }>();
  return (name) => {
    const nowMs = clock.nowMs();
    const known = kept.get(name);
    if (known !== undefined && known.untilMs > nowMs) return known.answer;
    for (const [other, { untilMs }] of kept) if (untilMs <= nowMs) kept.delete(other);
    const answer = ask(`${base}/${encodeURIComponent(name)}`, name, folder);
    kept.set(name, { answer, untilMs: nowMs + KEPT_MS });
    // The next pod asks again instead of failing for the same reason.
    answer.catch(() => kept.delete(name));
    return answer;
  };
}

async function ask(url: string, name: string, folder: string): Promise<InjectNamespace> {
  // Both files are rotated by the kubelet, so they are read each time.
  const bearer = (await readText(`${folder}/token`)).trim();
  const ca = await readText(`${folder}/ca.crt`);
  const object = await getJson({ url, bearer, ca, timeoutMs: TIMEOUT_MS });
  const metadata = isObject(object) ? object["metadata"] : undefined;
  checkMetadata(metadata, "metadata");
  return { name, annotations: metadata?.annotations ?? {} };
}
