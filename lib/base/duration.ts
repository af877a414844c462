/** Durations as people write them: numbers with units. */

import { Fault } from "./fault.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** What a duration looks like, for messages. */
export const DURATION_EXPECTED = "a duration with its unit, such as 300ms, 10s, 1m, 1h or 1d";

/** Milliseconds of `300ms`, `10s`, `1m`, `1h`, `1d` or `24h0m0s`. Throws `invalid_argument`. */
export function parseDuration(text: string): number {
  const word = text.trim();
  let sum = 0;
  if (/^(\d{1,12}(\.\d{1,6})?(ms|s|m|h|d))+$/.test(word)) {
    for (const [, amount, unit = ""] of word.matchAll(/([\d.]+)(ms|s|m|h|d)/g)) {
      sum += Number(amount) * (UNIT_MS[unit] ?? NaN);
    }
  } else sum = NaN;
  const ms = Math.round(sum);
  if (Number.isSafeInteger(ms)) return ms;
  const message = `Cannot read duration "${word}": expected ${DURATION_EXPECTED}`;
  throw new Fault("invalid_argument", message);
}
