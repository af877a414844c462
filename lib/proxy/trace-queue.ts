/**
 * Spans on their way to the collector: gathered, sent some hundred at a time, one call at a time, and
 * kept for another try while the collector is away. What comes while the queue is full is dropped.
 */

import { Backoff } from "../base/backoff.ts";
import { describeError } from "../base/fault.ts";
import { TRACE_SPANS_PENDING_MAX, TRACE_SPANS_PER_EXPORT_MAX } from "../base/limits.ts";
import type { TraceSpan } from "../contract/trace-export.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Counter, Family } from "../telemetry/metric.ts";
import type { Registry } from "../telemetry/registry.ts";
import type { SpanSink } from "./trace-recorder.ts";

/** What a queue is made from. */
export interface TraceQueueOptions {
  readonly clock: Clock;
  /** A number in [0, 1). */
  readonly random: () => number;
  /** Resolves to how many of the spans were refused; rejects when none was taken. */
  readonly send: (spans: readonly TraceSpan[]) => Promise<number>;
  readonly registry: Registry;
  readonly log: Logger;
}

/** A span waits for others so long. */
const GATHER_MS = 1_000;
const BACKOFF = { minMs: 1_000, maxMs: 30_000, jitter: 0.5 };
/** At the proxy's end the collector has so long to take the rest. */
const LAST_MS = 1_000;

/** The queue of one core. */
export class TraceQueue implements SpanSink {
  readonly #options: TraceQueueOptions;
  readonly #backoff: Backoff;
  readonly #requests: Counter;
  readonly #exported: Counter;
  readonly #full: Counter;
  readonly #refused: Counter;
  #spans: TraceSpan[] = [];
  #timer: Timer | null = null;
  #sending: Promise<void> | null = null;
  /** From the end of one call to the next. */
  #waitMs = GATHER_MS;
  #isClosed = false;

  constructor(options: TraceQueueOptions) {
    const { registry, random } = options;
    this.#options = options;
    this.#backoff = new Backoff(BACKOFF, random);
    const { requests, exported, dropped } = traceFamilies(registry);
    this.#requests = requests.with({});
    this.#exported = exported.with({});
    this.#full = dropped.with({ reason: "full" });
    this.#refused = dropped.with({ reason: "refused" });
  }

  add(span: TraceSpan): void {
    if (this.#spans.length >= TRACE_SPANS_PENDING_MAX) {
      this.#full.value++;
      return;
    }
    this.#spans.push(span);
    if (this.#sending !== null || this.#isClosed) return;
    if (this.#backoff.failures === 0 && this.#spans.length >= TRACE_SPANS_PER_EXPORT_MAX) {
      this.#sendNow();
    } else this.#timer ??= this.#options.clock.after(GATHER_MS, () => this.#sendNow());
  }

  /** Sends what waits, within a short time. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#sending === null && this.#spans.length > 0) this.#sendNow();
    const late = Promise.withResolvers<void>();
    const timer = this.#options.clock.after(LAST_MS, late.resolve);
    await Promise.race([this.#sending, late.promise]);
    timer.cancel();
  }

  #sendNow(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#sending = this.#send().finally(() => {
      this.#sending = null;
      if (this.#spans.length === 0 || this.#isClosed) return;
      this.#timer = this.#options.clock.after(this.#waitMs, () => this.#sendNow());
    });
  }

  async #send(): Promise<void> {
    const { send, log } = this.#options;
    const spans = this.#spans.splice(0, TRACE_SPANS_PER_EXPORT_MAX);
    this.#requests.value++;
    try {
      const refused = await send(spans);
      this.#exported.value += spans.length - refused;
      this.#refused.value += refused;
      this.#backoff.reset();
      this.#waitMs = GATHER_MS;
    } catch (thrown) {
      if (this.#backoff.failures === 0) {
        log.warn("cannot hand spans to the collector", { error: describeError(thrown) });
      }
      this.#waitMs = this.#backoff.next();
      const room = TRACE_SPANS_PENDING_MAX - this.#spans.length;
      this.#full.value += Math.max(0, spans.length - room);
      this.#spans.unshift(...spans.slice(0, room));
    }
  }
}

/** Registers what is counted of spans. */
export function traceFamilies(registry: Registry): {
  readonly requests: Family<Counter>;
  readonly exported: Family<Counter>;
  readonly dropped: Family<Counter>;
} {
  return {
    requests: registry.counter(
      "opentelemetry_span_export_requests_total",
      "Calls to the collector of traces",
    ),
    exported: registry.counter(
      "opentelemetry_span_export_spans_total",
      "Spans that the collector of traces has taken",
    ),
    dropped: registry.counter(
      "malla_trace_spans_dropped_total",
      "Spans that no collector has got: too many waited, or it refused them",
      ["reason"],
    ),
  };
}
