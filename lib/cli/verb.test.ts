/** The verbs from their words to their output, against a dashboard of the test's own. */

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { VERSION } from "../base/version.ts";
import type { Terminal } from "../host/terminal.ts";
import { serveWeb, type WebServer } from "../host/web-server.ts";
import { runEdges } from "./edges.ts";
import { runStat } from "./stat.ts";
import { runVersion } from "./version.ts";

let server: WebServer;
let asked: string[];
let answer: () => Response;

beforeEach(() => {
  asked = [];
  answer = () => Response.json({ rows: [], edges: [] });
  server = serveWeb({
    ip: "127.0.0.1",
    port: 0,
    handler: (request) => {
      const { pathname, search } = new URL(request.url);
      asked.push(pathname + search);
      return answer();
    },
  });
});

afterEach(() => server.stop());

/** Runs a verb and gives what it wrote. */
async function outputOf(
  verb: (words: readonly string[], terminal: Terminal) => Promise<number>,
  ...words: string[]
) {
  let out = "";
  let err = "";
  const code = await verb(words, {
    write: (text) => void (out += text),
    writeError: (text) => void (err += text),
    isInteractive: false,
    colours: false,
    columns: () => 80,
  });
  return { code, out, err };
}

function url(): string {
  return `http://127.0.0.1:${server.port}`;
}

const ROW = {
  kind: "deployment",
  namespace: "shop",
  name: "web",
  meshedPods: 2,
  runningPods: 2,
  successRate: 0.5,
  rps: 2,
  effectiveSuccessRate: 0.75,
  effectiveRps: 1.5,
  p50Ms: 1,
  p95Ms: 2,
  p99Ms: 3,
  tcpConnections: 1,
  readBytesPerSecond: 10,
  writeBytesPerSecond: 20,
};

describe("stat", () => {
  test("asks what the words say", async () => {
    answer = () => Response.json({ rows: [ROW] });
    const { code, out } = await outputOf(
      runStat,
      "deploy/web",
      "-n",
      "shop",
      "-t",
      "5m",
      "--url",
      url(),
    );
    expect(asked).toEqual(["/api/stat?resource=deployment&window=5m&name=web&namespace=shop"]);
    expect([code, out.split("\n").length]).toEqual([0, 3]);
  });

  test("JSON has the names that scripts know", async () => {
    answer = () => Response.json({ rows: [ROW] });
    const { out } = await outputOf(runStat, "deploy", "-o", "json", "--url", url());
    expect(JSON.parse(out)).toEqual([{
      namespace: "shop",
      kind: "deployment",
      name: "web",
      meshed: "2/2",
      success: 0.5,
      rps: 2,
      effective_success: 0.75,
      effective_rps: 1.5,
      actual_success: 0.5,
      actual_rps: 2,
      latency_ms_p50: 1,
      latency_ms_p95: 2,
      latency_ms_p99: 3,
      tcp_open_connections: 1,
      tcp_read_bytes_rate: 10,
      tcp_write_bytes_rate: 20,
    }]);
  });

  test("a name that does not exist is an error, an empty list is not", async () => {
    const missing = await outputOf(runStat, "pod", "x", "-n", "a", "--url", url());
    expect([missing.code, missing.err]).toEqual([1, 'No pod found named "x" in namespace "a"\n']);
    expect((await outputOf(runStat, "pod", "--url", url())).code).toBe(0);
  });

  test.each([
    [["deploy", "-t", "10"], "Expected a duration with its unit"],
    [["deploy", "-o", "yaml"], "Expected one of table, wide, json"],
    [["deploy", "--namespce", "x"], "Did you mean --namespace?"],
    [[], "missing required argument 'resource'"],
    [["deploys"], 'did you mean "deploy"?'],
    [["deploy", "a", "b"], "too many arguments"],
  ])("%p ends with 64", async (words, message) => {
    const { code, err } = await outputOf(runStat, ...words, "--url", url());
    expect(code).toBe(64);
    expect(err).toContain(message);
    expect(asked).toEqual([]);
  });

  test("what the dashboard refuses is told in its words", async () => {
    answer = () => Response.json({ error: "Cannot use that" }, { status: 400 });
    const { code, err } = await outputOf(runStat, "deploy", "-t", "20m", "--url", url());
    expect([code, err]).toEqual([64, "Cannot use that\n"]);
  });

  test("an address that is no dashboard, or nothing", async () => {
    answer = () => new Response("<html>");
    const other = await outputOf(runStat, "deploy", "--url", url());
    expect(other.code).toBe(1);
    expect(other.err).toContain("does not answer like a dashboard of Malla");
    const nothing = await outputOf(runStat, "deploy", "--url", "http://127.0.0.1:1");
    expect([nothing.code, nothing.err.includes("Cannot reach http://127.0.0.1:1")]).toEqual([
      1,
      true,
    ]);
  });

  test("help goes to standard output and ends with 0", async () => {
    const { code, out } = await outputOf(runStat, "--help");
    expect(code).toBe(0);
    expect(out).toContain("Usage: malla stat [options] <resource> [name]");
  });
});

describe("edges", () => {
  test("asks by kind and namespace; nothing is told as such", async () => {
    const { code, err } = await outputOf(runEdges, "po", "-n", "shop", "--url", url());
    expect(asked).toEqual(["/api/edges?resource=pod&namespace=shop"]);
    expect([code, err]).toEqual([0, "No edges: nothing talked in the last minute\n"]);
    expect((await outputOf(runEdges, "po", "-o", "json", "--url", url())).out).toBe("[]\n");
  });

  test("namespaces have no edges of their own", async () => {
    const { code, err } = await outputOf(runEdges, "ns", "--url", url());
    expect(code).toBe(64);
    expect(err).toContain('Unknown resource "ns": expected one of deploy, pod, svc');
  });
});

describe("version", () => {
  test("short, JSON and for people", async () => {
    expect((await outputOf(runVersion, "--short")).out).toBe(`${VERSION}\n`);
    const facts = JSON.parse((await outputOf(runVersion, "-o", "json")).out);
    expect(Object.keys(facts)).toEqual(["version", "commit", "bun"]);
    expect((await outputOf(runVersion)).out).toStartWith(`malla ${VERSION}\n`);
  });
});
