/** The load generators of a soak, each in the client's namespace, and what they counted. */

import type { Node } from "../support/lab.ts";
import { failuresOf, requestsOf } from "../support/wrk.ts";
import type { Sessions } from "./sessions.ts";

/** What one generator counted. */
export interface Counted {
  readonly name: string;
  readonly requests: number;
  readonly connections: number;
  readonly errors: readonly string[];
}

/** `host:port` of each kind of backend. */
export interface Addresses {
  readonly http1: string;
  readonly http2: string;
  readonly opaque: string;
  readonly app: string;
}

const WRK = ["wrk", "-t", "1", "--timeout", "30s"];

/** Starts all generators; each resolves when its time is over. */
export function startLoads(
  client: Node,
  { http1, http2, opaque, app }: Addresses,
  seconds: number,
  callFile: string,
): Promise<Counted>[] {
  const time = ["-d", `${seconds}s`];
  const closing = ["-H", "Connection: close"];
  const grpc = ["-d", callFile, "-H", "content-type: application/grpc", "-H", "te: trailers"];
  const h2load = ["h2load", "-D", String(seconds), "-c", "4"];
  const sessions = new URL("sessions.ts", import.meta.url).pathname;
  return [
    wrk(client, "HTTP/1", [...WRK, ...time, "-c", "16", `http://${http1}/`]),
    wrk(client, "HTTP/1, closing", [...WRK, ...time, ...closing, "-c", "4", `http://${http1}/`]),
    wrk(client, "opaque, closing", [...WRK, ...time, ...closing, "-c", "4", `http://${opaque}/`]),
    runH2load(client, "HTTP/2", [...h2load, "-m", "8", `http://${http2}/`]),
    runH2load(client, "gRPC", [...h2load, "-m", "4", ...grpc, `http://${http2}/reply.grpc`]),
    runSessions(client, [process.execPath, sessions, app, opaque, String(seconds)]),
  ];
}

async function wrk(client: Node, name: string, command: readonly string[]): Promise<Counted> {
  const text = await output(client, command);
  const [requests, failures] = [requestsOf(text), failuresOf(text)];
  const connections = name.endsWith("closing") ? requests : 16;
  const errors = failures > 0 || !(requests > 0) ? [text] : [];
  return { name, requests, connections, errors };
}

async function runH2load(client: Node, name: string, command: readonly string[]): Promise<Counted> {
  const text = await output(client, command);
  const [, done = NaN, failed = NaN, errored = NaN, timeouts = NaN] =
    /(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(text)?.map(Number) ?? [];
  const isGood = done > 0 && failed + errored + timeouts === 0;
  return { name, requests: done, connections: 4, errors: isGood ? [] : [text] };
}

async function runSessions(client: Node, command: readonly string[]): Promise<Counted> {
  const text = await output(client, command);
  const line = text.trim().split("\n").at(-1) ?? "";
  return { name: "sessions", ...JSON.parse(line) as Sessions };
}

async function output(client: Node, command: readonly string[]): Promise<string> {
  const program = client.start(command);
  await program.exited;
  return await program.output();
}
