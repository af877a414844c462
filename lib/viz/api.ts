/** The metrics API: questions as URLs, answers as JSON. Wrong questions get a 400 that says why. */

import { type Context, Hono } from "hono";
import { PAGE_LISTENERS_MAX } from "../base/limits.ts";
import { duration } from "../config/mod.ts";
import type { Clock } from "../host/clock.ts";
import { isIp } from "../mesh/address.ts";
import type { ClusterView } from "./cluster.ts";
import { type EdgeKind, edges } from "./edges.ts";
import { Feed } from "./feed.ts";
import { graph } from "./graph.ts";
import type { Health } from "./health.ts";
import { type History, HISTORY_MS } from "./history.ts";
import { RESOURCE_WORDS, type ResourceKind, resourceKind, unknownResource } from "./resource.ts";
import { stat } from "./stat.ts";

/** What the API answers from. */
export interface ApiOptions {
  readonly view: ClusterView;
  readonly history: History;
  readonly clock: Clock;
  readonly version: Readonly<Record<string, string>>;
  readonly health: () => Promise<Health>;
  /** Names besides `localhost` and addresses under which browsers may ask. */
  readonly hosts: readonly string[];
}

/** A question that cannot be answered as it was put. */
class BadQuestion extends Error {}

const WINDOW = duration();
const DEFAULT_WINDOW = "1m";
const WINDOW_MS_MIN = 1_000;

/** The kinds that edges can be asked of. */
const EDGE_KINDS: Readonly<Partial<Record<ResourceKind, EdgeKind>>> = {
  deployment: "workload",
  statefulset: "workload",
  daemonset: "workload",
  job: "workload",
  replicaset: "workload",
  pod: "pod",
  service: "service",
};

/** The API as a hono application, which the page's server extends. */
export function createApi(options: ApiOptions): Hono {
  const { view, history, clock } = options;
  const app = new Hono();
  app.use(async (context, next) => {
    const host = context.req.header("host") ?? new URL(context.req.url).host;
    if (!isOwnHost(host, options.hosts)) {
      return context.json(
        { error: `Refused the host "${host}": use localhost or an address` },
        403,
      );
    }
    await next();
    context.header("x-content-type-options", "nosniff");
    context.header("cache-control", "no-store");
  });

  app.get("/api/stat", (context) => {
    const kind = resourceOf(context);
    const namespace = context.req.query("namespace");
    const name = context.req.query("name");
    const windowMs = windowOf(context);
    const query = { kind, windowMs, ...namespace ? { namespace } : {}, ...name ? { name } : {} };
    return context.json({ windowMs, rows: stat(view, history, query, clock.nowMs()) });
  });

  app.get("/api/edges", (context) => {
    const resource = resourceOf(context);
    const kind = edgeKindOf(resource);
    const namespace = context.req.query("namespace");
    const windowMs = windowOf(context);
    const found = edges(view, history, { kind, windowMs }, clock.nowMs()).filter(
      ({ source, target }) =>
        [source, target].some((end) => !namespace || end.namespace === namespace) &&
        [source, target].some((end) => kind !== "workload" || end.kind === resource),
    );
    return context.json({ windowMs, edges: found });
  });

  app.get("/api/graph", (context) => {
    return context.json(graph(view, history, windowOf(context), clock.nowMs()));
  });

  app.get("/api/version", (context) => context.json(options.version));

  app.get("/api/health", async (context) => context.json(await options.health()));

  app.get("/events", eventsOf(options));

  app.get("/live", (context) => context.text("live\n"));
  app.get("/ready", (context) => {
    return view.isSynced() ? context.text("ready\n") : context.text("not ready\n", 503);
  });

  app.notFound((context) =>
    context.json({ error: `There is nothing at ${context.req.path}` }, 404)
  );
  app.onError((error, context) => {
    if (error instanceof BadQuestion) return context.json({ error: error.message }, 400);
    throw error;
  });
  return app;
}

/**
 * A page of another site can point its own name at this server (DNS rebinding) and read what it
 * answers, but it cannot make the browser send another Host than that name.
 */
export function isOwnHost(header: string, hosts: readonly string[]): boolean {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d+)?$/.exec(header);
  const host = (match?.[1] ?? match?.[2] ?? "").toLowerCase();
  return host === "localhost" || isIp(host) || hosts.includes(host);
}

/** The event stream: listeners of one window share a feed. */
function eventsOf({ view, history, clock }: ApiOptions): (context: Context) => Response {
  const feeds = new Map<number, Feed>();
  return (context) => {
    const windowMs = windowOf(context);
    for (const [key, feed] of feeds) if (feed.size() === 0) feeds.delete(key);
    const listeners = [...feeds.values()].reduce((sum, feed) => sum + feed.size(), 0);
    if (listeners >= PAGE_LISTENERS_MAX) {
      return context.json({ error: "Too many pages are open" }, 503);
    }
    const feed = feeds.get(windowMs) ??
      new Feed(clock, () => JSON.stringify(graph(view, history, windowMs, clock.nowMs())));
    feeds.set(windowMs, feed);
    context.header("content-type", "text/event-stream");
    return context.body(feed.listen());
  };
}

function resourceOf(context: Context): ResourceKind {
  const word = context.req.query("resource") ?? "";
  const kind = resourceKind(word);
  if (kind !== undefined) return kind;
  throw new BadQuestion(unknownResource(word, RESOURCE_WORDS));
}

function edgeKindOf(kind: ResourceKind): EdgeKind {
  const edgeKind = EDGE_KINDS[kind];
  if (edgeKind !== undefined) return edgeKind;
  throw new BadQuestion(`Edges have no resource "${kind}": expected one of deploy, pod, svc`);
}

function windowOf(context: Context): number {
  const text = context.req.query("window") ?? DEFAULT_WINDOW;
  const parsed = WINDOW.parse(text);
  if (parsed.ok && parsed.value >= WINDOW_MS_MIN && parsed.value <= HISTORY_MS) return parsed.value;
  throw new BadQuestion(
    `Cannot use the window "${text}": expected a duration from 1s to ${HISTORY_MS / 60_000}m`,
  );
}
