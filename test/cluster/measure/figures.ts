/** Samples of one kind, and how they are shown. */

/** Median, 99th percentile and highest of some milliseconds. */
export interface Figures {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** The figures of samples in any order. Throws without any. */
export function figuresOf(samples: readonly number[]): Figures {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
    if (value === undefined) throw new Error("nothing was measured");
    return value;
  };
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** One line for people. */
export function formatFigures(what: string, { count, p50, p99, max }: Figures): string {
  const ms = (value: number) => `${value.toFixed(1)} ms`;
  return `${what}: p50 ${ms(p50)}, p99 ${ms(p99)}, highest ${ms(max)} (${count} samples)`;
}
