/**
 * New connections: how many a second, where each opaque one is a handshake of mutual TLS between the
 * proxies (for HTTP/1 they share connections, so only the application's side is new), and what a burst
 * of 1,000 opaque ones does to requests that are under way at a fixed rate.
 */

import type { Bench } from "../bench.ts";
import { runBurst } from "../load/burst.ts";
import { attack, latenciesOf } from "../load/vegeta.ts";
import { runWrk } from "../load/wrk.ts";
import type { DataPlane } from "../place.ts";
import { type Column, interleave, type Sample, table } from "../sample.ts";

const CONNECTIONS = 32;
const WARM_SECONDS = 5;
const SETTLE_SECONDS = 1;
const BURST = 1_000;
const RATE_PER_SECOND = 500;
/** The burst comes after this time of a run that lasts so long. */
const BURST_AFTER_MS = 1_000;
const BURST_RUN_SECONDS = 6;

const RATES: readonly Column[] = [
  { key: "requestsPerSecond", title: "connections/s", digits: 0, ratio: true },
  { key: "cpuMicros", title: "CPU µs/connection", digits: 0, ratio: true },
  { key: "userMicros", title: "user", digits: 0 },
  { key: "kernelMicros", title: "kernel", digits: 0 },
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "failures", title: "failures", digits: 0 },
];

const BURSTS: readonly Column[] = [
  { key: "burstMs", title: "burst ms", digits: 0, ratio: true },
  { key: "p50Ms", title: "requests meanwhile: p50 ms", digits: 2, ratio: true },
  { key: "p99Ms", title: "p99 ms", digits: 1, ratio: true },
  { key: "calmP99Ms", title: "p99 ms before", digits: 2 },
  { key: "burstFailures", title: "failed connections", digits: 0 },
  { key: "failures", title: "failed requests", digits: 0 },
];

/** Runs the scenario. */
export async function newConnections(bench: Bench): Promise<void> {
  const { rounds, seconds } = bench.options;
  const planes = await bench.startPlanes();
  for (const [title, way] of [["HTTP/1", "http1"], ["opaque, mutual TLS", "opaque"]] as const) {
    const load = (plane: DataPlane, seconds: number) =>
      runWrk(plane, { connections: CONNECTIONS, seconds, closing: true, way });
    for (const plane of planes) await load(plane, WARM_SECONDS);
    const samples = await interleave(planes, rounds, async (plane) => {
      await load(plane, SETTLE_SECONDS);
      return await load(plane, seconds);
    });
    bench.report(table(`New connections, ${title}, ${CONNECTIONS} at a time`, samples, RATES));
  }
  const samples = await interleave(planes, rounds, (plane) => burst(bench, plane));
  bench.report(
    table(`${BURST} new connections at once, ${RATE_PER_SECOND} requests/s`, samples, BURSTS),
  );
  await bench.stopPlanes(planes);
}

async function burst(bench: Bench, plane: DataPlane): Promise<Sample> {
  const { vegeta: program } = bench.options;
  const running = attack(plane, {
    ratePerSecond: RATE_PER_SECOND,
    seconds: BURST_RUN_SECONDS,
    program,
  });
  await Bun.sleep(BURST_AFTER_MS);
  const { startedMs, endedMs, failures } = await runBurst(plane, BURST);
  const results = await running;
  const meanwhile = results.filter(({ atMs, latencyMs }) =>
    atMs + latencyMs >= startedMs && atMs <= endedMs
  );
  const before = results.filter(({ atMs, latencyMs }) => atMs + latencyMs < startedMs);
  return {
    ...latenciesOf(meanwhile),
    calmP99Ms: latenciesOf(before)["p99Ms"] ?? NaN,
    burstMs: endedMs - startedMs,
    burstFailures: failures,
  };
}
