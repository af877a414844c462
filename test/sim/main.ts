/**
 * The simulator by hand: `bun test/sim/main.ts [--seeds N] [--from S] [--nastiness 0–3] [--until-failure]` runs
 * many,
 * `bun test/sim/main.ts --seed S` runs one and prints what happened.
 */

import type { Nastiness } from "./dice.ts";
import { runSeed } from "./run.ts";

const FAILURES_SHOWN = 20;

function option(name: string): number | undefined {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? undefined : Number(process.argv[at + 1]);
}

const one = option("seed");
const nastiness = option("nastiness") as Nastiness | undefined;
const chosen = nastiness === undefined ? {} : { nastiness };

if (one !== undefined) {
  const result = await runSeed({ seed: one, ...chosen, traced: true });
  for (const line of result.trace ?? []) console.log(line);
  console.log(result.failure ?? "everything holds");
  process.exit(result.failure === null ? 0 : 1);
}

const seeds = option("seeds") ?? 1_000;
const from = option("from") ?? 1;
const began = performance.now();
let failed = 0;
let events = 0;
let requests = 0;
let answered = 0;
for (let seed = from; seed < from + seeds; seed++) {
  const result = await runSeed({ seed, ...chosen, traced: false });
  events += result.events;
  requests += result.requests;
  answered += result.answered;
  if (result.failure === null) continue;
  failed++;
  const isLast = process.argv.includes("--until-failure");
  if (failed <= FAILURES_SHOWN) {
    const [first = ""] = result.failure.split("\n    at", 1);
    console.log(`seed ${seed} (nastiness ${result.nastiness}): ${first}`);
  }
  if (isLast) break;
}
const seconds = (performance.now() - began) / 1_000;
console.log(
  `${seeds} seeds, ${failed} failed; ${requests} requests, ${answered} answered, ` +
    `${events} events in ${seconds.toFixed(1)} s`,
);
process.exit(failed === 0 ? 0 : 1);
