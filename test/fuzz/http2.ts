/**
 * Runs the fuzz target of HTTP/2 sessions until it is stopped or something breaks:
 *
 *   bun test/fuzz/http2.ts [first seed] [runs]
 */

import { fuzzSession } from "../support/http2-fuzz.ts";

const first = Number(process.argv[2] ?? 1);
const runs = Number(process.argv[3] ?? Infinity);
let failures = 0;
for (let seed = first; seed < first + runs; seed++) {
  try {
    fuzzSession(seed);
  } catch (error) {
    failures++;
    console.log(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
  }
  if (seed % 10_000 === 0) console.log(`${seed} seeds, ${failures} failures`);
}
process.exit(failures === 0 ? 0 : 1);
