/** Throughput: 1 GB through one connection, as an HTTP/1 body, as an HTTP/2 body and as opaque TCP. */

import type { Bench } from "../bench.ts";
import { BIG_BYTES, type DataPlane, LOAD_CORE, type Way, WAYS } from "../place.ts";
import { type Column, cpuOf, cpuSince, interleave, type Sample, table } from "../sample.ts";

const MEGABYTE = 1_000_000;

const COLUMNS: readonly Column[] = [
  { key: "megabytesPerSecond", title: "MB/s", digits: 0, ratio: true },
  { key: "cpuMicros", title: "CPU µs/MB", digits: 0, ratio: true },
  { key: "userMicros", title: "user", digits: 0 },
  { key: "kernelMicros", title: "kernel", digits: 0 },
];

/** Runs the scenario. */
export async function bulk(bench: Bench): Promise<void> {
  const planes = await bench.startPlanes();
  for (const way of WAYS) {
    for (const plane of planes) await download(plane, way);
    const samples = await interleave(planes, bench.options.rounds, (plane) => download(plane, way));
    bench.report(table(`1 GB, ${way}`, samples, COLUMNS));
  }
  await bench.stopPlanes(planes);
}

async function download(plane: DataPlane, way: Way): Promise<Sample> {
  const before = cpuOf(plane);
  const curl = plane.place.client.start([
    ...["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download} %{time_total}"],
    ...(way === "http2" ? ["--http2-prior-knowledge"] : []),
    `http://${plane.ways[way]}/big`,
  ], { core: LOAD_CORE });
  const code = await curl.exited;
  const [bytes = 0, seconds = NaN] = (await curl.output()).split(" ").map(Number);
  if (code !== 0 || bytes !== BIG_BYTES) {
    throw new Error(`${plane.name}: ${bytes} bytes of ${way}, curl ended with ${code}`);
  }
  return {
    megabytesPerSecond: bytes / MEGABYTE / seconds,
    ...cpuSince(plane, before, bytes / MEGABYTE),
  };
}
