/**
 * What injection must know of the cluster around a pod: its namespace, whether another mesh's injector
 * is there, and which policies select pods that we cannot serve. Asked, not watched, and kept for a
 * moment: a namespace that is milliseconds old counts with its first pod.
 */

import type { Clock } from "../host/clock.ts";
import type { KubeClient, KubeObject } from "../source/kube/client.ts";
import { listServed, SERVER_KIND } from "../source/kube/unserved.ts";
import type { LabelSelector } from "../source/objects.ts";
import type { InjectNamespace, UnservedPolicy } from "./inject.ts";
import { checkMetadata, isObject } from "./object.ts";

/** The cluster around a pod. */
export interface Surroundings {
  readonly namespace: InjectNamespace;
  /** The contract's own words count, and not only Malla's. */
  readonly obeyLinkerd: boolean;
}

/** Gives a namespace's surroundings. Rejects when nobody can say. */
export type FindSurroundings = (namespace: string) => Promise<Surroundings>;

/** How to look around. */
export interface SurroundingsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  /** The contract's words count although Linkerd's own injector is there. */
  readonly takeOverLinkerd: boolean;
  /** Policies that we do not serve are not looked at. */
  readonly acceptUnserved: boolean;
}

/** The webhook configuration of Linkerd's own injector. */
export const LINKERD_WEBHOOK = "linkerd-proxy-injector-webhook-config";

const WEBHOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";

/** A rollout of many pods asks once, and a changed annotation counts within seconds. */
const KEPT_MS = 2_000;

/** How long a cluster that knows no kind `Server` is not asked for one again. */
const VERSION_KEPT_MS = 10_000;

/** Asks a cluster's API server. */
export function clusterSurroundings(options: SurroundingsOptions): FindSurroundings {
  const { client, clock, takeOverLinkerd, acceptUnserved } = options;
  const namespaces = new Memory(clock, KEPT_MS, (name) => askNamespace(client, name));
  const linkerd = new Memory(clock, KEPT_MS, async (name) => {
    return await client.get(`${WEBHOOKS}/${name}`) !== undefined;
  });
  const versions = new Memory(clock, VERSION_KEPT_MS, async (name) => {
    return (await listServed(client, SERVER_KIND, name))?.version;
  });
  const servers = new Memory(clock, KEPT_MS, async (name) => {
    const version = await versions.get(name);
    return version === undefined ? [] : await askServers(client, version, name);
  });
  return async (name) => {
    const questions = [
      namespaces.get(name),
      takeOverLinkerd ? false : linkerd.get(LINKERD_WEBHOOK),
      acceptUnserved ? [] : servers.get(name),
    ] as const;
    // None is left under way: whoever looks again after a failure must not be given what fails with it.
    await Promise.allSettled(questions);
    const [namespace, isBeside, unserved] = await Promise.all(questions);
    return { namespace: { ...namespace, unserved }, obeyLinkerd: !isBeside };
  };
}

/** Answers that are kept for some time; a question that failed is asked anew. */
class Memory<T> {
  readonly #clock: Clock;
  readonly #keptMs: number;
  readonly #ask: (name: string) => Promise<T>;
  readonly #kept = new Map<string, { readonly answer: Promise<T>; readonly untilMs: number }>();

  constructor(clock: Clock, keptMs: number, ask: (name: string) => Promise<T>) {
    this.#clock = clock;
    this.#keptMs = keptMs;
    this.#ask = ask;
  }

  get(name: string): Promise<T> {
    const nowMs = this.#clock.monotonicMs();
    for (const [key, { untilMs }] of this.#kept) if (untilMs <= nowMs) this.#kept.delete(key);
    const known = this.#kept.get(name);
    if (known !== undefined) return known.answer;
    const answer = this.#ask(name);
    this.#kept.set(name, { answer, untilMs: nowMs + this.#keptMs });
    answer.catch(() => this.#kept.delete(name));
    return answer;
  }
}

async function askNamespace(client: KubeClient, name: string): Promise<InjectNamespace> {
  const object = await client.get(`/api/v1/namespaces/${encodeURIComponent(name)}`);
  const metadata: unknown = object?.metadata;
  checkMetadata(metadata, "metadata");
  const { annotations = {}, labels } = metadata ?? {};
  return { name, annotations, ...labels === undefined ? {} : { labels } };
}

async function askServers(
  client: KubeClient,
  version: string,
  namespace: string,
): Promise<readonly UnservedPolicy[]> {
  const kind = { ...SERVER_KIND, versions: [version] };
  const { objects = [] } = await listServed(client, kind, namespace) ?? {};
  return objects.flatMap((object) => {
    const pods = podSelector(object);
    return pods === undefined ? [] : [{ title: `Server "${object.metadata.name}"`, pods }];
  });
}

/** Undefined for a server of workloads outside of the cluster. */
function podSelector({ spec }: KubeObject): LabelSelector | undefined {
  const selector = isObject(spec) ? spec["podSelector"] : undefined;
  if (!isObject(selector)) return undefined;
  const { matchLabels, matchExpressions } = selector;
  return {
    matchLabels: isObject(matchLabels)
      ? Object.fromEntries(Object.entries(matchLabels).map(([key, text]) => [key, String(text)]))
      : {},
    matchExpressions: (Array.isArray(matchExpressions) ? matchExpressions : []).filter(isObject)
      .map(({ key, operator, values }) => ({
        key: String(key),
        operator: String(operator),
        values: Array.isArray(values) ? values.map(String) : [],
      })),
  };
}
