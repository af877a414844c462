/**
 * A burst of connections: opens all at once, asks once on each and reads until the answer's end. Run by
 * itself, it prints when it began and when the last one was answered as a line of JSON.
 */

import { connect } from "node:net";
import { type DataPlane, LOAD_CORE } from "../place.ts";

/** What became of a burst; times are of the wall clock. */
export interface Burst {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly failures: number;
}

const REQUEST = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
const TIMEOUT_MS = 30_000;

if (import.meta.main) {
  const [, , host = "", port = "", count = "1"] = process.argv;
  const startedMs = Date.now();
  const all = Array.from({ length: Number(count) }, () => answered(host, Number(port)));
  const failures = (await Promise.all(all)).filter((isGood) => !isGood).length;
  console.log(JSON.stringify({ startedMs, endedMs: Date.now(), failures } satisfies Burst));
  process.exit(0);
}

/** Sends a burst from the client's namespace on the opaque way, where each is a connection of its own. */
export async function runBurst({ place, ways }: DataPlane, count: number): Promise<Burst> {
  const command = [process.execPath, import.meta.path, ...ways.opaque.split(":"), String(count)];
  const burst = place.client.start(command, { core: LOAD_CORE });
  await burst.exited;
  return JSON.parse(await burst.output()) as Burst;
}

function answered(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host, port }, () => socket.write(REQUEST));
    socket.setTimeout(TIMEOUT_MS, () => socket.destroy());
    socket.on("data", (chunk) => text += String(chunk));
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(text.startsWith("HTTP/1.1 200 ") && text.endsWith("ok\n")));
  });
}
