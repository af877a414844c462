/** `malla stat`: golden figures as a table or JSON. */

import type { Terminal } from "../host/terminal.ts";
import type { StatRow } from "../viz/stat.ts";
import { duration } from "../config/mod.ts";
import { formatBytes, formatMs, formatRate, formatRps } from "./figures.ts";
import { knownResource } from "./resource.ts";
import { openMesh } from "./running-mesh.ts";
import { createStyle, type Style } from "./style.ts";
import { type Column, formatTable } from "./table.ts";
import { addMeshOptions, createVerb, type MeshFlags, runVerb, valueOf } from "./verb.ts";

/** The words after `stat`, as read. */
interface StatFlags extends MeshFlags {
  readonly timeWindow: string;
}

/** Runs the verb; resolves to the exit code. */
export function runStat(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb("stat", "Success rate, requests and latencies of the mesh.", terminal)
    .argument("<resource>", "deploy, sts, ds, job, rs, pod, svc or ns; also as resource/name")
    .argument("[name]", "one of them (default: all)")
    .option("-t, --time-window <duration>", "how far back to look, up to 10m", checkedWindow, "1m");
  addMeshOptions(verb, "only in this namespace");
  return runVerb(verb, words, terminal, async () => {
    const [resource = "", name] = verb.args;
    const flags = verb.opts<StatFlags>();
    const wanted = knownResource(resource, name);
    const ask = await openMesh(flags);
    const query = new URLSearchParams({ resource: wanted.kind, window: flags.timeWindow });
    if (wanted.name !== undefined) query.set("name", wanted.name);
    if (flags.namespace !== undefined) query.set("namespace", flags.namespace);
    const { rows } = await ask<{ rows: readonly StatRow[] }>(`/api/stat?${query}`);
    if (flags.output === "json") {
      terminal.write(`${JSON.stringify(rows.map(statJson), null, 2)}\n`);
      return 0;
    }
    if (rows.length === 0) {
      terminal.writeError(`No ${wanted.kind} found${inWords(wanted.name, flags.namespace)}\n`);
      return wanted.name === undefined ? 0 : 1;
    }
    terminal.write(statTable(rows, flags.output === "wide", createStyle(terminal.colours)));
    return 0;
  });
}

/** What callers saw, and what the attempts did that were made for them. */
const WIDE_RATES = ["EFFECTIVE_SUCCESS", "EFFECTIVE_RPS", "ACTUAL_SUCCESS", "ACTUAL_RPS"];

/** The rows as a table; the namespace is a column when there is more than one. */
export function statTable(rows: readonly StatRow[], isWide: boolean, style: Style): string {
  const hasNamespaces = new Set(rows.map(({ namespace }) => namespace)).size > 1;
  const right = (title: string): Column => ({ title, align: "right" });
  const left = (title: string): Column => ({ title, align: "left" });
  const columns = [
    ...hasNamespaces ? [left("NAMESPACE")] : [],
    left("NAME"),
    right("MESHED"),
    ...(isWide ? WIDE_RATES : ["SUCCESS", "RPS"]).map(right),
    ...["LATENCY_P50", "LATENCY_P95", "LATENCY_P99"].map(right),
    right("TCP_CONN"),
    ...isWide ? [right("READ_BYTES/SEC"), right("WRITE_BYTES/SEC")] : [],
  ];
  return formatTable(
    columns,
    rows.map((row) => [
      ...hasNamespaces ? [row.namespace] : [],
      row.name,
      `${row.meshedPods}/${row.runningPods}`,
      ...isWide ? [paintRate(row.effectiveSuccessRate, style), formatRps(row.effectiveRps)] : [],
      paintRate(row.successRate, style),
      formatRps(row.rps),
      formatMs(row.p50Ms),
      formatMs(row.p95Ms),
      formatMs(row.p99Ms),
      row.meshedPods === 0 ? "-" : String(row.tcpConnections),
      ...isWide ? [formatBytes(row.readBytesPerSecond), formatBytes(row.writeBytesPerSecond)] : [],
    ]),
  );
}

/** A success rate in the colour of its meaning. */
export function paintRate(rate: number | null, style: Style): string {
  const text = formatRate(rate);
  if (rate === null) return text;
  if (rate < 0.95) return style.red(text);
  return rate < 0.99 ? style.yellow(text) : style.green(text);
}

/** A row with the field names that scripts for Linkerd's command line read. */
function statJson(row: StatRow): Readonly<Record<string, unknown>> {
  return {
    namespace: row.namespace,
    kind: row.kind,
    name: row.name,
    meshed: `${row.meshedPods}/${row.runningPods}`,
    success: row.successRate,
    rps: row.rps,
    effective_success: row.effectiveSuccessRate,
    effective_rps: row.effectiveRps,
    actual_success: row.successRate,
    actual_rps: row.rps,
    latency_ms_p50: row.p50Ms,
    latency_ms_p95: row.p95Ms,
    latency_ms_p99: row.p99Ms,
    tcp_open_connections: row.tcpConnections,
    tcp_read_bytes_rate: row.readBytesPerSecond,
    tcp_write_bytes_rate: row.writeBytesPerSecond,
  };
}

function inWords(name: string | undefined, namespace: string | undefined): string {
  return `${name === undefined ? "" : ` named "${name}"`}` +
    `${namespace === undefined ? "" : ` in namespace "${namespace}"`}`;
}

/** Checks a window; the API takes the text as it is. */
function checkedWindow(text: string): string {
  valueOf(duration())(text);
  return text;
}
