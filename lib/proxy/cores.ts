/** How many cores a proxy uses: the contract's four variables, bounded by what the machine gives. */

import { integer, type SettingType, string } from "../config/mod.ts";

/** What may be set; a mode spreads it into its schema. */
export const coreSettings = {
  cores: {
    env: "LINKERD2_PROXY_CORES",
    flag: "cores",
    type: integer(1),
    default: "1",
    help: "How many cores are used at least, each by a thread; never more than there are.",
  },
  coresMin: {
    env: "LINKERD2_PROXY_CORES_MIN",
    type: integer(1),
    help: "The same, where both are given.",
  },
  coresMax: {
    env: "LINKERD2_PROXY_CORES_MAX",
    type: integer(1),
    help: "How many cores are used at most, which is how many are used if there are so many.",
  },
  coresMaxRatio: {
    env: "LINKERD2_PROXY_CORES_MAX_RATIO",
    type: ratio(),
    help: "The same as a share of the machine's cores, where no number is given.",
  },
} as const;

/** The values of the settings. */
export interface CoreLimits {
  readonly cores: number;
  readonly coresMin: number | undefined;
  readonly coresMax: number | undefined;
  readonly coresMaxRatio: number | undefined;
}

/** How many cores to use of those that this process may run on; at least 1. */
export function coresOf(limits: CoreLimits, available: number): number {
  const { cores, coresMin = cores, coresMax, coresMaxRatio } = limits;
  const most = coresMax ?? Math.round(available * (coresMaxRatio ?? 0));
  return Math.max(1, Math.min(Math.max(most, coresMin), available));
}

/** What is wrong with ports that several cores would share; empty when nothing is. */
export function sharedPortProblems(limits: CoreLimits, ports: readonly number[]): string[] {
  if (coresOf(limits, Number.MAX_SAFE_INTEGER) === 1 || !ports.includes(0)) return [];
  return [
    "Cannot use port 0 for a listener with more than one core: expected a port that all of them share",
  ];
}

/** A share of something, without nothing. */
function ratio(): SettingType<number> {
  return {
    ...string(),
    expected: "a number above 0 and at most 1, such as 0.5",
    placeholder: "RATIO",
    parse(text) {
      const value = Number(text);
      return value > 0 && value <= 1 ? { ok: true, value } : { ok: false };
    },
  };
}
