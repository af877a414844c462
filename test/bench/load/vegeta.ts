/**
 * Open loop (vegeta): requests leave at a fixed rate, whatever became of the ones before, so that a stall
 * shows in the latency of all that came meanwhile.
 */

import { readFileSync, rmSync } from "node:fs";
import { run } from "../../support/lab.ts";
import { type DataPlane, LOAD_CORE } from "../place.ts";
import { cpuOf, cpuSince, quantile, type Sample } from "../sample.ts";

/** How a run is done. */
export interface OpenLoopOptions {
  readonly ratePerSecond: number;
  readonly seconds: number;
  /** vegeta's program. */
  readonly program: string;
}

/** Connections that may be open at a time; more only when requests wait for each other. */
const CONNECTIONS_MAX = 128;

/** Latencies and CPU of one run over HTTP/1. */
export async function runVegeta(plane: DataPlane, options: OpenLoopOptions): Promise<Sample> {
  const { ratePerSecond, seconds, program } = options;
  const { client, name, lab } = plane.place;
  const results = `${lab.home}/vegeta-${name}`;
  const rate = Math.round(ratePerSecond);
  const before = cpuOf(plane);
  const attack = client.start([
    ...["sh", "-c", `echo "GET $0" | exec "$@"`, `http://${plane.ways.http1}/`],
    ...[
      program,
      "attack",
      "-max-body=0",
      `-rate=${rate}/1s`,
      `-duration=${seconds}s`,
      `-output=${results}`,
    ],
    ...[`-connections=${CONNECTIONS_MAX}`, `-max-connections=${CONNECTIONS_MAX}`],
  ], { core: LOAD_CORE });
  if (await attack.exited !== 0) throw new Error(`vegeta: ${await attack.output()}`);
  const table = `${results}.csv`;
  run([program, "encode", "--to=csv", `--output=${table}`, results]);
  const lines = readFileSync(table, "utf8").trimEnd().split("\n");
  for (const file of [results, table]) rmSync(file);
  const latencies: number[] = [];
  let failures = 0;
  for (const line of lines) {
    // Time, status, latency in ns, …
    const [, status, nanos] = line.split(",");
    if (status !== "200") failures++;
    latencies.push(Number(nanos) / 1e6);
  }
  latencies.sort((a, b) => a - b);
  return {
    requestsPerSecond: rate,
    ...cpuSince(plane, before, lines.length),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99),
    p999Ms: quantile(latencies, 0.999),
    failures,
  };
}
