/**
 * Closed loop of unary gRPC calls (h2load): as many HTTP/2 connections as asked for, one call at a time
 * on each, so that it compares with wrk.
 */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { type DataPlane, GRPC_PATH, LOAD_CORE } from "../place.ts";
import { cpuOf, cpuSince, quantile, type Sample } from "../sample.ts";
import type { LoopOptions } from "./wrk.ts";

/** A message of two bytes behind its prefix. */
const CALL = "\0\0\0\0\x02hi";

/** Calls a second, latencies and CPU of one run. */
export async function runH2load(plane: DataPlane, options: LoopOptions): Promise<Sample> {
  const { connections, seconds } = options;
  const { home } = plane.place.lab;
  const [call, log] = [`${home}/call`, `${home}/h2load-${plane.place.name}`];
  writeFileSync(call, CALL);
  rmSync(log, { force: true });
  const before = cpuOf(plane);
  const load = plane.place.client.start([
    ...["h2load", "-c", String(connections), "-m", "1", "-D", String(seconds), "-d", call],
    ...["-H", "content-type: application/grpc", "-H", "te: trailers", `--log-file=${log}`],
    `http://${plane.ways.http2}${GRPC_PATH}`,
  ], { core: LOAD_CORE });
  await load.exited;
  const text = await load.output();
  const done = Number(/(\d+) succeeded/.exec(text)?.[1]);
  if (!(done > 0)) throw new Error(`h2load got no answer from ${plane.name}:\n${text}`);
  const latencies = latenciesMs(log);
  return {
    requestsPerSecond: Number(/finished in [\d.]+m?s, ([\d.]+) req/.exec(text)?.[1]),
    ...cpuSince(plane, before, done),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    failures: Number(/(\d+) failed/.exec(text)?.[1]),
  };
}

/** In rising order. Each line of the log: start in µs, status, µs to the response's end. */
function latenciesMs(log: string): number[] {
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  return lines.map((line) => Number(line.split("\t")[2]) / 1000).sort((a, b) => a - b);
}
