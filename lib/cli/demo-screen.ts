/** The live figures of `malla demo` in a terminal: one screenful of text from one picture of the mesh. */

import type { Graph, GraphEdge } from "../viz/graph.ts";
import { formatMs, formatRps } from "./figures.ts";
import { paintRate } from "./stat.ts";
import { type Style, SYMBOLS, visibleLength } from "./style.ts";
import { formatTable } from "./table.ts";

const LEFT = "left";
const RIGHT = "right";

/** Workloads, then who calls whom. Each line fits into the columns. */
export function demoScreen(graph: Graph, style: Style, columns: number): string {
  const names = new Map(graph.nodes.map(({ id, name }) => [id, name]));
  const workloads = formatTable(
    [
      { title: "NAME", align: LEFT },
      ...["MESHED", "SUCCESS", "RPS", "P50", "P95", "P99"].map((title) =>
        ({ title, align: RIGHT }) as const
      ),
    ],
    graph.nodes.filter(({ runningPods }) => runningPods > 0).map((node) => [
      style.bold(node.name),
      `${node.meshedPods}/${node.runningPods}`,
      paintRate(node.successRate, style),
      formatRps(node.rps),
      formatMs(node.p50Ms),
      formatMs(node.p95Ms),
      formatMs(node.p99Ms),
    ]),
  );
  const calls = formatTable(
    [
      { title: "FROM", align: LEFT },
      { title: "TO", align: LEFT },
      { title: "RPS", align: RIGHT },
      { title: "SUCCESS", align: RIGHT },
      { title: "SECURED", align: LEFT },
    ],
    graph.edges.map((edge) => [
      names.get(edge.source) ?? edge.source,
      names.get(edge.target) ?? edge.target,
      formatRps(edge.rps),
      paintRate(edge.successRate, style),
      security(edge, style),
    ]),
  );
  const body = graph.edges.length === 0
    ? `${workloads}\nWaiting for traffic\n`
    : `${workloads}\n${calls}`;
  return body.split("\n").map((line) => cut(line, columns)).join("\n");
}

/** One line for a log: where nothing can be redrawn. */
export function demoLine(graph: Graph): string {
  const parts = graph.nodes.filter(({ rps }) => rps !== null).map((node) => {
    const rate = node.successRate === null ? "-" : `${Math.floor(node.successRate * 1_000) / 10}%`;
    return `${node.name} ${formatRps(node.rps)} ${rate} p95 ${formatMs(node.p95Ms)}`;
  });
  const secured = graph.edges.filter((edge) => edge.secured).length;
  if (parts.length === 0) return "waiting for traffic\n";
  return `${parts.join(" | ")} | secured ${secured} of ${graph.edges.length} edges\n`;
}

function security({ secured, clientId, serverId, reason }: GraphEdge, style: Style): string {
  if (!secured) return style.yellow(reason.replaceAll("_", " "));
  return `${style.green(SYMBOLS.ok)} ${
    style.faint(`${short(clientId) || "?"} → ${short(serverId)}`)
  }`;
}

function short(identity: string): string {
  return identity.replace(/\.serviceaccount\.identity\..*$/, "");
}

/** A line that wrapped would break the redrawing. Colours are dropped where a line is cut. */
function cut(line: string, columns: number): string {
  if (visibleLength(line) <= columns) return line;
  // deno-lint-ignore no-control-regex -- ESC is what colours begin with
  return [...line.replaceAll(/\u001b\[[0-9;]*m/g, "")].slice(0, columns).join("");
}
