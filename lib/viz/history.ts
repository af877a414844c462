/**
 * What was scraped of each pod, for ten minutes. A pod that is gone stays as long as it may matter to
 * a window, so that a deployment's figures do not jump when a pod is replaced.
 */

import { HISTORY_SERIES_PER_POD_MAX } from "../base/limits.ts";
import type { PodFacts } from "./cluster.ts";
import { fold, type SeriesLabels, startOf } from "./series.ts";
import type { Sample } from "./prometheus-text.ts";
import { Track } from "./track.ts";

/** How far back a question may reach. */
export const HISTORY_MS = 600_000;

/** A proxy that is younger when it is first seen counted nothing that a window would miss. */
const YOUNG_MS = 10_000;

/** One kept series of a pod. */
export interface Series {
  readonly labels: SeriesLabels;
  readonly track: Track;
}

/** The series of one pod since its first scrape, or since its start where that was just before. */
export interface PodHistory {
  /** As the pod was when it was last scraped. */
  readonly pod: PodFacts;
  readonly firstMs: number;
  readonly lastMs: number;
  /** Samples that were not kept because there were too many series. */
  readonly dropped: number;
  readonly series: ReadonlyMap<string, Series>;
}

/** A pod's history, as its owner changes it. */
interface Entry {
  pod: PodFacts;
  readonly firstMs: number;
  lastMs: number;
  dropped: number;
  readonly series: Map<string, Series>;
}

/** The histories of all pods. */
export class History {
  readonly #pods = new Map<string, Entry>();
  readonly #adminPort: number;

  /** `adminPort`: the proxies' own, whose traffic is not the application's. */
  constructor(adminPort: number) {
    this.#adminPort = adminPort;
  }

  /** Takes one scrape of a pod. */
  ingest(pod: PodFacts, nowMs: number, samples: readonly Sample[]): void {
    const id = podId(pod);
    let entry = this.#pods.get(id);
    let missed = false;
    if (entry === undefined) {
      const startMs = startOf(samples);
      missed = !(startMs <= nowMs && nowMs - startMs <= YOUNG_MS);
      const firstMs = missed ? nowMs : startMs;
      entry = { pod, firstMs, lastMs: nowMs, dropped: 0, series: new Map() };
      this.#pods.set(id, entry);
    }
    entry.pod = pod;
    entry.lastMs = nowMs;
    const readings = fold(samples, this.#adminPort);
    for (const { key, labels, kind, value } of readings.values()) {
      let series = entry.series.get(key);
      if (series === undefined) {
        if (entry.series.size >= HISTORY_SERIES_PER_POD_MAX) {
          entry.dropped++;
          continue;
        }
        // What an older proxy counted before the first scrape belongs to no window of ours.
        series = { labels, track: new Track(kind, missed && kind === "counter" ? value : 0) };
        entry.series.set(key, series);
      }
      series.track.push(nowMs, value);
    }
    for (const [key, { labels, track }] of entry.series) {
      // A proxy retires series without use; a retired gauge counts nothing any more.
      if (labels.measure === "tcp_connections" && !readings.has(key)) track.push(nowMs, 0);
    }
  }

  /** Forgets pods that were not scraped for longer than history reaches. */
  sweep(nowMs: number): void {
    for (const [id, { lastMs }] of this.#pods) {
      if (nowMs - lastMs > HISTORY_MS) this.#pods.delete(id);
    }
  }

  pods(): IterableIterator<PodHistory> {
    return this.#pods.values();
  }
}

/** Tells pods apart; a pod that was replaced under its old name has another address. */
export function podId({ namespace, name, ip }: PodFacts): string {
  return `${namespace}/${name}/${ip}`;
}
