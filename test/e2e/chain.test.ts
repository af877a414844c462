/**
 * Retries along a chain of five services, each an nginx that passes requests to the next one and knows
 * nothing of retries; every hop asks again up to four times.
 *
 *     client ─▶ one ─▶ two ─▶ three ─▶ four ─▶ five, which fails
 *
 * Without a protection each hop would multiply what comes by its tries: 5 × 5 × 5 × 5 × 5, so that each
 * request of a client becomes 3,125 to the service that is in trouble. A budget of a fifth at each hop alone
 * would make 1.2⁵ = 2.5 of 1. What must hold is one budget for all of the chain, whoever spends it first,
 * and the few retries a second that each may always make. What it would be without one is shown last.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import {
  COUNT_PORT,
  profileManifest,
  requestsCounted,
  serviceManifest,
  writeNginxPod,
} from "../support/nginx-pods.ts";

const LONG_MS = 120_000;
const REQUESTS = 3_000;
const CLIENTS = 100;
/** Tries of each hop beside the first one. */
const LIMIT = 4;
/** In the order of a request. */
const CHAIN = ["one", "two", "three", "four", "five"];
/** The usual budget: a share of the requests, and retries a second that are always allowed. */
const RATIO = 0.2;
const PER_SECOND = 10;
const TTL_SECONDS = 10;

const LAST = {
  http: "split_clients $request_id $half { 50% 1; * 0; }",
  server: `
    location = /all { return 503; }
    location = /half { if ($half) { return 503; } return 200 "good\\n"; }
    location / { return 200 "good\\n"; }`,
};

/** How requests were answered, how many came to each service, and how long that took. */
interface Outcome {
  readonly good: number;
  readonly bad: number;
  readonly at: readonly number[];
  readonly seconds: number;
}

const reason = whyNoMesh("nginx", "h2load", "curl");
if (reason !== undefined) console.log(`skipping the chain: ${reason}`);

describe.skipIf(reason !== undefined)("along five services", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    for (const [i, name] of CHAIN.entries()) {
      const next = CHAIN[i + 1];
      const pass = `location / { proxy_pass http://${next}; proxy_http_version 1.1; }`;
      writeNginxPod(laptop, { name, app: name, ...next === undefined ? LAST : { server: pass } });
      const annotations = {
        "retry.linkerd.io/http": "503",
        "retry.linkerd.io/limit": String(LIMIT),
      };
      laptop.write(`service-${name}.json`, serviceManifest(name, name, annotations));
    }
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  /** How many requests nginx in a pod has counted. */
  function counted(pod: string): number {
    const url = `http://${laptop.podIp(pod)}:${COUNT_PORT}/`;
    return requestsCounted(laptop.inside("curl", "-s", url));
  }

  /** So many requests to a service: how they were answered, and what became of them on the way. */
  async function load(path: string, requests = REQUESTS, first = "one"): Promise<Outcome> {
    const beganAt = performance.now();
    const before = CHAIN.map(counted);
    const connections = Math.min(CLIENTS, requests);
    const script = `h2load --h1 -n ${requests} -c ${connections} -t 1 http://${first}${path}`;
    const { out } = await laptop.run("run", `client-${++clients}`, "--", "sh", "-c", script);
    const [, good, bad] = /status codes: (\d+) 2xx, \d+ 3xx, \d+ 4xx, (\d+) 5xx/.exec(out) ?? [];
    if (good === undefined) throw new Error(out);
    // The question itself is counted as well.
    const at = CHAIN.map((name, i) => counted(name) - (before[i] ?? 0) - 1);
    const seconds = (performance.now() - beganAt) / 1_000;
    return { good: Number(good), bad: Number(bad), at, seconds };
  }

  /** None may multiply what it gets, and all together no more than one may. */
  function expectBounded({ at, seconds }: Outcome): void {
    // A busy machine takes longer, and what may always be retried is so many a second.
    const always = CHAIN.length * PER_SECOND * (TTL_SECONDS + seconds);
    const most = Math.ceil((1 + RATIO) * (REQUESTS + always));
    for (const [i, requests] of at.entries()) {
      expect([CHAIN[i], Math.max(requests, most)]).toEqual([CHAIN[i], most]);
      expect(requests).toBeGreaterThanOrEqual(at[i - 1] ?? REQUESTS);
    }
  }

  test("whose last fails half of its requests, some are mended and none multiply", async () => {
    const outcome = await load("/half");
    const { good, bad, at } = outcome;
    console.log(
      `half fail: ${REQUESTS} requests became ${at.join(", ")}; ${bad} failed in the end`,
    );
    expectBounded(outcome);
    expect(good + bad).toBe(REQUESTS);
    // A retry mends every second failure.
    expect(bad).toBeLessThan((0.5 - RATIO / 4) * REQUESTS);
  }, LONG_MS);

  test("whose last fails all of them, retries stay within one budget", async () => {
    const outcome = await load("/all");
    const { bad, at } = outcome;
    console.log(`all fail: ${REQUESTS} requests became ${at.join(", ")}`);
    expect(bad).toBe(REQUESTS);
    expectBounded(outcome);
    expect(at.at(-1)).toBeGreaterThan(REQUESTS);
  }, LONG_MS);

  // Behind the others, since budgets remember good times for a while.
  test("that work again, nothing is sent twice", async () => {
    const { good, at } = await load("/");
    expect([good, ...at]).toEqual([REQUESTS, ...CHAIN.map(() => REQUESTS)]);
  }, LONG_MS);

  test("whose last fails all of them, each multiplies where it has no bound", async () => {
    // Three of them, since tries and the pauses between them take minutes along five.
    const hops = CHAIN.slice(2);
    const retryBudget = { retryRatio: 1_000, minRetriesPerSecond: 1_000_000, ttl: "10s" };
    for (const name of hops) {
      laptop.write(`profile-${name}.json`, profileManifest(name, { retryBudget }));
    }
    const requests = 20;
    const most = requests * (1 + LIMIT) ** hops.length;
    let sent: readonly number[] = [];
    // The proxies come to know of it one after another.
    await until(async () => {
      sent = (await load("/all", requests, hops[0])).at.slice(2);
      return sent.at(-1) === most;
    });
    console.log(`without a budget: ${requests} requests became ${sent.join(", ")}`);
    expect(sent).toEqual(hops.map((_, i) => requests * (1 + LIMIT) ** (i + 1)));
  }, LONG_MS);
});
