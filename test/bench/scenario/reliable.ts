/**
 * What reliability costs while nothing fails: Malla as it is beside Malla with retries, second attempts,
 * timeouts, failure accrual and a concurrency limit configured, on the same closed loop.
 */

import type { Bench } from "../bench.ts";
import { runH2load } from "../load/h2load.ts";
import { runWrk } from "../load/wrk.ts";
import { type Column, interleave, table } from "../sample.ts";

const CONNECTIONS = 32;
const WARM_SECONDS = 10;
const SETTLE_SECONDS = 1;

const COLUMNS: readonly Column[] = [
  { key: "requestsPerSecond", title: "requests/s", digits: 0 },
  { key: "cpuMicros", title: "CPU µs/request", digits: 1, ratio: true },
  { key: "userMicros", title: "user", digits: 1 },
  { key: "kernelMicros", title: "kernel", digits: 1 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "failures", title: "failures", digits: 0 },
];

/** Runs the scenario. */
export async function reliable(bench: Bench): Promise<void> {
  const { rounds, seconds } = bench.options;
  const planes = [await bench.startPlane("malla"), await bench.startReliable()];
  for (const [name, load] of [["HTTP/1", runWrk], ["gRPC", runH2load]] as const) {
    for (const plane of planes) await load(plane, { connections: 128, seconds: WARM_SECONDS });
    const samples = await interleave(planes, rounds, async (plane) => {
      await load(plane, { connections: CONNECTIONS, seconds: SETTLE_SECONDS });
      return await load(plane, { connections: CONNECTIONS, seconds });
    });
    bench.report(table(`${name}, ${CONNECTIONS} connections`, samples, COLUMNS, ["malla"]));
  }
  await bench.stopPlanes(planes);
}
