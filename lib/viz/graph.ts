/**
 * The graph of the live page: every workload with its figures, and one edge for each pair that talks.
 * Where a pair has traffic of several kinds, the edge is secured only when all of it is.
 */

import { type ClusterView, podsOf, type Workload } from "./cluster.ts";
import { type Edge, type EdgeEnd, edges, endKey } from "./edges.ts";
import type { History, PodHistory } from "./history.ts";
import { POD_GONE_MS, spanOf, type Traffic, TrafficSum } from "./traffic.ts";

/** Long enough that a rate of one per second is no row of ones and noughts. */
const RECENT_MS = 5_000;

/** A box of the graph. */
export interface GraphNode extends Traffic {
  /** Also the ends of the edges. */
  readonly id: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Names of the services in front of it. */
  readonly services: readonly string[];
  /** Answers per second of the last few seconds, whatever the window; for trends. */
  readonly recentRps: number | null;
  readonly meshedPods: number;
  readonly readyPods: number;
  readonly runningPods: number;
}

/** A line of the graph. */
export interface GraphEdge {
  readonly source: string;
  readonly target: string;
  readonly secured: boolean;
  readonly reason: string;
  readonly clientId: string;
  readonly serverId: string;
  readonly rps: number | null;
  readonly successRate: number | null;
  readonly p95Ms: number | null;
  readonly tcpConnections: number;
  readonly bytesPerSecond: number;
}

/** One picture of the mesh. */
export interface Graph {
  readonly atMs: number;
  readonly windowMs: number;
  readonly nodes: readonly GraphNode[];
  readonly edges: readonly GraphEdge[];
}

/** Draws the graph of a window that ends now. */
export function graph(
  view: ClusterView,
  history: History,
  windowMs: number,
  nowMs: number,
): Graph {
  const nodes = workloadNodes(view, history, windowMs, nowMs);
  const found = edges(view, history, { kind: "workload", windowMs }, nowMs);
  for (const edge of found) {
    for (const end of [edge.source, edge.target]) addBareNode(nodes, end, edge);
  }
  return { atMs: nowMs, windowMs, nodes: [...nodes.values()], edges: mergePairs(found) };
}

function workloadNodes(
  view: ClusterView,
  history: History,
  windowMs: number,
  nowMs: number,
): Map<string, GraphNode> {
  const sums = sumsByWorkload(history, windowMs, nowMs);
  const recent = sumsByWorkload(history, RECENT_MS, nowMs);
  const services = servicesByWorkload(view);
  const nodes = new Map<string, GraphNode>();
  for (const pod of view.pods()) {
    const id = endKey(pod.workload);
    if (nodes.has(id)) continue;
    const pods = view.pods().filter(({ workload }) => endKey(workload) === id);
    const running = pods.filter(({ running }) => running);
    nodes.set(id, {
      id,
      ...pod.workload,
      services: services.get(id) ?? [],
      recentRps: recent.get(id)?.result().rps ?? null,
      meshedPods: running.filter(({ meshed }) => meshed).length,
      readyPods: running.filter(({ ready }) => ready).length,
      runningPods: running.length,
      ...(sums.get(id) ?? new TrafficSum()).result(),
    });
  }
  return nodes;
}

function sumsByWorkload(
  history: History,
  windowMs: number,
  nowMs: number,
): ReadonlyMap<string, TrafficSum> {
  const sums = new Map<string, TrafficSum>();
  for (const pod of history.pods()) {
    const key = endKey(pod.pod.workload);
    const sum = sums.get(key) ?? new TrafficSum();
    sums.set(key, sum);
    addInbound(sum, pod, windowMs, nowMs);
  }
  return sums;
}

function addInbound(sum: TrafficSum, pod: PodHistory, windowMs: number, nowMs: number): void {
  const span = spanOf(pod, windowMs, nowMs);
  const isGone = nowMs - pod.lastMs >= POD_GONE_MS;
  for (const series of pod.series.values()) {
    if (series.labels.direction === "inbound" && !series.labels.probe) {
      sum.add(series, span, isGone);
    }
  }
}

function servicesByWorkload(view: ClusterView): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const service of view.services()) {
    const behind = new Map<string, Workload>();
    for (const { workload } of podsOf(service, view.pods())) behind.set(endKey(workload), workload);
    for (const key of behind.keys()) names.set(key, [...names.get(key) ?? [], service.name].sort());
  }
  return names;
}

/** An end that is no workload of the cluster; its figures are those of the edge that named it. */
function addBareNode(nodes: Map<string, GraphNode>, end: EdgeEnd, edge: Edge): void {
  const id = endKey(end);
  if (nodes.has(id)) return;
  const traffic = end === edge.target ? edge : new TrafficSum().result();
  nodes.set(id, {
    id,
    kind: end.kind,
    namespace: end.namespace,
    name: end.name,
    services: [],
    recentRps: null,
    meshedPods: 0,
    readyPods: 0,
    runningPods: 0,
    successRate: traffic.successRate,
    rps: traffic.rps,
    effectiveSuccessRate: traffic.effectiveSuccessRate,
    effectiveRps: traffic.effectiveRps,
    p50Ms: traffic.p50Ms,
    p95Ms: traffic.p95Ms,
    p99Ms: traffic.p99Ms,
    tcpConnections: traffic.tcpConnections,
    readBytesPerSecond: traffic.readBytesPerSecond,
    writeBytesPerSecond: traffic.writeBytesPerSecond,
  });
}

function mergePairs(found: readonly Edge[]): readonly GraphEdge[] {
  const pairs = new Map<string, GraphEdge>();
  for (const edge of found) {
    const source = endKey(edge.source);
    const target = endKey(edge.target);
    const key = `${source}\u0000${target}`;
    const known = pairs.get(key);
    const bytes = edge.readBytesPerSecond + edge.writeBytesPerSecond;
    pairs.set(key, {
      source,
      target,
      secured: edge.secured && (known?.secured ?? true),
      reason: known?.reason || edge.reason,
      clientId: known?.clientId || edge.clientId,
      serverId: known?.serverId || edge.serverId,
      rps: addNullable(known?.rps, edge.rps),
      successRate: weighted(known, edge),
      p95Ms: maxNullable(known?.p95Ms, edge.p95Ms),
      tcpConnections: (known?.tcpConnections ?? 0) + edge.tcpConnections,
      bytesPerSecond: (known?.bytesPerSecond ?? 0) + bytes,
    });
  }
  return [...pairs.values()];
}

function addNullable(a: number | null | undefined, b: number | null): number | null {
  return a === null || a === undefined ? b : a + (b ?? 0);
}

function maxNullable(a: number | null | undefined, b: number | null): number | null {
  return a === null || a === undefined ? b : Math.max(a, b ?? a);
}

/** The share of successes of both, by how much each of them carried. */
function weighted(known: GraphEdge | undefined, edge: Edge): number | null {
  if (known?.successRate === null || known?.successRate === undefined) return edge.successRate;
  if (edge.successRate === null) return known.successRate;
  const [a, b] = [known.rps ?? 0, edge.rps ?? 0];
  return a + b === 0 ? known.successRate : (known.successRate * a + edge.successRate * b) / (a + b);
}
