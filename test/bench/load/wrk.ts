/** Closed loop over HTTP/1 (wrk): each connection asks again as soon as it was answered. */

import { failuresOf, requestsOf } from "../../support/wrk.ts";
import { type DataPlane, LOAD_CORE, type Way } from "../place.ts";
import { cpuOf, cpuSince, type Sample } from "../sample.ts";

/** How a run is done. */
export interface LoopOptions {
  readonly connections: number;
  readonly seconds: number;
  /** A new connection for each request. */
  readonly closing?: true;
  /** The opaque way carries the same requests as bytes. */
  readonly way?: Way;
}

/** Requests a second, latencies and CPU of one run. */
export async function runWrk(plane: DataPlane, options: LoopOptions): Promise<Sample> {
  const { connections, seconds, closing, way = "http1" } = options;
  const before = cpuOf(plane);
  const wrk = plane.place.client.start([
    ...["wrk", "-t", "1", "-c", String(connections), "-d", `${seconds}s`, "--latency"],
    ...(closing ? ["-H", "Connection: close"] : []),
    `http://${plane.ways[way]}/`,
  ], { core: LOAD_CORE });
  await wrk.exited;
  const text = await wrk.output();
  const requests = requestsOf(text);
  if (!(requests > 0)) throw new Error(`wrk got no answer from ${plane.name}:\n${text}`);
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    ...cpuSince(plane, before, requests),
    p50Ms: latencyMs(text, "50%"),
    p99Ms: latencyMs(text, "99%"),
    failures: failuresOf(text),
  };
}

function latencyMs(text: string, percentile: string): number {
  const match = new RegExp(`${percentile}\\s+([\\d.]+)(us|ms|s)`).exec(text);
  const scale = { us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? "ms"] ?? 1;
  return Number(match?.[1]) * scale;
}
