/** One measured run of wrk against a data plane, and what it cost. */

import { cpuMicros, memory } from "../../support/lab.ts";
import type { DataPlane } from "./place.ts";

/** The figures of one run. */
export interface Sample {
  readonly requestsPerSecond: number;
  /** CPU of both proxies, user and kernel, per request. */
  readonly cpuMicros: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the larger proxy. */
  readonly residentMb: number;
  readonly privateMb: number;
  /** Answers other than 2xx and socket errors. */
  readonly errors: number;
}

/** Runs wrk with so many connections for so long. */
export async function measure(
  plane: DataPlane,
  connections: number,
  seconds: number,
): Promise<Sample> {
  const { place } = plane;
  const before = total(plane);
  const wrk = place.client.start([
    ...["wrk", "-t", "1", "-c", String(connections), "-d", `${seconds}s`, "--latency", plane.url],
  ], { core: place.loadCore });
  await wrk.exited;
  const text = await wrk.output();
  const requests = Number(/(\d+) requests in/.exec(text)?.[1]);
  if (!(requests > 0)) throw new Error(`wrk got no answer from ${plane.name}:\n${text}`);
  const sizes = plane.proxies.map((proxy) => memory(proxy.pid));
  return {
    requestsPerSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    cpuMicros: (total(plane) - before) / requests,
    p50Ms: latencyMs(text, "50%"),
    p99Ms: latencyMs(text, "99%"),
    residentMb: Math.max(0, ...sizes.map((size) => size.residentMb)),
    privateMb: Math.max(0, ...sizes.map((size) => size.privateMb)),
    errors: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0) + socketErrors(text),
  };
}

function total(plane: DataPlane): number {
  return plane.proxies.reduce((sum, proxy) => sum + cpuMicros(proxy.pid), 0);
}

function latencyMs(text: string, percentile: string): number {
  const match = new RegExp(`${percentile}\\s+([\\d.]+)(us|ms|s)`).exec(text);
  const scale = { us: 0.001, ms: 1, s: 1000 }[match?.[2] ?? "ms"] ?? 1;
  return Number(match?.[1]) * scale;
}

function socketErrors(text: string): number {
  const match = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return (match ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0);
}
