/**
 * Reads the metrics of every meshed pod once a second. A pod that does not answer is asked again at
 * the next tick and reported once; a slow one is never asked twice at a time.
 */

import { describeError, Fault } from "../base/fault.ts";
import { SCRAPE_BYTES_MAX, SCRAPES_PARALLEL_MAX } from "../base/limits.ts";
import type { Clock, Timer } from "../host/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { ClusterView, PodFacts } from "./cluster.ts";
import { type History, podId } from "./history.ts";
import { parseExposition } from "./prometheus-text.ts";
import { isWanted } from "./series.ts";

/** Fetches a pod's metrics as text; throws when it cannot. */
export type FetchMetrics = (url: string, timeoutMs: number, bytesMax: number) => Promise<string>;

/** What the scraper works with. */
export interface ScraperOptions {
  readonly view: ClusterView;
  readonly history: History;
  readonly clock: Clock;
  readonly fetch: FetchMetrics;
  readonly log: Logger;
  readonly periodMs: number;
  /** The proxies' admin port. */
  readonly adminPort: number;
}

/** Longer than a period, so that one slow answer is not an error, and short enough to notice. */
const TIMEOUT_MS = 3_000;

/** Scrapes until it is stopped. */
export class Scraper {
  readonly #options: ScraperOptions;
  readonly #underWay = new Set<string>();
  readonly #failing = new Map<string, string>();
  #timer: Timer | undefined;

  constructor(options: ScraperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = this.#options.clock.every(this.#options.periodMs, () => void this.tick());
  }

  stop(): void {
    this.#timer?.cancel();
  }

  /** Why pods cannot be scraped now, by `namespace/name/ip`. */
  failing(): ReadonlyMap<string, string> {
    return this.#failing;
  }

  /** One round; resolves when all that it began has ended. Never rejects. */
  async tick(): Promise<void> {
    const { view, history, clock } = this.#options;
    history.sweep(clock.nowMs());
    const present = new Set(view.pods().map(podId));
    for (const id of this.#failing.keys()) if (!present.has(id)) this.#failing.delete(id);
    const due = view.pods().filter((pod) =>
      pod.meshed && pod.running && pod.ip !== "" && !this.#underWay.has(podId(pod))
    );
    const queue = due.values();
    const lanes = Math.min(SCRAPES_PARALLEL_MAX, due.length);
    await Promise.all(Array.from({ length: lanes }, async () => {
      for (const pod of queue) await this.#scrape(pod);
    }));
  }

  async #scrape(pod: PodFacts): Promise<void> {
    const { history, clock, fetch, adminPort, log } = this.#options;
    const id = podId(pod);
    const host = pod.ip.includes(":") ? `[${pod.ip}]` : pod.ip;
    this.#underWay.add(id);
    try {
      const url = `http://${host}:${adminPort}/metrics`;
      const text = await fetch(url, TIMEOUT_MS, SCRAPE_BYTES_MAX);
      const { samples, skipped } = parseExposition(text, isWanted);
      history.ingest(pod, clock.nowMs(), samples);
      if (skipped > 0) log.debug("metrics skipped", { pod: id, skipped });
      if (this.#failing.delete(id)) log.info("pod answers again", { pod: id });
    } catch (error) {
      if (!this.#failing.has(id)) {
        log.info("pod does not answer", { pod: id, error: describeError(error) });
      }
      this.#failing.set(id, describeError(error));
    } finally {
      this.#underWay.delete(id);
    }
  }
}

/** The text of an answer that must have status 200. */
export function expectOk(url: string, answer: { status: number; text: string }): string {
  if (answer.status === 200) return answer.text;
  throw new Fault("unavailable", `${url} answered with status ${answer.status}`);
}
