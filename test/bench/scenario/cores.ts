/**
 * Two cores against one, for each peer by itself: new opaque connections (a handshake of mutual TLS
 * each), and requests over HTTP/1. With two cores the load has none of its own on a machine of two, so
 * the figures are comparable among the peers only.
 */

import type { Bench } from "../bench.ts";
import { type LoopOptions, runWrk } from "../load/wrk.ts";
import type { TwoHops } from "../place.ts";
import { type Column, interleave, table } from "../sample.ts";

const WARM_SECONDS = 10;
const SETTLE_SECONDS = 1;

const COLUMNS: readonly Column[] = [
  { key: "requestsPerSecond", title: "a second", digits: 0, ratio: true },
  { key: "cpuMicros", title: "CPU µs each", digits: 1, ratio: true },
  { key: "p50Ms", title: "p50 ms", digits: 2 },
  { key: "p99Ms", title: "p99 ms", digits: 2 },
  { key: "failures", title: "failures", digits: 0 },
];

const LOADS: readonly (readonly [string, Omit<LoopOptions, "seconds">])[] = [
  ["new opaque connections", { connections: 32, closing: true, way: "opaque" }],
  ["HTTP/1 requests, 128 connections", { connections: 128 }],
];

/** Runs the scenario. */
export async function cores(bench: Bench): Promise<void> {
  const { rounds, seconds, peers } = bench.options;
  for (const peer of peers.filter((name) => name !== "none")) {
    const planes = [await withCores(bench, peer, 1), await withCores(bench, peer, 2)];
    for (const [title, load] of LOADS) {
      for (const plane of planes) await runWrk(plane, { ...load, seconds: WARM_SECONDS });
      const samples = await interleave(planes, rounds, async (plane) => {
        await runWrk(plane, { ...load, seconds: SETTLE_SECONDS });
        return await runWrk(plane, { ...load, seconds });
      });
      bench.report(table(`${peer}: ${title}`, samples, COLUMNS, ["1 core"]));
    }
    await bench.stopPlanes(planes);
  }
}

async function withCores(bench: Bench, peer: string, cores: 1 | 2): Promise<TwoHops> {
  const plane = await bench.startPlane(peer, cores);
  return { ...plane, name: cores === 1 ? "1 core" : "2 cores" };
}
