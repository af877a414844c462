/** A small mesh for tests of the dashboard: pods, services and what their proxies would export. */

import { ClusterView } from "../../lib/viz/cluster.ts";
import { History } from "../../lib/viz/history.ts";
import { parseExposition } from "../../lib/viz/prometheus-text.ts";
import { isWanted } from "../../lib/viz/series.ts";
import type { Pod, Service } from "../../lib/source/objects.ts";
import { container, metadata } from "./objects.ts";

/** A pod as a test names it. */
export interface PodSketch {
  readonly name: string;
  readonly ip: string;
  readonly deployment?: string;
  readonly namespace?: string;
  readonly meshed?: boolean;
  readonly phase?: string;
}

/** A pod object; its service account is named like its deployment. */
export function podObject(sketch: PodSketch): Pod {
  const { name, ip, deployment, namespace = "shop", meshed = true, phase = "Running" } = sketch;
  const owner = { kind: "ReplicaSet", name: `${deployment}-abc`, controller: true };
  return {
    kind: "Pod",
    metadata: metadata(`${namespace}/${name}`, {
      labels: { app: deployment ?? name, "pod-template-hash": "abc" },
      ownerReferences: deployment === undefined ? [] : [owner],
    }),
    spec: {
      containers: [container("app"), ...(meshed ? [container("linkerd-proxy")] : [])],
      initContainers: [],
      volumes: [],
      serviceAccountName: deployment ?? "default",
    },
    status: {
      phase,
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: phase === "Running" ? "True" : "False" }],
    },
  };
}

/** A service in front of the pods with the label `app`. */
export function serviceObject(name: string, app: string, clusterIP: string): Service {
  return {
    kind: "Service",
    metadata: metadata(`shop/${name}`),
    spec: { clusterIP, clusterIPs: [clusterIP], ipFamilies: [], selector: { app }, ports: [] },
  };
}

/** The identity of a service account in the namespace `shop`. */
export function identityOf(account: string): string {
  return `${account}.shop.serviceaccount.identity.malla.cluster.local`;
}

/** Memory of a dashboard that a test fills by hand; time is what the test says. */
export class VizWorld {
  readonly view = new ClusterView();
  readonly history = new History(4191);
  nowMs = 1_000_000;

  addPod(sketch: PodSketch): void {
    this.view.applied(podObject(sketch));
  }

  /** Scrapes a pod at this moment: the text is what its proxy answers. */
  scrape(name: string, text: string): void {
    const pod = this.view.podByName("shop", name);
    if (pod === undefined) throw new TypeError(`the world has no pod ${name}`);
    this.history.ingest(pod, this.nowMs, parseExposition(text, isWanted).samples);
  }
}

/** Lines of `response_total` and a latency histogram in which all answers took the same bucket. */
export function httpLines(labels: string, success: number, failure: number, bound: number): string {
  const total = success + failure;
  const buckets = [1, 10, 100, 1_000].map((le) =>
    `response_latency_ms_bucket{${labels},le="${le}"} ${le >= bound ? total : 0}`
  );
  return [
    `response_total{${labels},classification="success",status_code="200"} ${success}`,
    `response_total{${labels},classification="failure",status_code="500"} ${failure}`,
    ...buckets,
    `response_latency_ms_bucket{${labels},le="+Inf"} ${total}`,
    "",
  ].join("\n");
}
