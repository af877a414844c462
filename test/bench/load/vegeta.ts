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

/** One request of a run. */
export interface Result {
  /** When it was sent, by the wall clock. */
  readonly atMs: number;
  readonly latencyMs: number;
  readonly isGood: boolean;
}

/** Latencies and CPU of one run over HTTP/1. */
export async function runVegeta(plane: DataPlane, options: OpenLoopOptions): Promise<Sample> {
  const before = cpuOf(plane);
  const results = await attack(plane, options);
  return { ...cpuSince(plane, before, results.length), ...latenciesOf(results) };
}

/** Every request of one run over HTTP/1, in the order in which they ended. */
export async function attack(plane: DataPlane, options: OpenLoopOptions): Promise<Result[]> {
  const { ratePerSecond, seconds, program } = options;
  const { client, name, lab } = plane.place;
  const file = `${lab.home}/vegeta-${name}`;
  const rate = `-rate=${Math.round(ratePerSecond)}/1s`;
  const vegeta = client.start([
    ...["sh", "-c", `echo "GET $0" | exec "$@"`, `http://${plane.ways.http1}/`],
    ...[program, "attack", "-max-body=0", rate, `-duration=${seconds}s`, `-output=${file}`],
    ...[`-connections=${CONNECTIONS_MAX}`, `-max-connections=${CONNECTIONS_MAX}`],
  ], { core: LOAD_CORE });
  if (await vegeta.exited !== 0) throw new Error(`vegeta: ${await vegeta.output()}`);
  run([program, "encode", "--to=csv", `--output=${file}.csv`, file]);
  const lines = readFileSync(`${file}.csv`, "utf8").trimEnd().split("\n");
  for (const done of [file, `${file}.csv`]) rmSync(done);
  return lines.map((line) => {
    // Time in ns, status, latency in ns, …
    const [at, status, latency] = line.split(",");
    return {
      atMs: Number(at) / 1e6,
      latencyMs: Number(latency) / 1e6,
      isGood: status === "200",
    };
  });
}

/** The percentiles of some requests, and how many failed. */
export function latenciesOf(results: readonly Result[]): Sample {
  const sorted = results.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b);
  return {
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
    p999Ms: quantile(sorted, 0.999),
    failures: results.filter(({ isGood }) => !isGood).length,
  };
}
