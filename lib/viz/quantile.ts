/**
 * Quantiles of a latency histogram, by Prometheus' rule: find the bucket that holds the wanted rank
 * and interpolate within it, from 0 in the first bucket; in the last, unbounded one the answer is the
 * largest bound.
 */

/** Cumulative counts by upper bound, as the exposition gives them; +Inf is one of the bounds. */
export class Buckets {
  readonly #counts = new Map<number, number>();

  add(bound: number, count: number): void {
    this.#counts.set(bound, (this.#counts.get(bound) ?? 0) + count);
  }

  addAll(other: Buckets): void {
    for (const [bound, count] of other.#counts) this.add(bound, count);
  }

  /** The value below which the share `q` (0–1) of the observations lies; null without any. */
  quantile(q: number): number | null {
    const sorted = [...this.#counts].sort(([a], [b]) => a - b);
    const total = sorted.at(-1)?.[1] ?? 0;
    if (!(total > 0)) return null;
    const rank = q * total;
    let bound = 0;
    let below = 0;
    for (const [upper, cumulative] of sorted) {
      // Counts of several proxies, scraped at different moments, may not rise with the bounds.
      const count = Math.max(cumulative, below);
      if (count >= rank) {
        if (upper === Infinity) return bound;
        const inside = count - below;
        return inside === 0 ? upper : bound + (upper - bound) * ((rank - below) / inside);
      }
      bound = upper;
      below = count;
    }
    return bound;
  }
}
