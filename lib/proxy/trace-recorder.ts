/**
 * Traces: each request of a sampled trace becomes a span of its own, a server's where clients of this
 * pod ask, a client's where its application does. What is known of a request is read while its head is
 * good; the span goes to a queue when all is over.
 */

import type { Clock } from "../host/clock.ts";
import { isFailure } from "../mesh/failure.ts";
import type { RequestHead } from "../wire/http/mod.ts";
import type { Attributes, TraceSpan } from "../contract/trace-export.ts";
import type { HttpSide, SideFacts } from "./http-parts.ts";
import { replaceSpan, SPAN_ID_BYTES, type TraceContext, traceOf } from "./trace-context.ts";
import type { Outcome, Recorder, Recording } from "./outcome.ts";

/** Takes finished spans, and never says no: what it cannot keep it counts. */
export interface SpanSink {
  add(span: TraceSpan): void;
}

/** What a recorder is made from. */
export interface TraceRecorderOptions {
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  readonly spans: SpanSink;
}

/** Longer paths say no more. */
const PATH_CHARS_MAX = 256;

/** Goes on with the traces of requests. */
export class TraceRecorder implements Recorder {
  readonly #options: TraceRecorderOptions;

  constructor(options: TraceRecorderOptions) {
    this.#options = options;
  }

  begin(side: HttpSide, head: RequestHead): Recording | null {
    const context = traceOf(head);
    if (context === null) return null;
    const { clock, random, spans } = this.#options;
    const spanId = randomId(random);
    replaceSpan(head, spanId, context.parentId);
    const request = requestOf(side, head);
    const startMs = clock.nowMs();
    return {
      ended: (outcome) => spans.add(spanOf({ context, spanId, startMs, request, outcome })),
    };
  }
}

/** What is known of a request before it is answered. */
interface Request {
  readonly direction: HttpSide["direction"];
  readonly method: string;
  readonly attributes: Attributes;
}

function requestOf(side: HttpSide, head: RequestHead): Request {
  const { direction } = side;
  const facts: SideFacts = side.describe();
  const method = head.methodText();
  const [path = "", query = ""] = head.targetText().slice(0, PATH_CHARS_MAX).split("?", 2);
  const isHttp2 = head.http2 && head.originalVersion < 0;
  return {
    direction,
    method,
    attributes: given({
      direction,
      "http.request.method": method,
      "url.scheme": "http",
      "url.path": path,
      "url.query": query,
      "server.address": head.authorityText().slice(0, PATH_CHARS_MAX),
      "network.protocol.version": isHttp2 ? "2" : "1.1",
      "client.address": facts.client,
      "client.id": facts.clientId,
      "target.address": facts.target,
    }),
  };
}

/** All that a span is made of. */
interface Parts {
  readonly context: TraceContext;
  readonly spanId: Uint8Array;
  readonly startMs: number;
  readonly request: Request;
  readonly outcome: Outcome;
}

function spanOf({ context, spanId, startMs, request, outcome }: Parts): TraceSpan {
  const { status, grpcStatus, error, refusal, totalMs } = outcome;
  const failed = error !== "" || isFailure(status, grpcStatus);
  const why = refusal?.message ?? error;
  return {
    traceId: context.traceId,
    spanId,
    parentId: context.parentId,
    traceState: context.traceState,
    name: request.method,
    kind: request.direction === "inbound" ? "server" : "client",
    startMs,
    durationMs: totalMs,
    attributes: {
      ...request.attributes,
      ...(status === 0 ? {} : { "http.response.status_code": status }),
      ...(grpcStatus < 0 ? {} : { "rpc.grpc.status_code": grpcStatus }),
      ...(error === "" ? {} : { "error.type": refusal?.kind ?? error }),
      "http.request.body.size": outcome.requestBytes,
      "http.response.body.size": outcome.responseBytes,
    },
    error: failed ? why : null,
  };
}

/** Attributes without those that say nothing. */
function given(attributes: Readonly<Record<string, string>>): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== ""));
}

/** An id; never only zeros, which would be none. */
function randomId(random: () => number): Uint8Array {
  const id = new Uint8Array(SPAN_ID_BYTES);
  for (let i = 0; i < SPAN_ID_BYTES; i++) id[i] = Math.floor(random() * 256);
  if (id.every((byte) => byte === 0)) id[0] = 1;
  return id;
}
