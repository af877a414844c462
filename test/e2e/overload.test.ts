/**
 * Replicas that are asked for twice what they can do, by clients that give up, with and without a limit
 * before them; and replicas that stall now and then, with and without second attempts. Each is switched on
 * by an annotation. A replica is gunicorn, whose workers take one request at a time and whose queue is the
 * kernel's; vegeta asks at a steady rate, however long answers take.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { installVegeta } from "../bench/tools.ts";
import { whyNoGo } from "../support/go-fixtures.ts";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { serviceManifest } from "../support/nginx-pods.ts";
import { requestsOf } from "../support/wrk.ts";

const LONG_MS = 180_000;
const REPLICAS = 2;
const WORKERS = 4;
const TIMEOUT_MS = 1_000;
/** What becomes of those of the second half counts, when all has settled. */
const SECONDS = 8;
/** Each worker's answer takes so long. */
const WORK = "taking(0.05)";
/** The share of answers that take half a second more. */
const STALLS = 0.03;

/** What became of the requests that count. */
interface Outcome {
  readonly good: number;
  readonly shed: number;
  readonly late: number;
  /** Times of the good ones in milliseconds, the shortest first. */
  readonly times: readonly number[];
}

/** A line of vegeta's; the status is 0 where there was no answer. */
interface Hit {
  readonly seq: number;
  readonly code: number;
  /** In nanoseconds. */
  readonly latency: number;
}

const reason = whyNoMesh("gunicorn", "wrk") ?? whyNoGo();
if (reason !== undefined) console.log(`skipping overload: ${reason}`);

describe.skipIf(reason !== undefined)("by annotations", () => {
  const laptop = new Laptop("self");
  let clients = 0;
  let vegeta = "";

  beforeAll(async () => {
    vegeta = await installVegeta();
    laptop.copy("overload");
    for (let i = 0; i < REPLICAS; i++) {
      pod(`plain-${i}`, "plain", WORKERS, WORK);
      pod(`limited-${i}`, "limited", WORKERS, WORK, {
        "config.malla.dev/proxy-inbound-concurrency-limit": "adaptive",
      });
    }
    for (let i = 0; i < 3; i++) pod(`stalling-${i}`, "stalling", 8, `taking(0.005, ${STALLS})`);
    laptop.write("service-stalling.json", serviceManifest("stalling", "stalling"));
    laptop.write(
      "service-hedged.json",
      serviceManifest("hedged", "stalling", { "retry.malla.dev/hedge-after": "50ms" }),
    );
    laptop.write("service-plain.json", serviceManifest("plain", "plain"));
    laptop.write("service-limited.json", serviceManifest("limited", "limited"));
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  function pod(
    name: string,
    app: string,
    workers: number,
    work: string,
    annotations: Record<string, string> = {},
  ): void {
    const words = ["--workers", String(workers), "--bind", "0.0.0.0:80", "--backlog", "4096"];
    const command = ["gunicorn", ...words, "--chdir", "app", `app:${work}`];
    laptop.write(
      `${name}.json`,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, labels: { app }, annotations },
        spec: {
          containers: [{
            name: "gunicorn",
            image: "gunicorn",
            command,
            ports: [{ containerPort: 80 }],
            readinessProbe: { tcpSocket: { port: 80 } },
          }],
        },
      }),
    );
  }

  async function client(...command: string[]): Promise<string> {
    const { out, err } = await laptop.run("run", `load-${++clients}`, "--", ...command);
    return out + err;
  }

  /** Asks a service so many times a second. */
  async function steady(service: string, rate: number): Promise<Outcome> {
    const words = `-rate=${rate}/1s -duration=${2 * SECONDS}s -timeout=${TIMEOUT_MS}ms`;
    const target = `echo 'GET http://${service}/'`;
    const lines = await client(
      "sh",
      "-c",
      `${target} | ${vegeta} attack ${words} | ${vegeta} encode`,
    );
    const hits = [...lines.matchAll(/^\{"attack".*\}$/gm)].map(([line]) => JSON.parse(line) as Hit);
    const counted = hits.filter(({ seq }) => seq >= rate * SECONDS);
    expect(counted.length).toBe(rate * SECONDS);
    const good = counted.filter(({ code }) => code === 200);
    return {
      good: good.length,
      shed: counted.filter(({ code }) => code === 503).length,
      late: counted.filter(({ code }) => code === 0).length,
      times: good.map(({ latency }) => latency / 1e6).sort((a, b) => a - b),
    };
  }

  /** Requests a second that a service answers when nobody waits: as many connections as workers. */
  async function capacityOf(service: string): Promise<number> {
    const connections = `-c${REPLICAS * WORKERS * 2}`;
    return requestsOf(await client("wrk", "-t1", connections, "-d5s", `http://${service}/`)) / 5;
  }

  test("goodput stays with a limit and collapses without", async () => {
    const before = await capacityOf("plain");
    const asked = Math.round(2 * before);
    const limited = await steady("limited", asked);
    // A machine that others use as well may have become slower in between.
    const capacity = Math.min(before, await capacityOf("plain"));
    const plain = await steady("plain", asked);
    const share = ({ good }: Outcome) => good / SECONDS / capacity;
    const p99 = p99Of(limited);
    console.log(
      `capacity ${capacity.toFixed(0)}/s, asked ${asked}/s: ${(100 * share(plain)).toFixed(0)} % ` +
        `without a limit, ${(100 * share(limited)).toFixed(0)} % with, p99 ${p99.toFixed(0)} ms`,
    );
    expect(share(limited)).toBeGreaterThan(0.9);
    expect(share(plain)).toBeLessThan(0.4);
    expect(p99).toBeLessThan(0.6 * TIMEOUT_MS);
    // What is not answered is told so, and nobody waits in vain.
    expect(limited.shed).toBeGreaterThan(limited.good / 2);
    expect(limited.late).toBeLessThan(0.05 * limited.good);
  }, LONG_MS);

  test("second attempts hide replicas that stall now and then", async () => {
    const plain = await steady("stalling", 100);
    const hedged = await steady("hedged", 100);
    console.log(
      `p99 ${p99Of(plain).toFixed(0)} ms without second attempts, ${
        p99Of(hedged).toFixed(0)
      } ms with`,
    );
    expect(p99Of(plain)).toBeGreaterThan(450);
    expect(p99Of(hedged)).toBeLessThan(0.5 * p99Of(plain));
    expect(hedged.good).toBeGreaterThan(0.99 * 100 * SECONDS);
  }, LONG_MS);
});

function p99Of({ times }: Outcome): number {
  return times[Math.floor(0.99 * times.length)] ?? Infinity;
}
