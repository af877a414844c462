/**
 * What reliability costs while nothing fails: Malla as it is beside Malla with retries, second attempts,
 * timeouts, failure accrual and a concurrency limit configured, on the same closed loop.
 */

import type { Bench } from "../bench.ts";
import { runH2load } from "../load/h2load.ts";
import { runWrk } from "../load/wrk.ts";
import { table } from "../sample.ts";
import { LOOP_COLUMNS, settledLoops, warm } from "./closed-loop.ts";

const CONNECTIONS = 32;

/** Runs the scenario. */
export async function reliable(bench: Bench): Promise<void> {
  const planes = [await bench.startPlane("malla"), await bench.startReliable()];
  for (const [name, load] of [["HTTP/1", runWrk], ["gRPC", runH2load]] as const) {
    await warm(planes, load);
    const samples = await settledLoops(bench, planes, load, CONNECTIONS);
    bench.report(table(`${name}, ${CONNECTIONS} connections`, samples, LOOP_COLUMNS, ["malla"]));
  }
  await bench.stopPlanes(planes);
}
