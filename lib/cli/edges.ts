/** `malla edges`: who talks to whom, as whom, and whether it is secured. */

import type { Terminal } from "../host/terminal.ts";
import type { Edge } from "../viz/edges.ts";
import { formatRps } from "./figures.ts";
import { knownResource } from "./resource.ts";
import { openMesh } from "./running-mesh.ts";
import { createStyle, type Style, SYMBOLS } from "./style.ts";
import { type Column, formatTable } from "./table.ts";
import { addMeshOptions, createVerb, type MeshFlags, runVerb } from "./verb.ts";

const EDGE_WORDS = ["deploy", "pod", "svc", "sts", "ds", "job"];

/** Runs the verb; resolves to the exit code. */
export function runEdges(words: readonly string[], terminal: Terminal): Promise<number> {
  const verb = createVerb(
    "edges",
    "Who talks to whom, as whom, and whether it is secured.",
    terminal,
  )
    .argument("<resource>", EDGE_WORDS.join(", "));
  addMeshOptions(verb, "only edges that begin or end there");
  return runVerb(verb, words, terminal, async () => {
    const flags = verb.opts<MeshFlags>();
    const { kind } = knownResource(verb.args[0] ?? "", undefined, EDGE_WORDS);
    const ask = await openMesh(flags);
    const query = new URLSearchParams({ resource: kind });
    if (flags.namespace !== undefined) query.set("namespace", flags.namespace);
    const { edges } = await ask<{ edges: readonly Edge[] }>(`/api/edges?${query}`);
    if (flags.output === "json") {
      terminal.write(`${JSON.stringify(edges.map(edgeJson), null, 2)}\n`);
    } else if (edges.length === 0) {
      terminal.writeError("No edges: nothing talked in the last minute\n");
    } else terminal.write(edgeTable(edges, flags.output === "wide", createStyle(terminal.colours)));
    return 0;
  });
}

/** The edges as a table. */
export function edgeTable(edges: readonly Edge[], isWide: boolean, style: Style): string {
  const left = (title: string): Column => ({ title, align: "left" });
  const columns = [
    ...["SRC", "DST", "SRC_NS", "DST_NS", "CLIENT_ID", "SERVER_ID", "SECURED"].map(left),
    ...isWide
      ? [{ title: "RPS", align: "right" }, { title: "TCP_CONN", align: "right" }] as const
      : [],
  ];
  return formatTable(
    columns,
    edges.map((edge) => [
      edge.source.name,
      edge.target.name,
      edge.source.namespace || "-",
      edge.target.namespace || "-",
      (isWide ? edge.clientId : shortIdentity(edge.clientId)) || "-",
      (isWide ? edge.serverId : shortIdentity(edge.serverId)) || "-",
      edge.secured ? style.green(SYMBOLS.ok) : style.yellow(edge.reason),
      ...isWide ? [formatRps(edge.rps), String(edge.tcpConnections)] : [],
    ]),
  );
}

/** `<service account>.<namespace>`: the rest is the same for all of a mesh. */
function shortIdentity(id: string): string {
  return id.replace(/\.serviceaccount\.identity\..*$/, "");
}

/** An edge with the field names that scripts for Linkerd's command line read. */
function edgeJson(edge: Edge): Readonly<Record<string, unknown>> {
  return {
    src: edge.source.name,
    src_namespace: edge.source.namespace,
    src_kind: edge.source.kind,
    dst: edge.target.name,
    dst_namespace: edge.target.namespace,
    dst_kind: edge.target.kind,
    client_id: edge.clientId,
    server_id: edge.serverId,
    secured: edge.secured,
    no_tls_reason: edge.reason,
    rps: edge.rps,
    success: edge.successRate,
    tcp_open_connections: edge.tcpConnections,
  };
}
