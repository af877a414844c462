/**
 * Hands spans to an OpenTelemetry collector: OTLP over gRPC, on a channel as to the control plane.
 * Loaded by proxies that are told of a collector only.
 */

import { VERSION } from "../base/version.ts";
import type { Channel } from "./channel.ts";
import { ExportRequest, ExportResponse, Span, Span_Kind, Status_Code } from "./gen/trace.ts";

/** One request as a proxy saw it. */
export interface TraceSpan {
  /** 16 bytes. */
  readonly traceId: Uint8Array;
  /** 8 bytes. */
  readonly spanId: Uint8Array;
  /** 8 bytes; those of whoever asked. */
  readonly parentId: Uint8Array;
  readonly traceState: string;
  readonly name: string;
  readonly kind: "server" | "client";
  /** Milliseconds since the epoch, with fractions. */
  readonly startMs: number;
  readonly durationMs: number;
  readonly attributes: Attributes;
  /** What went wrong; null: nothing did. */
  readonly error: string | null;
}

/** Values by name. */
export type Attributes = Readonly<Record<string, string | number>>;

const EXPORT = {
  path: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
  input: ExportRequest,
  output: ExportResponse,
} as const;

const EXPORT_TIMEOUT_MS = 10_000;
const NS_PER_MS = 1_000_000;
const SAMPLED = 1;

/** Resolves to how many of the spans the collector has refused. Rejects when it takes none. */
export async function exportSpans(
  channel: Channel,
  resource: Attributes,
  spans: readonly TraceSpan[],
): Promise<number> {
  const request = ExportRequest.fromPartial({
    resourceSpans: [{
      resource: { attributes: keyValues(resource) },
      scopeSpans: [{ scope: { name: "malla", version: VERSION }, spans: spans.map(toWire) }],
    }],
  });
  const { partialSuccess } = await channel.unary(EXPORT, request, EXPORT_TIMEOUT_MS);
  return Number(partialSuccess?.rejectedSpans ?? 0n);
}

function toWire(span: TraceSpan) {
  const { traceId, spanId, parentId, traceState, name, startMs, durationMs, error } = span;
  const start = nanoseconds(startMs);
  return Span.fromPartial({
    traceId,
    spanId,
    parentSpanId: parentId,
    traceState,
    name,
    kind: span.kind === "server" ? Span_Kind.SERVER : Span_Kind.CLIENT,
    startTimeUnixNano: start,
    endTimeUnixNano: start + nanoseconds(durationMs),
    attributes: keyValues(span.attributes),
    status: error === null ? {} : { code: Status_Code.ERROR, message: error },
    flags: SAMPLED,
  });
}

/** Whole milliseconds apart from the rest: their product would lose its last digits. */
function nanoseconds(ms: number): bigint {
  const whole = Math.floor(ms);
  return BigInt(whole) * BigInt(NS_PER_MS) + BigInt(Math.round((ms - whole) * NS_PER_MS));
}

function keyValues(attributes: Attributes) {
  return Object.entries(attributes).map(([key, value]) => ({
    key,
    value: {
      value: typeof value === "string"
        ? { $case: "stringValue" as const, value }
        : { $case: "intValue" as const, value: BigInt(Math.round(value)) },
    },
  }));
}
