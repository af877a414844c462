/**
 * Golden figures by resource. Workloads, pods and namespaces are seen from their own proxies (inbound);
 * a service is seen from its clients' proxies (outbound), because only they know the name they called.
 * What those clients got in the end, retries included, is a workload's too where a service leads to it
 * alone.
 */

import { type ClusterView, type PodFacts, podsOf } from "./cluster.ts";
import type { History, PodHistory } from "./history.ts";
import type { ResourceKind } from "./resource.ts";
import { POD_GONE_MS, spanOf, type Traffic, TrafficSum } from "./traffic.ts";

/** What is asked. */
export interface StatQuery {
  readonly kind: ResourceKind;
  /** Absent: all namespaces. */
  readonly namespace?: string;
  /** Absent: all of the kind. */
  readonly name?: string;
  readonly windowMs: number;
}

/** One row of the answer. */
export interface StatRow extends Traffic {
  readonly kind: ResourceKind;
  /** Empty for a namespace itself. */
  readonly namespace: string;
  readonly name: string;
  /** Running pods with a proxy, and all running pods. */
  readonly meshedPods: number;
  readonly runningPods: number;
}

/** A row before its figures are known. */
interface Group {
  readonly namespace: string;
  readonly name: string;
  readonly pods: PodFacts[];
  readonly selects: boolean;
  readonly sum: TrafficSum;
}

/** Answers a question from memory; the rows are sorted by namespace and name. */
export function stat(
  view: ClusterView,
  history: History,
  query: StatQuery,
  nowMs: number,
): readonly StatRow[] {
  const groups = groupsOf(view, query);
  const routed = servedBy(view, query.kind);
  for (const pod of history.pods()) {
    addRoutes(groups, routed, pod, query.windowMs, nowMs);
    if (query.kind === "service") addOutbound(groups, pod, query.windowMs, nowMs);
    else addInbound(groups, query.kind, pod, query.windowMs, nowMs);
  }
  // A service that selects no pods is of interest only when somebody calls or names it.
  const shown = [...groups.values()].filter(({ selects, sum }) =>
    selects || query.name !== undefined || sum.isActive()
  );
  return shown.map(({ namespace, name, pods, sum }) => {
    const running = pods.filter((pod) => pod.running);
    return {
      kind: query.kind,
      namespace,
      name,
      meshedPods: running.filter((pod) => pod.meshed).length,
      runningPods: running.length,
      ...sum.result(),
    };
  });
}

function groupsOf(view: ClusterView, query: StatQuery): Map<string, Group> {
  const groups = new Map<string, Group>();
  const add = (namespace: string, name: string, pods: readonly PodFacts[], selects = true) => {
    const home = query.kind === "namespace" ? name : namespace;
    if (query.namespace !== undefined && query.namespace !== home) return;
    if (query.name !== undefined && query.name !== name) return;
    const key = `${namespace}/${name}`;
    const group = groups.get(key);
    if (group === undefined) {
      groups.set(key, { namespace, name, pods: [...pods], selects, sum: new TrafficSum() });
    } else group.pods.push(...pods);
  };
  if (query.kind === "service") {
    const services = [...view.services()];
    services.sort((a, b) => `${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1);
    for (const service of services) {
      const selects = Object.keys(service.selector).length > 0;
      add(service.namespace, service.name, podsOf(service, view.pods()), selects);
    }
  } else {
    for (const pod of view.pods()) {
      const owner = ownerIn(pod, query.kind);
      if (owner !== undefined) add(owner.namespace, owner.name, [pod]);
    }
  }
  return groups;
}

/** The resource of a kind that a pod belongs to. */
function ownerIn(
  pod: PodFacts,
  kind: ResourceKind,
): { readonly namespace: string; readonly name: string } | undefined {
  if (kind === "pod") return { namespace: pod.namespace, name: pod.name };
  if (kind === "namespace") return { namespace: "", name: pod.namespace };
  return pod.workload.kind === kind ? pod.workload : undefined;
}

function addInbound(
  groups: ReadonlyMap<string, Group>,
  kind: ResourceKind,
  history: PodHistory,
  windowMs: number,
  nowMs: number,
): void {
  const owner = ownerIn(history.pod, kind);
  const group = owner && groups.get(`${owner.namespace}/${owner.name}`);
  if (group === undefined) return;
  const span = spanOf(history, windowMs, nowMs);
  const isGone = nowMs - history.lastMs >= POD_GONE_MS;
  for (const series of history.series.values()) {
    const { direction, probe } = series.labels;
    if (direction === "inbound" && !probe) group.sum.add(series, span, isGone);
  }
}

function addOutbound(
  groups: ReadonlyMap<string, Group>,
  history: PodHistory,
  windowMs: number,
  nowMs: number,
): void {
  const span = spanOf(history, windowMs, nowMs);
  const isGone = nowMs - history.lastMs >= POD_GONE_MS;
  for (const series of history.series.values()) {
    const { direction, target } = series.labels;
    if (direction !== "outbound" || target.service === "") continue;
    groups.get(`${target.namespace}/${target.service}`)?.sum.add(series, span, isGone);
  }
}

/** Which row the routes of a service count for, by `namespace/service`. */
function servedBy(view: ClusterView, kind: ResourceKind): ReadonlyMap<string, string> {
  const rows = new Map<string, string>();
  for (const service of view.services()) {
    const key = `${service.namespace}/${service.name}`;
    if (kind === "service") {
      rows.set(key, key);
      continue;
    }
    const owners = new Set(
      podsOf(service, view.pods()).map((pod) => {
        const owner = ownerIn(pod, kind);
        return owner === undefined ? "" : `${owner.namespace}/${owner.name}`;
      }),
    );
    const [only] = owners;
    if (owners.size === 1 && only !== undefined && only !== "") rows.set(key, only);
  }
  return rows;
}

function addRoutes(
  groups: ReadonlyMap<string, Group>,
  routed: ReadonlyMap<string, string>,
  history: PodHistory,
  windowMs: number,
  nowMs: number,
): void {
  const span = spanOf(history, windowMs, nowMs);
  for (const series of history.series.values()) {
    const { direction, target } = series.labels;
    if (direction !== "route") continue;
    const row = routed.get(`${target.namespace}/${target.service}`);
    if (row !== undefined) groups.get(row)?.sum.add(series, span, false);
  }
}
