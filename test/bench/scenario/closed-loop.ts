/**
 * Closed loop: HTTP/1 (wrk) and unary gRPC (h2load) over 1 to 128 connections. What a request costs in
 * CPU, user and kernel apart, how many a second fit through, and how long they take.
 *
 * Malla is compiled while it runs, so the first seconds of a new pair of proxies are shown by themselves
 * and every plane is warmed before its first round; and before each sample for a moment, since a plane
 * that was idle for some seconds has closed its connections.
 */

import type { Bench } from "../bench.ts";
import { runH2load } from "../load/h2load.ts";
import { type LoopOptions, runWrk } from "../load/wrk.ts";
import type { DataPlane } from "../place.ts";
import { type Column, interleave, type Sample, type Samples, table } from "../sample.ts";

const COLD_SECONDS = 3;
const WARM_SECONDS = 10;
const SETTLE_SECONDS = 1;
const USUAL_CONNECTIONS = 32;

/** What is shown of a closed loop. */
export const LOOP_COLUMNS: readonly Column[] = [
  { key: "requestsPerSecond", title: "requests/s", digits: 0 },
  { key: "cpuMicros", title: "CPU µs/request", digits: 1, ratio: true },
  { key: "userMicros", title: "user", digits: 1 },
  { key: "kernelMicros", title: "kernel", digits: 1 },
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "failures", title: "failures", digits: 0 },
];

/** A load generator. */
export type Load = (plane: DataPlane, options: LoopOptions) => Promise<Sample>;

/** Runs the scenario. */
export async function closedLoop(bench: Bench): Promise<void> {
  for (const [name, load] of [["HTTP/1", runWrk], ["gRPC", runH2load]] as const) {
    // New ones for each kind of load, so that the first seconds are cold for both.
    const planes = await bench.startPlanes();
    bench.report(
      table(`${name}, the first ${COLD_SECONDS} s`, await cold(planes, load), LOOP_COLUMNS),
    );
    await warm(planes, load);
    for (const connections of bench.options.connections) {
      const samples = await settledLoops(bench, planes, load, connections);
      bench.report(table(`${name}, ${connections} connections`, samples, LOOP_COLUMNS));
    }
    await bench.stopPlanes(planes);
  }
}

/** Loads each of them until its code is compiled. */
export async function warm(planes: readonly DataPlane[], load: Load): Promise<void> {
  for (const plane of planes) await load(plane, { connections: 128, seconds: WARM_SECONDS });
}

/** All rounds over so many connections, each behind a moment that is not measured. */
export async function settledLoops(
  bench: Bench,
  planes: readonly DataPlane[],
  load: Load,
  connections: number,
): Promise<Samples> {
  const { rounds, seconds } = bench.options;
  return await interleave(planes, rounds, async (plane) => {
    await load(plane, { connections, seconds: SETTLE_SECONDS });
    return await load(plane, { connections, seconds });
  });
}

async function cold(planes: readonly DataPlane[], load: Load): Promise<Samples> {
  return await interleave(
    planes,
    1,
    (plane) => load(plane, { connections: USUAL_CONNECTIONS, seconds: COLD_SECONDS }),
  );
}
