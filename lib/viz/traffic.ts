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

/** Successes and failures, added up. */
class Outcomes {
  #successes = 0;
  #failures = 0;
  /** Null while nothing was added, not even nothing: no HTTP was seen. */
  perSecond: number | null = null;

  add(successes: number, failures: number, perSecond: number): void {
    this.#successes += successes;
    this.#failures += failures;
    this.perSecond = (this.perSecond ?? 0) + perSecond;
  }

  get total(): number {
    return this.#successes + this.#failures;
  }

  /** The share of successes; null without any outcome. */
  get rate(): number | null {
    return this.total === 0 ? null : this.#successes / this.total;
  }
}

/** Adds up series. */
export class TrafficSum {
  /** What backends answered. */
  readonly #actual = new Outcomes();
  /** What whoever asked got in the end. */
  readonly #effective = new Outcomes();
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
    const increase = track.increaseSince(fromMs);
    // A bucket that stood still counts too: it is the lower bound of the next one.
    if (labels.measure === "latency") this.#latency.add(labels.bound, increase);
    const perSecond = seconds > 0 ? increase / seconds : 0;
    switch (labels.measure) {
      case "success":
        this.#actual.add(increase, 0, perSecond);
        break;
      case "failure":
        this.#actual.add(0, increase, perSecond);
        break;
      case "effective_success":
        this.#effective.add(increase, 0, perSecond);
        break;
      case "effective_failure":
        this.#effective.add(0, increase, perSecond);
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
    return this.hasRequests() || (this.#effective.perSecond ?? 0) > 0 || this.#opened > 0 ||
      this.#connections > 0 || this.#readPerSecond + this.#writePerSecond > 0;
  }

  /** Whether HTTP was answered in the window. */
  hasRequests(): boolean {
    return this.#actual.total > 0;
  }

  result(): Traffic {
    return {
      successRate: this.#actual.rate,
      rps: this.#actual.perSecond,
      effectiveSuccessRate: this.#effective.rate,
      effectiveRps: this.#effective.perSecond,
      p50Ms: this.#latency.quantile(0.5),
      p95Ms: this.#latency.quantile(0.95),
      p99Ms: this.#latency.quantile(0.99),
      tcpConnections: this.#connections,
      readBytesPerSecond: this.#readPerSecond,
      writeBytesPerSecond: this.#writePerSecond,
    };
  }
}
