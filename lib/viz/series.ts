/**
 * From a proxy's samples to the few series that the dashboard keeps: the metrics of the contract that
 * it shows, with the labels that it joins by; samples that differ in other labels only (status codes,
 * authorizations) are added up before they are kept.
 */

import { isFailure } from "../mesh/failure.ts";
import type { Sample } from "./prometheus-text.ts";
import type { TrackKind } from "./track.ts";

/** What is kept, by meaning. */
export type Measure =
  | "success"
  | "failure"
  /** How requests ended for whoever asked, whatever the attempts behind them did. */
  | "effective_success"
  | "effective_failure"
  | "latency"
  | "tcp_open"
  | "tcp_connections"
  | "tcp_read"
  | "tcp_write";

/** Kinds of workload in the order in which `dst_*` labels are believed. */
export const WORKLOAD_KINDS = [
  "deployment",
  "statefulset",
  "daemonset",
  "job",
  "replicaset",
  "replicationcontroller",
] as const;

/** The far end as the outbound side of a proxy names it; empty where it did not. */
export interface Target {
  /** `deployment`, `statefulset` …, or empty. */
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly pod: string;
  readonly service: string;
  readonly ip: string;
  readonly port: string;
  readonly authority: string;
}

/** What tells one kept series from another. */
export interface SeriesLabels {
  readonly measure: Measure;
  /** `route`: what clients of a route got, in which no attempt is seen. */
  readonly direction: "inbound" | "outbound" | "route";
  /** `true` when the connection was mutual TLS of the mesh. */
  readonly tls: string;
  /** Why it was not. */
  readonly reason: string;
  /** The identity of the other side: the server's seen from outbound, the client's from inbound. */
  readonly peerId: string;
  /** A check by the platform or a question to the proxy itself: no traffic of the application. */
  readonly probe: boolean;
  readonly target: Target;
  /** The bucket's upper bound in milliseconds; 0 for what is no histogram. */
  readonly bound: number;
}

/** One reading of a kept series. */
export interface Reading {
  readonly key: string;
  readonly labels: SeriesLabels;
  readonly kind: TrackKind;
  value: number;
}

const NO_TARGET: Target = {
  kind: "",
  name: "",
  namespace: "",
  pod: "",
  service: "",
  ip: "",
  port: "",
  authority: "",
};

const MEASURES: Readonly<Record<string, Measure>> = {
  response_total: "success",
  response_latency_ms_bucket: "latency",
  tcp_open_total: "tcp_open",
  tcp_open_connections: "tcp_connections",
  tcp_read_bytes_total: "tcp_read",
  tcp_write_bytes_total: "tcp_write",
};

/** How the requests of routes ended, by the name of the status that they count. */
const ROUTES: Readonly<Record<string, string>> = {
  outbound_http_route_request_statuses_total: "http_status",
  outbound_grpc_route_request_statuses_total: "grpc_status",
};

const START = "process_start_time_seconds";

/** Whether a metric's name is one that the dashboard reads. */
export function isWanted(name: string): boolean {
  return name in MEASURES || name in ROUTES || name === START;
}

/** When the proxy started, in milliseconds since the epoch; NaN where it does not say. */
export function startOf(samples: readonly Sample[]): number {
  return (samples.find(({ name }) => name === START)?.value ?? NaN) * 1_000;
}

/**
 * The readings of one scrape, each series once. `adminPort` is the proxy's own: linkerd2-proxy counts
 * what comes in there (our scrapes, readiness checks) among the application's traffic.
 */
export function fold(samples: readonly Sample[], adminPort: number): Map<string, Reading> {
  const ownPort = String(adminPort);
  const readings = new Map<string, Reading>();
  for (const sample of samples) {
    const labels = project(sample, ownPort);
    if (labels === undefined || Number.isNaN(sample.value)) continue;
    const key = keyOf(labels);
    const known = readings.get(key);
    if (known !== undefined) known.value += sample.value;
    else {
      const kind = labels.measure === "tcp_connections" ? "gauge" : "counter";
      readings.set(key, { key, labels, kind, value: sample.value });
    }
  }
  return readings;
}

function project(sample: Sample, ownPort: string): SeriesLabels | undefined {
  const { name, labels } = sample;
  if (name in ROUTES) return projectRoute(sample);
  const measure = name === "response_total" && labels["classification"] !== "success"
    ? "failure"
    : MEASURES[name];
  const direction = labels["direction"];
  if (measure === undefined || (direction !== "inbound" && direction !== "outbound")) return;
  const inbound = direction === "inbound";
  // A proxy counts both of its sides: only the one towards the peer tells who talks to whom.
  if (measure.startsWith("tcp_") && labels["peer"] !== (inbound ? "src" : "dst")) return;
  const bound = measure === "latency" ? bucketBound(labels["le"]) : 0;
  if (bound === undefined) return;
  return {
    measure,
    direction,
    tls: labels["tls"] ?? "",
    reason: labels["no_tls_reason"] ?? "",
    peerId: labels[inbound ? "client_id" : "server_id"] ?? "",
    probe: labels["route_name"] === "probe" || labels["authz_name"] === "probe" ||
      (inbound && (labels["target_port"] === ownPort || labels["srv_port"] === ownPort)),
    target: inbound ? NO_TARGET : targetOf(labels),
    bound,
  };
}

/** Of routes only those count that belong to a Service: others have no row. */
function projectRoute({ name, labels }: Sample): SeriesLabels | undefined {
  if (labels["parent_kind"] !== "Service") return;
  const isGrpc = name.includes("grpc");
  const status = Number(labels[ROUTES[name] ?? ""] ?? "");
  const failed = (labels["error"] ?? "") !== "" ||
    (isGrpc ? isFailure(0, status) : isFailure(status, -1));
  const service = labels["parent_name"] ?? "";
  return {
    measure: failed ? "effective_failure" : "effective_success",
    direction: "route",
    tls: "",
    reason: "",
    peerId: "",
    probe: false,
    target: { ...NO_TARGET, service, namespace: labels["parent_namespace"] ?? "" },
    bound: 0,
  };
}

function targetOf(labels: Readonly<Record<string, string>>): Target {
  const kind = WORKLOAD_KINDS.find((candidate) => labels[`dst_${candidate}`]) ?? "";
  const pod = labels["dst_pod"] ?? "";
  // Addresses of known pods add nothing and come and go; without a pod they are all that there is.
  const [ip, port] = pod === "" ? addressOf(labels) : ["", ""];
  return {
    kind,
    name: kind === "" ? "" : labels[`dst_${kind}`] ?? "",
    namespace: labels["dst_namespace"] ?? "",
    pod,
    service: labels["dst_service"] ?? "",
    ip,
    port,
    authority: pod === "" ? labels["authority"] ?? "" : "",
  };
}

function addressOf(labels: Readonly<Record<string, string>>): [ip: string, port: string] {
  const match = /^\[?([0-9a-fA-F.:]+?)\]?:(\d+)$/.exec(labels["target_addr"] ?? "");
  return [labels["target_ip"] ?? match?.[1] ?? "", labels["target_port"] ?? match?.[2] ?? ""];
}

function bucketBound(text: string | undefined): number | undefined {
  if (text === "+Inf") return Infinity;
  const bound = Number(text);
  return text === undefined || Number.isNaN(bound) ? undefined : bound;
}

function keyOf({ measure, direction, tls, reason, peerId, probe, target, bound }: SeriesLabels) {
  const { kind, name, namespace, pod, service, ip, port, authority } = target;
  return [
    ...[measure, direction, tls, reason, peerId, probe, bound],
    ...[kind, name, namespace, pod, service, ip, port, authority],
  ].join("\u0000");
}
