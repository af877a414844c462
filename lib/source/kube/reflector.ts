/**
 * Keeps a watcher up to date with one kind of object of a cluster. It holds no objects, only their
 * names: those are needed to tell what is gone after a gap.
 *
 *     listing ──all pages──▶ watching ──end of stream──▶ watching, from the last version seen
 *        ▲                      └──version too old (410)──▶ listing
 *        └──back-off──  any failure; watching goes on from where it was. It is short while nobody
 *                       answers, and longer the more often we are refused
 */

import { Backoff } from "../../base/backoff.ts";
import { describeError, Fault } from "../../base/fault.ts";
import {
  KUBE_BACKOFF_MAX_MS,
  KUBE_HEAD_MS,
  KUBE_LIST_BYTES_MAX,
  KUBE_LIST_PAGE,
  KUBE_OBJECT_BYTES_MAX,
  KUBE_UNREACHABLE_BACKOFF_MAX_MS,
} from "../../base/limits.ts";
import { type Clock, sleep } from "../../host/clock.ts";
import { getJson, getLines, HttpRefusal } from "../../host/http-json.ts";
import { type Kind, type MeshObject, type ObjectRef, refKey, refOf } from "../objects.ts";
import { describeIssue, formatPath, isRecord, readShape } from "../shape.ts";
import { shapeOf, versionsOf } from "../shapes.ts";
import type { KubeAccess } from "./access.ts";
import { unknownVersions } from "./unserved.ts";

/** What a reflector tells. */
export interface ReflectorEvents {
  applied(object: MeshObject): void;
  deleted(ref: ObjectRef): void;
  /** The first list is complete. Called once. */
  listed(): void;
  /** Why the cluster cannot be followed now; undefined when it is again. */
  trouble(message: string | undefined): void;
  /** An object that is not as its kind should be; undefined when it is, or is gone. */
  odd(ref: string, message: string | undefined): void;
}

/** What a reflector works with. */
export interface ReflectorOptions {
  readonly kind: Kind;
  readonly access: KubeAccess;
  readonly clock: Clock;
  readonly random: () => number;
  /** How long a watch lasts at most. */
  readonly watchSeconds: number;
  readonly events: ReflectorEvents;
}

/** The plural that stands in an API path. */
const PLURALS: Readonly<Record<Kind, string>> = {
  Namespace: "namespaces",
  ServiceAccount: "serviceaccounts",
  ConfigMap: "configmaps",
  Secret: "secrets",
  Pod: "pods",
  Service: "services",
  EndpointSlice: "endpointslices",
  Deployment: "deployments",
  ReplicaSet: "replicasets",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets",
  Job: "jobs",
  Server: "servers",
  ServiceProfile: "serviceprofiles",
};

/** Kinds of custom resources: a cluster that does not know them has no such objects. */
const OPTIONAL: ReadonlySet<Kind> = new Set<Kind>(["Server", "ServiceProfile"]);
/** How often a cluster that does not know a kind is asked again. */
const UNKNOWN_MS = 10_000;

const GONE = 410;
const NOT_FOUND = 404;
const BACKOFF_MIN_MS = 250;
/** Watches end by a share of their length apart, or all of a replica's kinds would be asked for at once. */
const WATCH_JITTER = 1 / 3;
/** A dead connection is noticed when neither an event nor the end that we asked for has come by this share. */
const WATCH_GRACE = 1.2;
/** A watch that ends before this share of its length was refused in a way of its server's own. */
const WATCH_SHORT = 1 / 4;
const LIST_IDLE_MS = 30_000;

/** Lists and watches one kind until it is stopped. */
export class Reflector {
  readonly #options: ReflectorOptions;
  /** The collection in each version of its API; of those that the cluster has the first is used. */
  readonly #paths: readonly string[];
  #path = "";
  readonly #stop = new AbortController();
  readonly #backoff: Backoff;
  readonly #unreachable: Backoff;
  #known = new Map<string, ObjectRef>();
  /** Where the next watch begins; undefined: list first. */
  #version: string | undefined;
  #listed = false;

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#backoff = new Backoff(
      { minMs: BACKOFF_MIN_MS, maxMs: KUBE_BACKOFF_MAX_MS, jitter: 0.5 },
      options.random,
    );
    this.#unreachable = new Backoff(
      { minMs: BACKOFF_MIN_MS, maxMs: KUBE_UNREACHABLE_BACKOFF_MAX_MS, jitter: 0.5 },
      options.random,
    );
    this.#paths = versionsOf(options.kind).map((api) =>
      `${api.includes("/") ? "/apis" : "/api"}/${api}/${PLURALS[options.kind]}`
    );
  }

  /** Ends it; nothing more is told. */
  stop(): void {
    this.#stop.abort();
  }

  /** Runs until `stop`; never rejects for what a cluster or a network does. */
  async run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        if (this.#version === undefined) await this.#listKnown();
        if (this.#version === undefined) await sleep(this.#options.clock, UNKNOWN_MS);
        else await this.#watch();
      } catch (thrown) {
        if (!(thrown instanceof Fault)) throw thrown;
        if (this.#stop.signal.aborted) return;
        if (statusOf(thrown) === GONE || (this.#isOptional && statusOf(thrown) === NOT_FOUND)) {
          this.#version = undefined;
          continue;
        }
        this.#options.events.trouble(
          `Cannot follow ${PLURALS[this.#options.kind]}: ${describeError(thrown)}`,
        );
        await sleep(this.#options.clock, this.#pauseAfter(thrown));
      }
    }
  }

  /** A server that comes back refuses for a moment; what was waited before it counts for nothing. */
  #pauseAfter(fault: Fault): number {
    const isUnreachable = fault.code === "unavailable" && !(fault instanceof HttpRefusal);
    const [backoff, other] = isUnreachable
      ? [this.#unreachable, this.#backoff]
      : [this.#backoff, this.#unreachable];
    other.reset();
    return backoff.next();
  }

  get #isOptional(): boolean {
    return OPTIONAL.has(this.#options.kind);
  }

  /** Lists in the first version that the cluster knows; when it knows none there are no objects. */
  async #listKnown(): Promise<void> {
    for (const path of this.#paths) if (await this.#listIn(path)) return;
    for (const path of await this.#otherPaths()) if (await this.#listIn(path)) return;
    this.#replace(new Map(), undefined);
  }

  /** Whether the cluster knows this path; a kind that is not optional is known. */
  async #listIn(path: string): Promise<boolean> {
    this.#path = path;
    try {
      await this.#list();
      return true;
    } catch (thrown) {
      if (!this.#isOptional || statusOf(thrown) !== NOT_FOUND) throw thrown;
      return false;
    }
  }

  /** The collection in versions that nobody here has heard of: what is read of it may still be there. */
  async #otherPaths(): Promise<readonly string[]> {
    const { kind, access } = this.#options;
    const apis = versionsOf(kind).map((api) => api.split("/"));
    const group = apis[0]?.[0] ?? "";
    const known = apis.map(([, version = ""]) => version);
    try {
      const target = await access.target(`/apis/${group}`);
      const answer = await getJson(target, {
        idleMs: LIST_IDLE_MS,
        bytesMax: KUBE_OBJECT_BYTES_MAX,
        signal: this.#stop.signal,
      });
      return unknownVersions(answer, known)
        .map((version) => `/apis/${group}/${version}/${PLURALS[kind]}`);
    } catch (thrown) {
      if (statusOf(thrown) === NOT_FOUND) return [];
      throw thrown;
    }
  }

  async #list(): Promise<void> {
    const found = new Map<string, ObjectRef>();
    let version: string | undefined;
    let next = "";
    do {
      const query = `?limit=${KUBE_LIST_PAGE}${next && `&continue=${encodeURIComponent(next)}`}`;
      const target = await this.#options.access.target(this.#path + query);
      const page = await getJson(target, {
        idleMs: LIST_IDLE_MS,
        bytesMax: KUBE_LIST_BYTES_MAX,
        signal: this.#stop.signal,
      });
      if (this.#stop.signal.aborted) return;
      const { items, metadata } = listParts(page, target.url);
      // Told page by page: a second copy of a large cluster is never held.
      for (const item of items) {
        const ref = this.#take(item);
        if (ref !== undefined) found.set(refKey(ref), ref);
      }
      version = textOf(metadata["resourceVersion"]);
      next = textOf(metadata["continue"]) ?? "";
    } while (next !== "");
    this.#replace(found, version);
  }

  /** These objects are all that there are now. */
  #replace(found: Map<string, ObjectRef>, version: string | undefined): void {
    const gone = [...this.#known.values()].filter((ref) => !found.has(refKey(ref)));
    this.#known = found;
    for (const ref of gone) this.#gone(ref);
    this.#version = version;
    this.#healthy();
    if (this.#listed) return;
    this.#listed = true;
    this.#options.events.listed();
  }

  async #watch(): Promise<void> {
    const { watchSeconds, clock, random } = this.#options;
    const seconds = Math.ceil(watchSeconds * (1 - WATCH_JITTER * random()));
    const query = `?watch=true&allowWatchBookmarks=true&timeoutSeconds=${seconds}` +
      `&resourceVersion=${encodeURIComponent(this.#version ?? "")}`;
    const target = await this.#options.access.target(this.#path + query);
    const beganAtMs = clock.monotonicMs();
    let events = 0;
    await getLines(
      target,
      {
        headMs: KUBE_HEAD_MS,
        idleMs: seconds * WATCH_GRACE * 1_000,
        bytesMax: KUBE_OBJECT_BYTES_MAX,
        // It is asked for twice a minute, and nothing is followed for as long as nobody answers.
        isAlone: true,
        signal: this.#stop.signal,
        opened: () => this.#reached(),
      },
      (line) => {
        if (this.#stop.signal.aborted) return;
        this.#event(parseEvent(line, target.url));
        events++;
        this.#healthy();
      },
    );
    // A server that ends each watch at once must not be asked without pause.
    const isShort = clock.monotonicMs() - beganAtMs < seconds * WATCH_SHORT * 1_000;
    if (events === 0 && isShort && !this.#stop.signal.aborted) {
      await sleep(clock, this.#backoff.next());
    }
  }

  #event({ type, object }: { readonly type: unknown; readonly object: unknown }): void {
    if (type === "ERROR") {
      const { code, message } = isRecord(object) ? object : {};
      throw new HttpRefusal(
        typeof code === "number" ? code : 0,
        `the watch was ended: ${textOf(message) ?? "no reason given"}`,
      );
    }
    if (type === "ADDED" || type === "MODIFIED") {
      const ref = this.#take(object);
      if (ref !== undefined) this.#known.set(refKey(ref), ref);
    } else if (type === "DELETED") {
      const ref = this.#refOf(object);
      if (ref !== undefined && this.#known.delete(refKey(ref))) this.#gone(ref);
    }
    const version = textOf(metadataOf(object)["resourceVersion"]);
    if (version !== undefined) this.#version = version;
  }

  /** Tells an object, if it is as it should be; its name, if it has one. */
  #take(item: unknown): ObjectRef | undefined {
    const { kind, events } = this.#options;
    const ref = this.#refOf(item);
    if (ref === undefined) return undefined;
    // The items of a list do not repeat their kind.
    const reading = readShape(shapeOf(kind), isRecord(item) ? { ...item, kind } : item);
    if (reading.ok) {
      events.applied(reading.value);
      events.odd(refKey(ref), undefined);
      return refOf(reading.value);
    }
    // What it was before stays in force, if it was something.
    const [issue] = reading.issues;
    const what = issue === undefined ? "" : `${formatPath(issue.path)}: ${describeIssue(issue)}`;
    events.odd(refKey(ref), `${kind} "${ref.namespace}/${ref.name}": ${what}`);
    return ref;
  }

  #gone(ref: ObjectRef): void {
    this.#options.events.odd(refKey(ref), undefined);
    this.#options.events.deleted(ref);
  }

  #refOf(item: unknown): ObjectRef | undefined {
    const { name, namespace } = metadataOf(item);
    if (typeof name !== "string") return undefined;
    return { kind: this.#options.kind, namespace: textOf(namespace) ?? "", name };
  }

  #healthy(): void {
    this.#backoff.reset();
    this.#reached();
  }

  /** The cluster answers, though perhaps nothing has happened in it for long. */
  #reached(): void {
    this.#unreachable.reset();
    if (!this.#stop.signal.aborted) this.#options.events.trouble(undefined);
  }
}

function statusOf(thrown: unknown): number | undefined {
  return thrown instanceof HttpRefusal ? thrown.status : undefined;
}

function parseEvent(line: string, url: string): { type: unknown; object: unknown } {
  try {
    const event: unknown = JSON.parse(line);
    if (isRecord(event)) return { type: event["type"], object: event["object"] };
  } catch {
    // Named below, with everything else that is no event.
  }
  throw new Fault("unavailable", `Cannot read an event of ${url}: ${line.slice(0, 100)}`);
}

function listParts(page: unknown, url: string) {
  const items = isRecord(page) ? page["items"] ?? [] : undefined;
  if (!Array.isArray(items)) {
    throw new Fault("unavailable", `Cannot read the answer of ${url}: expected a list of objects`);
  }
  return { items: items as readonly unknown[], metadata: metadataOf(page) };
}

function metadataOf(object: unknown): Readonly<Record<string, unknown>> {
  const metadata = isRecord(object) ? object["metadata"] : undefined;
  return isRecord(metadata) ? metadata : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
