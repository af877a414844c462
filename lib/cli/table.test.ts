/** Tables, figures and the demo's screen as people see them, to the letter. */

import { describe, expect, test } from "bun:test";
import type { Edge } from "../viz/edges.ts";
import type { Graph, GraphEdge, GraphNode } from "../viz/graph.ts";
import type { StatRow } from "../viz/stat.ts";
import type { ResourceKind } from "../viz/resource.ts";
import type { Traffic } from "../viz/traffic.ts";
import { demoLine, demoScreen } from "./demo-screen.ts";
import { edgeTable } from "./edges.ts";
import { formatBytes, formatMs, formatRate, formatRps } from "./figures.ts";
import { knownResource } from "./resource.ts";
import { statTable } from "./stat.ts";
import { createStyle, visibleLength } from "./style.ts";
import { formatTable } from "./table.ts";

const plain = createStyle(false);
const coloured = createStyle(true);

const QUIET: Traffic = {
  successRate: null,
  rps: null,
  effectiveSuccessRate: null,
  effectiveRps: null,
  p50Ms: null,
  p95Ms: null,
  p99Ms: null,
  tcpConnections: 0,
  readBytesPerSecond: 0,
  writeBytesPerSecond: 0,
};
const BUSY: Traffic = {
  successRate: 0.93,
  rps: 12.34,
  effectiveSuccessRate: 0.999,
  effectiveRps: 11,
  p50Ms: 4.4,
  p95Ms: 81.6,
  p99Ms: 120,
  tcpConnections: 3,
  readBytesPerSecond: 1_500,
  writeBytesPerSecond: 20,
};

function statRow(namespace: string, name: string, traffic: Traffic): StatRow {
  return { kind: "deployment", namespace, name, meshedPods: 1, runningPods: 2, ...traffic };
}

describe("tables", () => {
  test("align by what is visible, and have no blanks at the end", () => {
    const rows = [["a", coloured.red("1")], ["long name", "22"], ["c", ""]];
    const text = formatTable([{ title: "N", align: "left" }, { title: "V", align: "right" }], rows);
    expect(text).toBe(
      "N            V\na            \u001b[31m1\u001b[0m\nlong name   22\nc\n",
    );
    expect(visibleLength(coloured.bold("√ ok"))).toBe(4);
  });

  test("stat", () => {
    expect(statTable([statRow("shop", "api", BUSY), statRow("shop", "web", QUIET)], false, plain))
      .toBe(
        "NAME   MESHED   SUCCESS       RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN\n" +
          "api       1/2    93.00%   12.3rps           4ms          82ms         120ms          3\n" +
          "web       1/2         -         -             -             -             -          0\n",
      );
  });

  test("stat of several namespaces, wide, with colours", () => {
    const text = statTable([statRow("a", "x", BUSY), statRow("b", "y", QUIET)], true, coloured);
    expect(text.split("\n")[0]).toStartWith("NAMESPACE   NAME   MESHED");
    expect(text.split("\n")[0]).toContain(
      "EFFECTIVE_SUCCESS   EFFECTIVE_RPS   ACTUAL_SUCCESS   ACTUAL_RPS",
    );
    expect(text).toContain("\u001b[32m99.90%\u001b[0m         11.0rps");
    expect(text).toContain("\u001b[31m93.00%\u001b[0m      12.3rps");
    expect(text).toContain("1.5kB/s             20B/s\n");
  });

  test("edges", () => {
    const secured: Edge = {
      source: { kind: "deployment", namespace: "shop", name: "web" },
      target: { kind: "deployment", namespace: "shop", name: "api" },
      clientId: "web.shop.serviceaccount.identity.malla.cluster.local",
      serverId: "api.shop.serviceaccount.identity.malla.cluster.local",
      secured: true,
      reason: "",
      ...BUSY,
    };
    const open: Edge = {
      ...secured,
      target: { kind: "external", namespace: "", name: "192.0.2.1:80" },
      clientId: "",
      serverId: "",
      secured: false,
      reason: "port_skipped",
    };
    expect(edgeTable([secured, open], false, plain)).toBe(
      "SRC   DST            SRC_NS   DST_NS   CLIENT_ID   SERVER_ID   SECURED\n" +
        "web   api            shop     shop     web.shop    api.shop    √\n" +
        "web   192.0.2.1:80   shop     -        -           -           port_skipped\n",
    );
    expect(edgeTable([secured], true, plain)).toContain(secured.clientId);
  });
});

describe("figures", () => {
  test("a success that was not whole is never shown as whole", () => {
    expect([formatRate(1), formatRate(0.99999), formatRate(0), formatRate(null)])
      .toEqual(["100.00%", "99.99%", "0.00%", "-"]);
  });

  test("rates, times and sizes", () => {
    expect([formatRps(0), formatMs(0.4), formatBytes(999), formatBytes(2_500_000)])
      .toEqual(["0.0rps", "0ms", "999B/s", "2.5MB/s"]);
    expect([formatRps(null), formatMs(null)]).toEqual(["-", "-"]);
  });
});

describe("resources", () => {
  test.each([
    ["deploy", undefined, { kind: "deployment" }],
    ["Pods", "x", { kind: "pod", name: "x" }],
    ["svc/web", undefined, { kind: "service", name: "web" }],
  ] as [string, string | undefined, { kind: ResourceKind; name?: string }][])(
    "%p %p",
    (text, name, expected) => {
      expect(knownResource(text, name)).toEqual(expected);
    },
  );

  test.each([
    ["depoly", undefined, 'ns; did you mean "deploy"?'],
    ["toString", undefined, 'Unknown resource "toString": expected one of deploy, sts'],
    ["deploy/a/b", undefined, 'Cannot read "deploy/a/b": expected deploy/NAME or deploy NAME'],
    ["deploy/", undefined, 'Cannot read "deploy/"'],
    ["deploy/a", "b", 'Cannot read "deploy/a"'],
  ] as [string, string | undefined, string][])("%p %p is refused", (text, name, message) => {
    expect(() => knownResource(text, name)).toThrow(message);
  });

  test("a verb may allow fewer", () => {
    expect(() => knownResource("ns", undefined, ["pod"])).toThrow("expected one of pod");
  });
});

describe("the demo's screen", () => {
  const node: GraphNode = {
    id: "deployment/default/web",
    kind: "deployment",
    namespace: "default",
    name: "web",
    services: ["web"],
    recentRps: 12,
    meshedPods: 2,
    readyPods: 2,
    runningPods: 2,
    ...BUSY,
    successRate: 1,
  };
  const users: GraphNode = { ...node, id: "users", name: "traffic", runningPods: 1, ...QUIET };
  const edge: GraphEdge = {
    source: "users",
    target: node.id,
    secured: true,
    reason: "",
    clientId: "traffic.default.serviceaccount.identity.malla.cluster.local",
    serverId: "web.default.serviceaccount.identity.malla.cluster.local",
    rps: 12.34,
    successRate: 1,
    p95Ms: 5,
    tcpConnections: 1,
    bytesPerSecond: 1,
  };
  const graph: Graph = { atMs: 0, windowMs: 10_000, nodes: [users, node], edges: [edge] };

  test("workloads, then calls", () => {
    expect(demoScreen(graph, plain, 100)).toBe(
      "NAME      MESHED   SUCCESS       RPS   P50    P95     P99\n" +
        "traffic      2/1         -         -     -      -       -\n" +
        "web          2/2   100.00%   12.3rps   4ms   82ms   120ms\n\n" +
        "FROM      TO        RPS   SUCCESS   SECURED\n" +
        "traffic   web   12.3rps   100.00%   √ traffic.default → web.default\n",
    );
  });

  test("fits into the terminal's width, so that redrawing stays in place", () => {
    const lines = demoScreen(graph, coloured, 30).split("\n");
    expect(Math.max(...lines.map(visibleLength))).toBe(30);
  });

  test("says that it waits, and why an edge is open", () => {
    expect(demoScreen({ ...graph, edges: [] }, plain, 80)).toContain("Waiting for traffic");
    const open = { ...edge, secured: false, reason: "port_skipped" };
    expect(demoScreen({ ...graph, edges: [open] }, plain, 80)).toContain("port skipped");
  });

  test("as one line for a log", () => {
    expect(demoLine(graph)).toBe("web 12.3rps 100% p95 82ms | secured 1 of 1 edges\n");
    expect(demoLine({ ...graph, nodes: [] })).toBe("waiting for traffic\n");
  });
});
