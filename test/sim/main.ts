/**
 * The simulator by hand. `npm run sim -- --seeds N [--from S]` runs many seeds and names those in which
 * something does not hold; `--until-failure` ends with the first. `npm run sim -- --seed S` runs one and
 * prints everything that happened. `--nastiness 0`–`3` chooses what a seed would draw first.
 */

import type { Nastiness } from "./dice.ts";
import { replayOf, runSeed } from "./run.ts";

const FAILURES_SHOWN = 20;

function option(name: string): number | undefined {
  const at = process.argv.indexOf(`--${name}`);
  if (at < 0) return undefined;
  const value = Number(process.argv[at + 1]);
  if (Number.isInteger(value) && value >= 0) return value;
  console.error(`--${name} takes a number, not "${process.argv[at + 1]}"`);
  process.exit(2);
}

function nastinessOption(): { readonly nastiness?: Nastiness } {
  const value = option("nastiness");
  if (value === undefined) return {};
  if (value <= 3) return { nastiness: value as Nastiness };
  console.error(`--nastiness is 0 to 3, not ${value}`);
  process.exit(2);
}

const chosen = nastinessOption();
const one = option("seed");
if (one !== undefined) {
  const result = await runSeed({ seed: one, ...chosen, traced: true });
  for (const line of result.trace ?? []) console.log(line);
  console.log(result.failure ?? "everything holds");
  process.exit(result.failure === null ? 0 : 1);
}

const seeds = option("seeds") ?? 1_000;
const from = option("from") ?? 1;
const isOneEnough = process.argv.includes("--until-failure");
const began = performance.now();
let ran = 0;
let failed = 0;
let events = 0;
let requests = 0;
let answered = 0;
for (let seed = from; seed < from + seeds; seed++) {
  const result = await runSeed({ seed, ...chosen, traced: false });
  ran++;
  events += result.events;
  requests += result.requests;
  answered += result.answered;
  if (result.failure === null) continue;
  failed++;
  if (failed <= FAILURES_SHOWN) {
    const [first = ""] = result.failure.split("\n    at", 1);
    console.log(`${replayOf(seed, chosen.nastiness)}: ${first}`);
  }
  if (isOneEnough) break;
}
const seconds = (performance.now() - began) / 1_000;
console.log(
  `${ran} seeds, ${failed} failed; ${requests} requests, ${answered} answered, ` +
    `${events} events in ${seconds.toFixed(1)} s`,
);
process.exit(failed === 0 ? 0 : 1);
