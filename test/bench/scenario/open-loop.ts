/**
 * Open loop: HTTP/1 at a quarter and at two thirds of what the slowest peer can carry, which is measured
 * first. Below saturation it is latency that tells data planes apart, above all its tail.
 */

import type { Bench } from "../bench.ts";
import { runVegeta } from "../load/vegeta.ts";
import { runWrk } from "../load/wrk.ts";
import type { DataPlane } from "../place.ts";
import { type Column, interleave, median, table } from "../sample.ts";

const WARM_SECONDS = 10;
const SETTLE_SECONDS = 1;
/** Of a p99.9 of 4 s at 2,000 requests a second, 8 requests decide: samples are longer here. */
const SECONDS_FACTOR = 3;

const SHARES: readonly (readonly [string, number])[] = [["a quarter", 1 / 4], [
  "two thirds",
  2 / 3,
]];

const COLUMNS: readonly Column[] = [
  { key: "p50Ms", title: "p50 ms", digits: 2, ratio: true },
  { key: "p99Ms", title: "p99 ms", digits: 2, ratio: true },
  { key: "p999Ms", title: "p99.9 ms", digits: 2, ratio: true },
  { key: "cpuMicros", title: "CPU µs/request", digits: 1, ratio: true },
  { key: "failures", title: "failures", digits: 0 },
];

/** Runs the scenario. */
export async function openLoop(bench: Bench): Promise<void> {
  const { rounds, seconds, vegeta: program } = bench.options;
  const planes = await bench.startPlanes();
  const capacity = await slowest(bench, planes);
  bench.report(`\nThe slowest peer carries ${capacity.toFixed(0)} requests/s.`);
  for (const [words, share] of SHARES) {
    const ratePerSecond = capacity * share;
    const samples = await interleave(planes, rounds, async (plane) => {
      await runVegeta(plane, { ratePerSecond, seconds: SETTLE_SECONDS, program });
      return await runVegeta(plane, { ratePerSecond, seconds: seconds * SECONDS_FACTOR, program });
    });
    bench.report(table(`${words} of it, ${ratePerSecond.toFixed(0)} requests/s`, samples, COLUMNS));
  }
  await bench.stopPlanes(planes);
}

/** Requests a second of the slowest plane in a closed loop, once all are warm. */
async function slowest(bench: Bench, planes: readonly DataPlane[]): Promise<number> {
  const connections = 128;
  for (const plane of planes) await runWrk(plane, { connections, seconds: WARM_SECONDS });
  const samples = await interleave(
    planes,
    Math.min(3, bench.options.rounds),
    (plane) => runWrk(plane, { connections, seconds: bench.options.seconds }),
  );
  return Math.min(...[...samples.values()].map((list) => median(list, "requestsPerSecond")));
}
