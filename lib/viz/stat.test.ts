/** Figures, edges and the graph of a small mesh, computed from what proxies would export. */

import { beforeEach, describe, expect, test } from "bun:test";
import {
  httpLines,
  identityOf,
  podObject,
  serviceObject,
  VizWorld,
} from "../../test/support/viz-world.ts";
import { edges } from "./edges.ts";
import { graph } from "./graph.ts";
import { HISTORY_MS } from "./history.ts";
import { stat, type StatQuery } from "./stat.ts";

const INBOUND = `direction="inbound",peer="src",tls="true",client_id="${identityOf("web")}"`;
const TO_API_1 = 'direction="outbound",peer="dst",tls="true",' +
  `server_id="${identityOf("api")}",dst_deployment="api",dst_namespace="shop",dst_pod="api-1",` +
  'dst_service="api"';
const PROBE = 'direction="inbound",peer="src",tls="no_identity",' +
  'no_tls_reason="no_tls_from_remote",route_name="probe"';

let world: VizWorld;

beforeEach(() => {
  world = new VizWorld();
  world.addPod({ name: "web-1", ip: "10.0.0.1", deployment: "web" });
  world.addPod({ name: "api-1", ip: "10.0.0.2", deployment: "api" });
  world.addPod({ name: "api-2", ip: "10.0.0.3", deployment: "api", meshed: false });
  world.view.applied(serviceObject("api", "api", "10.1.0.1"));
});

function row(query: Partial<StatQuery> & Pick<StatQuery, "kind">, name: string) {
  return stat(world.view, world.history, { windowMs: 60_000, ...query }, world.nowMs)
    .find((found) => found.name === name);
}

/** Ten seconds in which api-1 answers 90 requests well and 10 badly. */
function tenSeconds(): void {
  world.scrape("api-1", httpLines(INBOUND, 1_000, 0, 10) + httpLines(PROBE, 7, 0, 1));
  world.scrape("web-1", httpLines(TO_API_1, 1_000, 0, 10));
  world.nowMs += 10_000;
  const tcp = `tcp_open_connections{${INBOUND}} 3\ntcp_read_bytes_total{${INBOUND}} 5000\n`;
  world.scrape("api-1", httpLines(INBOUND, 1_090, 10, 10) + httpLines(PROBE, 17, 0, 1) + tcp);
  world.scrape("web-1", httpLines(TO_API_1, 1_090, 10, 100));
}

describe("figures", () => {
  test("a deployment is seen from its own proxies, without what came before and without probes", () => {
    tenSeconds();
    const found = row({ kind: "deployment" }, "api");
    expect(found?.successRate).toBeCloseTo(0.9, 9);
    expect(found?.rps).toBeCloseTo(10, 9);
    expect(found?.p50Ms).toBeCloseTo(5.5, 9);
    expect(found?.tcpConnections).toBe(3);
    expect(found?.readBytesPerSecond).toBeCloseTo(500, 9);
    expect([found?.meshedPods, found?.runningPods]).toEqual([1, 2]);
  });

  test("what a proxy counted before its first scrape counts if it had just started", () => {
    const started = (agoMs: number) =>
      `process_start_time_seconds ${(world.nowMs - agoMs) / 1_000}\n`;
    world.scrape("web-1", httpLines(TO_API_1, 6, 0, 10) + started(2_000));
    world.scrape("api-1", httpLines(INBOUND, 6, 0, 10) + started(60_000));
    expect(row({ kind: "service" }, "api")?.rps).toBeCloseTo(3, 9);
    expect(row({ kind: "deployment" }, "api")?.rps).toBeFalsy();
  });

  test("a service is seen from its clients", () => {
    tenSeconds();
    const found = row({ kind: "service" }, "api");
    expect(found?.rps).toBeCloseTo(10, 9);
    expect(found?.p50Ms).toBeCloseTo(55, 9);
    expect([found?.meshedPods, found?.runningPods]).toEqual([1, 2]);
  });

  test("what callers saw is told apart from what the attempts did", () => {
    const parent = 'parent_kind="Service",parent_namespace="shop",parent_name="api"';
    const http = `outbound_http_route_request_statuses_total{${parent}`;
    const grpc = `outbound_grpc_route_request_statuses_total{${parent}`;
    const scrape = (ok: number, failFast: number, unavailable: number) =>
      world.scrape(
        "web-1",
        `${http},http_status="200",error=""} ${ok}\n` +
          `${http},http_status="",error="FAIL_FAST"} ${failFast}\n` +
          `${grpc},grpc_status="0",error=""} ${ok}\n` +
          `${grpc},grpc_status="14",error=""} ${unavailable}\n` +
          'outbound_http_route_request_statuses_total{parent_kind="EgressNetwork",' +
          `parent_name="api",parent_namespace="shop",http_status="500",error=""} ${ok}\n`,
      );
    scrape(10, 0, 0);
    world.nowMs += 10_000;
    scrape(55, 3, 2);
    for (const kind of ["service", "deployment", "namespace"] as const) {
      const found = row({ kind }, kind === "namespace" ? "shop" : "api");
      expect([kind, found?.effectiveSuccessRate]).toEqual([kind, 90 / 95]);
      expect(found?.effectiveRps).toBeCloseTo(9.5, 9);
      expect(found?.successRate).toBeNull();
    }
    expect(row({ kind: "deployment" }, "web")?.effectiveRps).toBeNull();
    expect(edges(world.view, world.history, { kind: "workload", windowMs: 60_000 }, world.nowMs))
      .toEqual([]);
  });

  test("a service without a selector is shown when it is called or named", () => {
    const bare = serviceObject("bare", "x", "10.1.0.2");
    world.view.applied({ ...bare, spec: { ...bare.spec, selector: {} } });
    expect(row({ kind: "service" }, "bare")).toBeUndefined();
    expect(row({ kind: "service", name: "bare" }, "bare")?.runningPods).toBe(0);
    const call = TO_API_1.replace('dst_service="api"', 'dst_service="bare"');
    world.scrape("web-1", `tcp_open_connections{${call}} 1\n`);
    expect(row({ kind: "service" }, "bare")?.tcpConnections).toBe(1);
  });

  test("pods and namespaces; names and namespaces narrow", () => {
    tenSeconds();
    expect(row({ kind: "pod" }, "api-1")?.rps).toBeCloseTo(10, 9);
    expect(row({ kind: "pod" }, "api-2")?.rps).toBeNull();
    expect(row({ kind: "namespace" }, "shop")?.rps).toBeCloseTo(10, 9);
    expect(row({ kind: "deployment", name: "web" }, "api")).toBeUndefined();
    expect(row({ kind: "deployment", namespace: "other" }, "api")).toBeUndefined();
    expect(row({ kind: "namespace", namespace: "shop" }, "shop")).toBeDefined();
  });

  test("without traffic there is no success rate, and a window forgets", () => {
    tenSeconds();
    world.nowMs += 1_000;
    world.scrape("api-1", httpLines(INBOUND, 1_090, 10, 10));
    const found = row({ kind: "deployment", windowMs: 1_000 }, "api");
    expect(found?.rps).toBe(0);
    expect(found?.successRate).toBeNull();
    expect(found?.p99Ms).toBeNull();
    expect(found?.tcpConnections).toBe(0);
  });

  test("what a proxy is asked itself is no traffic of its application", () => {
    world.scrape("api-1", "");
    world.nowMs += 1_000;
    const scrapes =
      'direction="inbound",peer="src",target_addr="0.0.0.0:4191",target_port="4191",' +
      'tls="no_identity",no_tls_reason="no_tls_from_remote",srv_port="4191",route_name="default"';
    world.scrape("api-1", httpLines(scrapes, 5, 5, 1) + `tcp_open_connections{${scrapes}} 2\n`);
    expect(row({ kind: "deployment" }, "api")).toMatchObject({ rps: null, tcpConnections: 0 });
    expect(edges(world.view, world.history, { kind: "workload", windowMs: 60_000 }, world.nowMs))
      .toEqual([]);
  });

  test("a pod that went away still counts for its deployment, its connections do not", () => {
    tenSeconds();
    world.view.deleted({ kind: "Pod", namespace: "shop", name: "api-1" });
    world.nowMs += 10_000;
    const found = row({ kind: "deployment" }, "api");
    expect(found?.rps).toBeCloseTo(5, 9);
    expect(found?.tcpConnections).toBe(0);
    world.history.sweep(world.nowMs + HISTORY_MS);
    expect(row({ kind: "deployment" }, "api")?.rps).toBeNull();
  });

  test("a proxy that restarts within its pod loses nothing", () => {
    tenSeconds();
    world.nowMs += 10_000;
    world.scrape("api-1", httpLines(INBOUND, 50, 0, 10));
    expect(row({ kind: "deployment" }, "api")?.rps).toBeCloseTo(150 / 20, 9);
  });

  test("owners: jobs, bare pods, replica sets that the source knows or not", () => {
    const job = podObject({ name: "once", ip: "10.0.0.9" });
    const owners = [{ kind: "Job", name: "import", controller: true }];
    world.view.applied({ ...job, metadata: { ...job.metadata, ownerReferences: owners } });
    world.addPod({ name: "alone", ip: "10.0.0.10" });
    world.addPod({ name: "ended", ip: "10.0.0.11", phase: "Succeeded" });
    expect(row({ kind: "job" }, "import")?.runningPods).toBe(1);
    expect(world.view.podByName("shop", "alone")?.workload.kind).toBe("pod");
    expect(row({ kind: "pod" }, "ended")).toBeUndefined();
  });
});

describe("edges", () => {
  function found(kind: "workload" | "pod" | "service" = "workload") {
    return edges(world.view, world.history, { kind, windowMs: 60_000 }, world.nowMs);
  }

  test("both sides' identities are joined", () => {
    tenSeconds();
    expect(found()).toHaveLength(1);
    expect(found()[0]).toMatchObject({
      source: { kind: "deployment", namespace: "shop", name: "web" },
      target: { kind: "deployment", namespace: "shop", name: "api" },
      clientId: identityOf("web"),
      serverId: identityOf("api"),
      secured: true,
      reason: "",
    });
    expect(found("pod")[0]).toMatchObject({
      source: { kind: "pod", name: "web-1" },
      target: { kind: "pod", name: "api-1" },
    });
    expect(found("service")[0]?.target).toMatchObject({ kind: "service", name: "api" });
  });

  test("a callee without a proxy is an edge with the reason, found by its address", () => {
    world.scrape("web-1", "");
    world.nowMs += 1_000;
    const plain = 'direction="outbound",peer="dst",target_addr="10.0.0.3:80",tls="no_identity",' +
      'no_tls_reason="not_provided_by_service_discovery"';
    const outside = 'direction="outbound",peer="dst",target_addr="192.0.2.1:443",tls="disabled"';
    world.scrape("web-1", httpLines(plain, 5, 0, 1) + `tcp_open_total{${outside}} 1\n`);
    const [external, api] = found();
    expect(external?.target).toEqual({ kind: "external", namespace: "", name: "192.0.2.1:443" });
    expect(external?.reason).toBe("disabled");
    expect(api?.target.name).toBe("api");
    expect([api?.secured, api?.reason]).toEqual([false, "not_provided_by_service_discovery"]);
  });

  test("a caller without a proxy is an edge of the callee; its probes are none", () => {
    world.scrape("api-1", "");
    world.nowMs += 1_000;
    const plain = 'direction="inbound",tls="no_identity",no_tls_reason="no_tls_from_remote"';
    world.scrape("api-1", httpLines(plain, 5, 0, 1) + httpLines(PROBE, 5, 0, 1));
    expect(found()).toHaveLength(1);
    expect(found()[0]).toMatchObject({
      source: { kind: "unmeshed" },
      secured: false,
      reason: "no_tls_from_remote",
    });
    expect(found()[0]?.rps).toBeCloseTo(5, 9);
  });

  test("a proven caller that is not scraped is found by its service account", () => {
    world.scrape("api-1", "");
    world.nowMs += 1_000;
    const stranger = `direction="inbound",tls="true",client_id="${identityOf("batch")}"`;
    world.scrape("api-1", httpLines(INBOUND, 5, 0, 1) + httpLines(stranger, 5, 0, 1));
    expect(found().map(({ source }) => source)).toEqual([
      { kind: "serviceaccount", namespace: "shop", name: "batch" },
      { kind: "deployment", namespace: "shop", name: "web" },
    ]);
  });

  test("the account of all who name none is nobody's, also where one workload alone is left", () => {
    world.addPod({ name: "lone", ip: "10.0.0.9" });
    world.scrape("api-1", "");
    world.nowMs += 1_000;
    const caller = `direction="inbound",tls="true",client_id="${identityOf("default")}"`;
    world.scrape("api-1", httpLines(caller, 5, 0, 1));
    expect(found().map(({ source }) => source)).toEqual([
      { kind: "serviceaccount", namespace: "shop", name: "default" },
    ]);
  });

  test("opaque TCP is an edge while a connection is open", () => {
    world.scrape("web-1", `tcp_open_connections{${TO_API_1}} 2\n`);
    expect(found()[0]).toMatchObject({ tcpConnections: 2, rps: null });
    world.nowMs += 1_000;
    world.scrape("web-1", "");
    expect(found()).toEqual([]);
  });
});

describe("the graph", () => {
  test("has every workload, its services and one line per pair", () => {
    tenSeconds();
    world.nowMs += 1_000;
    const plain = TO_API_1.replace('tls="true"', 'tls="no_identity",no_tls_reason="port_skipped"')
      .replace(/server_id="[^"]*",/, "");
    world.scrape("web-1", httpLines(TO_API_1, 1_090, 10, 100) + httpLines(plain, 10, 0, 10));
    const picture = graph(world.view, world.history, 60_000, world.nowMs);
    expect(picture.nodes.map(({ name, services }) => [name, services])).toEqual([
      ["api", ["api"]],
      ["web", []],
    ]);
    expect(picture.edges).toHaveLength(1);
    const [line] = picture.edges;
    // One insecure request makes the pair insecure, whatever the rest is.
    expect(line).toMatchObject({
      secured: false,
      reason: "port_skipped",
      serverId: identityOf("api"),
    });
    expect(line?.rps).toBeCloseTo(10, 9);
    expect(line?.successRate).toBeCloseTo(100 / 110, 9);
  });

  test("shows far ends that are no workload", () => {
    world.scrape("web-1", "");
    world.nowMs += 1_000;
    const outside = 'direction="outbound",authority="db.example:80",target_addr="192.0.2.1:80"';
    world.scrape("web-1", httpLines(outside, 8, 2, 10));
    const picture = graph(world.view, world.history, 60_000, world.nowMs);
    const node = picture.nodes.find(({ kind }) => kind === "external");
    expect(node?.name).toBe("db.example:80");
    expect(node?.successRate).toBeCloseTo(0.8, 9);
  });
});
