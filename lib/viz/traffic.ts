/** Figures of traffic over a window, added up from the series of any number of pods. */

import type { PodHistory, Series } from "./history.ts";
import { Buckets } from "./quantile.ts";

/** What is shown of traffic; null where nothing was seen to compute it from. */
export interface Traffic {
  /** Share of answers that were a success, 0–1. */
  readonly successRate: number | null;
  /** Answers per second. */
  readonly rps: number | null;
  /** The same as whoever asked saw it: a request that was sent again until it succeeded is a success. */
  readonly effectiveSuccessRate: number | null;
  readonly effectiveRps: number | null;
  /** Latency in milliseconds. */
  readonly p50Ms: number | null;
  readonly p95Ms: number | null;
  readonly p99Ms: number | null;
  /** Connections that are open now. */
  readonly tcpConnections: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
}

/** The part of a pod's history that a window covers. */
export interface Span {
  readonly fromMs: number;
  readonly seconds: number;
}

/** A pod that was not scraped for this long is taken for gone. */
export const POD_GONE_MS = 5_000;

/** The span of a window that ends now: shorter for a pod that is younger, by what is there. */
export function spanOf(pod: PodHistory, windowMs: number, nowMs: number): Span {
  const endMs = nowMs - pod.lastMs < POD_GONE_MS ? pod.lastMs : nowMs;
  const fromMs = endMs - windowMs;
  return { fromMs, seconds: (endMs - Math.max(fromMs, pod.firstMs)) / 1_000 };
}

/** Adds up series. */
export class TrafficSum {
  #successes = 0;
  #failures = 0;
  #perSecond = 0;
  #effectiveSuccesses = 0;
  #effectiveFailures = 0;
  #effectivePerSecond = 0;
  #sawRoutes = false;
  #sawHttp = false;
  #connections = 0;
  #opened = 0;
  #readPerSecond = 0;
  #writePerSecond = 0;
  readonly #latency = new Buckets();

  /** Adds what one series did within the span; `isGone`: its open connections count no more. */
  add({ labels, track }: Series, { fromMs, seconds }: Span, isGone: boolean): void {
    if (labels.measure === "tcp_connections") {
      if (!isGone) this.#connections += track.latest();
      return;
    }
    if (labels.measure === "success" || labels.measure === "failure") this.#sawHttp = true;
    if (labels.direction === "route") this.#sawRoutes = true;
    const increase = track.increaseSince(fromMs);
    // A bucket that stood still counts too: it is the lower bound of the next one.
    if (labels.measure === "latency") this.#latency.add(labels.bound, increase);
    if (increase === 0) return;
    const perSecond = seconds > 0 ? increase / seconds : 0;
    switch (labels.measure) {
      case "success":
        this.#successes += increase;
        this.#perSecond += perSecond;
        break;
      case "failure":
        this.#failures += increase;
        this.#perSecond += perSecond;
        break;
      case "effective_success":
        this.#effectiveSuccesses += increase;
        this.#effectivePerSecond += perSecond;
        break;
      case "effective_failure":
        this.#effectiveFailures += increase;
        this.#effectivePerSecond += perSecond;
        break;
      case "tcp_open":
        this.#opened += increase;
        break;
      case "tcp_read":
        this.#readPerSecond += perSecond;
        break;
      case "tcp_write":
        this.#writePerSecond += perSecond;
        break;
    }
  }

  /** Whether anything happened in the window, or is open now. */
  isActive(): boolean {
    return this.hasRequests() || this.#effectivePerSecond > 0 || this.#opened > 0 ||
      this.#connections > 0 ||
      this.#readPerSecond + this.#writePerSecond > 0;
  }

  /** Whether HTTP was answered in the window. */
  hasRequests(): boolean {
    return this.#successes + this.#failures > 0;
  }

  result(): Traffic {
    const answers = this.#successes + this.#failures;
    const outcomes = this.#effectiveSuccesses + this.#effectiveFailures;
    return {
      successRate: answers === 0 ? null : this.#successes / answers,
      rps: this.#sawHttp ? this.#perSecond : null,
      effectiveSuccessRate: outcomes === 0 ? null : this.#effectiveSuccesses / outcomes,
      effectiveRps: this.#sawRoutes ? this.#effectivePerSecond : null,
      p50Ms: this.#latency.quantile(0.5),
      p95Ms: this.#latency.quantile(0.95),
      p99Ms: this.#latency.quantile(0.99),
      tcpConnections: this.#connections,
      readBytesPerSecond: this.#readPerSecond,
      writeBytesPerSecond: this.#writePerSecond,
    };
  }
}
