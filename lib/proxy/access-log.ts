/**
 * The access log: a line for each request that clients of this pod have made, when its response is
 * complete. The fields of the JSON form are the contract's, and some more: gRPC's status, and why an
 * answer was the proxy's or was not whole. The other form is Apache's combined one, with the rest behind.
 */

import { ACCESS_LOG_FIELD_CHARS_MAX } from "../base/limits.ts";
import { asciiBytes } from "../base/bytes.ts";
import type { Clock } from "../host/clock.ts";
import type { LineWriter } from "../host/line-writer.ts";
import type { Counter, Family } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { RequestHead } from "../wire/http/mod.ts";
import type { HttpSide, SideFacts } from "./http-parts.ts";
import type { Outcome, Recorder, Recording } from "./outcome.ts";

/** In which form lines are written. */
export type AccessLogFormat = "apache" | "json";

/** What an access log is made from. */
export interface AccessLogOptions {
  readonly format: AccessLogFormat;
  readonly lines: LineWriter;
  readonly clock: Clock;
  readonly registry: Registry;
}

/** Where the trace's id is looked for; the first that has one counts. */
const TRACE_HEADERS = ["traceparent", "b3", "x-b3-traceid", "x-request-id", "x-amzn-trace-id"];
const TRACE_NAMES = TRACE_HEADERS.map((name) => [name, asciiBytes(name)] as const);
const USER_AGENT = asciiBytes("user-agent");
const NS_PER_MS = 1_000_000;

/** What is known of a request before it is answered. */
interface Request {
  readonly facts: SideFacts;
  readonly timestamp: string;
  readonly method: string;
  readonly uri: string;
  readonly version: string;
  readonly traceId: string;
  readonly userAgent: string;
  readonly host: string;
}

/** Writes the lines. */
export class AccessLog implements Recorder {
  readonly #options: AccessLogOptions;
  readonly #written: Counter;
  readonly #dropped: Counter;

  constructor(options: AccessLogOptions) {
    this.#options = options;
    const lines = accessLogFamily(options.registry);
    this.#written = lines.with({ result: "written" });
    this.#dropped = lines.with({ result: "dropped" });
  }

  /** Only what clients of this pod ask for: what its application asks for is in the others' logs. */
  begin(side: HttpSide, head: RequestHead): Recording | null {
    if (side.direction !== "inbound") return null;
    const request = this.#read(side.describe(), head);
    return { ended: (outcome) => this.#write(request, outcome) };
  }

  #read(facts: SideFacts, head: RequestHead): Request {
    return {
      facts,
      timestamp: new Date(this.#options.clock.nowMs()).toISOString(),
      method: bounded(head.methodText()),
      uri: bounded(head.targetText()),
      version: versionOf(head),
      traceId: traceIdOf(head),
      userAgent: fieldText(head, USER_AGENT),
      host: bounded(head.authorityText()),
    };
  }

  #write(request: Request, outcome: Outcome): void {
    const { format, lines } = this.#options;
    const line = format === "json" ? jsonLine(request, outcome) : apacheLine(request, outcome);
    if (lines.write(line)) this.#written.value++;
    else this.#dropped.value++;
  }
}

/** One object, with numbers as numbers. */
function jsonLine(request: Request, outcome: Outcome): string {
  const { facts, timestamp, method, uri, version, traceId, userAgent, host } = request;
  const fields = {
    "client.addr": facts.client,
    "client.id": facts.clientId === "" ? "-" : facts.clientId,
    timestamp,
    method,
    uri,
    version,
    trace_id: traceId,
    request_bytes: outcome.requestBytes,
    status: outcome.status,
    ...(outcome.isGrpc ? { grpc_status: outcome.grpcStatus } : {}),
    response_bytes: outcome.responseBytes,
    total_ns: Math.round(outcome.totalMs * NS_PER_MS),
    processing_ns: Math.round(outcome.headMs * NS_PER_MS),
    user_agent: userAgent,
    host,
    ...(outcome.error === "" ? {} : { error: outcome.error, reason: reasonOf(outcome) }),
  };
  return `${JSON.stringify(fields)}\n`;
}

/** Apache's combined format without a referrer, then milliseconds, trace and error. */
function apacheLine(request: Request, outcome: Outcome): string {
  const { facts, timestamp, method, uri, version, traceId, userAgent } = request;
  const { status, responseBytes, totalMs, error } = outcome;
  return `${facts.client} ${facts.clientId || "-"} - [${timestamp}] ` +
    `"${quoted(`${method} ${uri} ${version}`)}" ${status === 0 ? "-" : status} ${responseBytes} ` +
    `"-" "${quoted(userAgent || "-")}" ${totalMs.toFixed(3)}ms ` +
    `${quoted(traceId || "-")} ${error === "" ? "-" : `"${quoted(reasonOf(outcome))}"`}\n`;
}

function reasonOf({ error, refusal }: Outcome): string {
  return refusal === null ? error : `${refusal.kind}: ${refusal.message}`;
}

function versionOf(head: RequestHead): string {
  if (head.http2 && head.originalVersion < 0) return "HTTP/2.0";
  return `HTTP/1.${head.http2 ? head.originalVersion : head.versionMinor}`;
}

function traceIdOf(head: RequestHead): string {
  for (const [name, bytes] of TRACE_NAMES) {
    const id = traceIdIn(name, fieldText(head, bytes));
    if (id !== "") return id;
  }
  return "";
}

/** It is `traceparent`'s second part, and the first one of `b3`, which may say no more than not to sample. */
function traceIdIn(name: string, text: string): string {
  const [first = "", second = ""] = text.split("-");
  if (name === "traceparent") return second;
  return name === "b3" ? second && first : text;
}

function fieldText(head: RequestHead, name: Uint8Array): string {
  const i = head.find(name);
  return i < 0 ? "" : bounded(head.headerText(i));
}

/** A client chooses how long its fields are, but not how long a line is. */
function bounded(text: string): string {
  return text.slice(0, ACCESS_LOG_FIELD_CHARS_MAX);
}

/** What stands in a line ends neither its quotes nor the line, and shows no control characters. */
function quoted(text: string): string {
  return text.replace(/[^\x20-\x7e]|["\\]/g, (char) => {
    const code = char.charCodeAt(0).toString(16).padStart(2, "0");
    return char === '"' || char === "\\" ? `\\${char}` : `\\x${code}`;
  });
}

/** Registers what is counted of lines. */
export function accessLogFamily(registry: Registry): Family<Counter> {
  return registry.counter(
    "malla_access_log_lines_total",
    "Lines of the access log, and those that were dropped since nobody read the log in time",
    ["result"],
  );
}
