/** Seeds of the bounded fuzz runs: the same each time, and others for each run of `test/fuzz/main.ts`. */

/** The variable that holds the number of a run; the tests by themselves are run 0. */
export const FUZZ_RUN = "FUZZ_RUN";

const SEEDS_PER_RUN = 1_000;
const RUN = Number(process.env[FUZZ_RUN] ?? 0);

/** The present run's seed for the test's own one, below 1,000. */
export function seedOf(seed: number): number {
  return RUN * SEEDS_PER_RUN + seed;
}
