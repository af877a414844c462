/**
 * Who talks to whom, as whom, and whether it is secured. The caller's proxy knows the callee (labels
 * `dst_*`, `server_id`); the callee's proxy knows the caller's proven identity (`client_id`). The two
 * are joined by the caller's service account. What reaches a callee without any known caller is an
 * edge too: that is the traffic which is not secured.
 */

import type { ClusterView, PodFacts, Workload } from "./cluster.ts";
import type { History, PodHistory } from "./history.ts";
import type { Target } from "./series.ts";
import { POD_GONE_MS, spanOf, type Traffic, TrafficSum } from "./traffic.ts";

/** By what the ends of edges are named. */
export type EdgeKind = "workload" | "pod" | "service";

/**
 * An end: a workload, pod or service; `external` for an address outside of what is known, `unmeshed`
 * for callers without a proxy, whom nobody can name.
 */
export interface EdgeEnd {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** One edge and its traffic. */
export interface Edge extends Traffic {
  readonly source: EdgeEnd;
  readonly target: EdgeEnd;
  /** Proven identities; empty where there is none. */
  readonly clientId: string;
  readonly serverId: string;
  readonly secured: boolean;
  /** Why it is not secured, in the words of the contract; empty when it is. */
  readonly reason: string;
}

/** An edge while it is added up. */
interface Draft {
  readonly source: EdgeEnd;
  readonly target: EdgeEnd;
  readonly serverId: string;
  readonly clientId: string;
  readonly secured: boolean;
  readonly reason: string;
  readonly sum: TrafficSum;
}

/** All edges with traffic in the window, sorted by source and target. */
export function edges(
  view: ClusterView,
  history: History,
  query: { readonly kind: EdgeKind; readonly windowMs: number },
  nowMs: number,
): readonly Edge[] {
  const clients = clientsSeen(history, query, nowMs);
  const drafts = new Map<string, Draft>();
  const explained = new Set<string>();
  for (const pod of history.pods()) {
    addOutbound(drafts, explained, view, clients, pod, query, nowMs);
  }
  for (const pod of history.pods()) addInbound(drafts, explained, view, pod, query, nowMs);
  return [...drafts.values()].filter(({ sum }) => sum.isActive())
    .map(({ sum, ...edge }) => ({ ...edge, ...sum.result() }))
    .sort((a, b) => orderOf(a) < orderOf(b) ? -1 : 1);
}

/** Names an end in one word, for maps. */
export function endKey({ kind, namespace, name }: EdgeEnd): string {
  return `${kind}/${namespace}/${name}`;
}

function orderOf({ source, target, reason }: Edge): string {
  return [source.namespace, source.name, target.namespace, target.name, reason].join("\u0000");
}

/** The client identities that each workload's proxies have seen. */
function clientsSeen(
  history: History,
  { windowMs }: { readonly windowMs: number },
  nowMs: number,
): ReadonlyMap<string, ReadonlySet<string>> {
  const seen = new Map<string, Set<string>>();
  for (const pod of history.pods()) {
    const { fromMs } = spanOf(pod, windowMs, nowMs);
    const key = endKey(pod.pod.workload);
    const ids = seen.get(key) ?? new Set();
    seen.set(key, ids);
    for (const { labels, track } of pod.series.values()) {
      if (labels.direction !== "inbound" || labels.peerId === "" || ids.has(labels.peerId)) {
        continue;
      }
      const open = labels.measure === "tcp_connections" && track.latest() > 0;
      if (open || track.increaseSince(fromMs) > 0) ids.add(labels.peerId);
    }
  }
  return seen;
}

function addOutbound(
  drafts: Map<string, Draft>,
  explained: Set<string>,
  view: ClusterView,
  clients: ReadonlyMap<string, ReadonlySet<string>>,
  history: PodHistory,
  { kind, windowMs }: { readonly kind: EdgeKind; readonly windowMs: number },
  nowMs: number,
): void {
  const { pod } = history;
  const span = spanOf(history, windowMs, nowMs);
  const isGone = nowMs - history.lastMs >= POD_GONE_MS;
  const source = kind === "pod" ? podEnd(pod) : pod.workload;
  for (const series of history.series.values()) {
    const { direction, target: far, tls, reason, peerId } = series.labels;
    if (direction !== "outbound") continue;
    const workload = workloadOf(view, far);
    const target = kind === "workload" ? workload : finerEnd(kind, far, view, workload);
    const secured = tls === "true";
    const clientId = secured ? clientOf(pod, clients.get(endKey(workload))) : "";
    if (clientId !== "") explained.add(`${clientId} ${endKey(workload)}`);
    const why = secured ? "" : reason || tls || "unknown";
    const id = [endKey(source), endKey(target), peerId, clientId, why].join("\u0000");
    let draft = drafts.get(id);
    if (draft === undefined) {
      const sum = new TrafficSum();
      draft = { source, target, serverId: peerId, clientId, secured, reason: why, sum };
      drafts.set(id, draft);
    }
    draft.sum.add(series, span, isGone);
  }
}

/** Adds what only the callee saw: callers without a proxy, and callers that are not scraped here. */
function addInbound(
  drafts: Map<string, Draft>,
  explained: ReadonlySet<string>,
  view: ClusterView,
  history: PodHistory,
  { kind, windowMs }: { readonly kind: EdgeKind; readonly windowMs: number },
  nowMs: number,
): void {
  // A service's name is known to callers only.
  if (kind === "service") return;
  const { pod } = history;
  const span = spanOf(history, windowMs, nowMs);
  const isGone = nowMs - history.lastMs >= POD_GONE_MS;
  const target = kind === "pod" ? podEnd(pod) : pod.workload;
  for (const series of history.series.values()) {
    const { direction, peerId, tls, reason, probe, measure } = series.labels;
    if (direction !== "inbound" || probe) continue;
    // The platform's probes are plain connections too, so bare TCP without identity says nothing.
    if (measure.startsWith("tcp_") && peerId === "") continue;
    if (peerId !== "" && explained.has(`${peerId} ${endKey(pod.workload)}`)) continue;
    const secured = tls === "true";
    const source = callerOf(view, peerId);
    const why = secured ? "" : reason || tls || "unknown";
    const id = ["inbound", endKey(source), endKey(target), peerId, why].join("\u0000");
    let draft = drafts.get(id);
    if (draft === undefined) {
      const sum = new TrafficSum();
      draft = { source, target, serverId: "", clientId: peerId, secured, reason: why, sum };
      drafts.set(id, draft);
    }
    draft.sum.add(series, span, isGone);
  }
}

/** The workload that a caller's proxy called, as well as it can be known. */
function workloadOf(view: ClusterView, target: Target): EdgeEnd {
  if (target.kind !== "") {
    return { kind: target.kind, namespace: target.namespace, name: target.name };
  }
  const pod = target.pod === ""
    ? view.podByIp(target.ip)
    : view.podByName(target.namespace, target.pod);
  if (pod !== undefined) return pod.workload;
  if (target.pod !== "") return { kind: "pod", namespace: target.namespace, name: target.pod };
  const service = view.services().find(({ clusterIps }) => clusterIps.includes(target.ip));
  if (service !== undefined) {
    return { kind: "service", namespace: service.namespace, name: service.name };
  }
  const address = target.ip === "" ? "" : `${target.ip}:${target.port}`;
  return { kind: "external", namespace: "", name: target.authority || address || "unknown" };
}

function finerEnd(kind: EdgeKind, far: Target, view: ClusterView, workload: EdgeEnd): EdgeEnd {
  if (kind === "service") {
    return far.service === ""
      ? workload
      : { kind: "service", namespace: far.namespace, name: far.service };
  }
  const pod = far.pod === "" ? view.podByIp(far.ip) : undefined;
  if (pod !== undefined) return podEnd(pod);
  return far.pod === "" ? workload : { kind: "pod", namespace: far.namespace, name: far.pod };
}

function podEnd({ namespace, name }: PodFacts): EdgeEnd {
  return { kind: "pod", namespace, name };
}

/** Which of the identities that a callee has seen is this pod's. */
function clientOf(pod: PodFacts, seen: ReadonlySet<string> | undefined): string {
  const prefix = `${pod.serviceAccount}.${pod.namespace}.serviceaccount.identity.`;
  for (const id of seen ?? []) if (id.startsWith(prefix)) return id;
  return "";
}

/**
 * Who calls under an identity: the workload, where just one runs as that service account. The account
 * that pods have when they name none tells nothing: its other users may be gone by now.
 */
function callerOf(view: ClusterView, clientId: string): EdgeEnd {
  if (clientId === "") return { kind: "unmeshed", namespace: "", name: "unmeshed" };
  const [account = "", namespace = ""] = clientId.split(".");
  if (account === "default") return { kind: "serviceaccount", namespace, name: account };
  const workloads = new Map<string, Workload>();
  for (const pod of view.pods()) {
    if (pod.serviceAccount === account && pod.namespace === namespace) {
      workloads.set(endKey(pod.workload), pod.workload);
    }
  }
  const [only] = workloads.values();
  return workloads.size === 1 && only !== undefined
    ? only
    : { kind: "serviceaccount", namespace, name: account };
}
