/**
 * Reliability outside the application, switched on by annotations: nginx behind, h2load and wrk in front,
 * each shown with and without.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import {
  COUNT_PORT,
  requestsCounted,
  serviceManifest,
  writeNginxPod,
} from "../support/nginx-pods.ts";

const LONG_MS = 180_000;
/** How long a try of a request to `steady` may take, and all tries together. */
const TRY_MS = 250;
const REQUEST_MS = 1_000;
/** nginx writes here what answers well. */
const GOOD = 'location / { return 200 "good\\n"; }';
/** Every other request is answered with 503. */
const HALF_BAD = {
  http: "split_clients $request_id $answer { 50% 503; * 200; }",
  server: 'location / { if ($answer = 503) { return 503; } return 200 "good\\n"; }',
};

const reason = whyNoMesh("nginx", "h2load", "wrk", "curl");
if (reason !== undefined) console.log(`skipping reliability: ${reason}`);

describe.skipIf(reason !== undefined)("by annotations", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    for (let i = 0; i < 3; i++) {
      writeNginxPod(laptop, {
        name: `flaky-${i}`,
        app: "flaky",
        ...i === 0 ? HALF_BAD : { server: GOOD },
      });
      writeNginxPod(laptop, { name: `steady-${i}`, app: "steady", server: GOOD });
    }
    service("flaky-plain", "flaky");
    service("flaky", "flaky", { "retry.linkerd.io/http": "5xx" });
    service("wrong", "flaky", {
      "retry.linkerd.io/http": "5xx",
      "retry.linkerd.io/limit": "1000000",
      "timeout.linkerd.io/request": "0s",
    });
    service("steady-plain", "steady");
    service("steady", "steady", {
      "retry.linkerd.io/http": "gateway-error",
      "retry.linkerd.io/limit": "2",
      "retry.linkerd.io/timeout": `${TRY_MS}ms`,
      "timeout.linkerd.io/request": `${REQUEST_MS}ms`,
      "balancer.linkerd.io/failure-accrual": "consecutive",
      "balancer.linkerd.io/failure-accrual-consecutive-max-failures": "2",
      "balancer.linkerd.io/failure-accrual-consecutive-min-penalty": "500ms",
    });
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  function service(name: string, app: string, annotations: Record<string, string> = {}): void {
    laptop.write(`service-${name}.json`, serviceManifest(name, app, annotations));
  }

  /** Runs a shell command as a pod of its own to its end. */
  async function client(script: string): Promise<string> {
    const { out, err } = await laptop.run("run", `client-${++clients}`, "--", "sh", "-c", script);
    return out + err;
  }

  /** How many requests nginx in these pods has counted while that ran. */
  async function counted<T>(
    pods: readonly string[],
    run: () => Promise<T>,
  ): Promise<[number, T]> {
    const total = () => {
      const pages = pods.map((name) =>
        laptop.inside("curl", "-s", `http://${laptop.podIp(name)}:${COUNT_PORT}/`)
      );
      return pages.reduce((sum, page) => sum + requestsCounted(page), 0);
    };
    const before = total();
    const result = await run();
    // The questions themselves are counted as well.
    return [total() - before - pods.length, result];
  }

  /** So many requests by 8 connections; how many were answered with 2xx and with 5xx. */
  async function load(
    url: string,
    requests: number,
    clients = 8,
  ): Promise<{ good: number; bad: number }> {
    const text = await client(`h2load --h1 -n ${requests} -c ${clients} -t 1 ${url}`);
    const [, good, bad] = /status codes: (\d+) 2xx, \d+ 3xx, \d+ 4xx, (\d+) 5xx/.exec(text) ?? [];
    if (good === undefined) throw new Error(text);
    return { good: Number(good), bad: Number(bad) };
  }

  /** Requests that the proxy of a pod has sent to another one. */
  const sent = (from: string, to: string) =>
    laptop.metric(from, "request_total", `dst_pod="${to}"`);

  test("one of three replicas fails half of its requests: callers see none of it", async () => {
    const REQUESTS = 3_000;
    const pods = ["flaky-0", "flaky-1", "flaky-2"];
    const [plainSent, plain] = await counted(pods, () => load("http://flaky-plain/", REQUESTS));
    // Without retries what the replica fails, its callers see.
    expect(plain.bad).toBeGreaterThan(0.002 * REQUESTS);
    expect([plainSent, plain.good + plain.bad]).toEqual([REQUESTS, REQUESTS]);
    const [retriedSent, retried] = await counted(pods, () => load("http://flaky/", REQUESTS));
    console.log(`callers saw ${plain.bad} failures without retries, ${retried.bad} with`);
    expect(retried.good).toBeGreaterThanOrEqual(0.999 * REQUESTS);
    // A fifth of the requests, and 10 a second over 10 seconds.
    const extra = retriedSent - REQUESTS;
    expect(extra).toBeGreaterThan(retried.bad);
    expect(extra).toBeLessThanOrEqual(0.2 * REQUESTS + 100);
  }, LONG_MS);

  test("an annotation with a wrong value is named in the log, and the others hold", async () => {
    await laptop.says(/Service default\/wrong.*Annotation retry\.linkerd\.io\/limit is .*1000000/);
    await laptop.says(/Service default\/wrong.*Annotation timeout\.linkerd\.io\/request is .*0s/);
    const [sentOn, { good }] = await counted(
      ["flaky-0", "flaky-1", "flaky-2"],
      () => load("http://wrong/", 1_000),
    );
    // Without a limit there would still be the budget; a time of nothing would end all of them.
    expect(good).toBeGreaterThanOrEqual(999);
    expect(sentOn).toBeLessThanOrEqual(1.2 * 1_000 + 100);
  }, LONG_MS);

  test("stat tells what callers saw from what the replicas did", async () => {
    const asking = client("wrk -t1 -c4 -d20s http://flaky/");
    let effective = 0;
    let actual = 0;
    await until(async () => {
      const { out } = await laptop.run("stat", "svc", "flaky", "-o", "wide");
      expect(out).toMatch(/EFFECTIVE_SUCCESS +EFFECTIVE_RPS +ACTUAL_SUCCESS +ACTUAL_RPS/);
      const row = /^flaky +\S+ +([\d.]+)% +\S+ +([\d.]+)% /m.exec(out);
      [effective, actual] = [Number(row?.[1]), Number(row?.[2])];
      return effective > actual && actual > 0;
    });
    console.log(`callers saw ${effective} % succeed, the replicas answered ${actual} % well`);
    await asking;
  }, LONG_MS);

  /** The time of each of 300 requests by 12 curls at a time, in seconds, the longest first. */
  async function times(service: string): Promise<number[]> {
    const curl = `curl -s -m 5 -o /dev/null -w '%{time_total}\\n' http://${service}/`;
    const text = await client(`seq 300 | xargs -P 12 -I{} ${curl}; true`);
    const found = [...text.matchAll(/^(\d+\.\d+)$/gm)].map(([, seconds]) => Number(seconds));
    expect(found.length).toBe(300);
    return found.sort((a, b) => b - a);
  }

  test("one of three replicas hangs: callers wait no longer than they must", async () => {
    const hanging = laptop.process(/ app\/steady-1\.conf /);
    process.kill(hanging, "SIGSTOP");
    try {
      const [plain, bounded] = [await times("steady-plain"), await times("steady")];
      const [longest, p99] = [
        (found: number[]) => found[0] ?? 0,
        (found: number[]) => found[3] ?? 0,
      ];
      console.log(
        `p99 ${p99(plain)} s, the longest ${longest(plain)} s without annotations; ` +
          `p99 ${p99(bounded)} s, the longest ${longest(bounded)} s with`,
      );
      // Without annotations some wait until they give up, with them nobody above the request's timeout.
      expect(longest(plain)).toBeGreaterThan(4.9);
      expect(longest(bounded)).toBeLessThan(1.5);
      // A tenth more for what curl does before it asks: the look-up of the name and a connection.
      expect(p99(bounded)).toBeLessThan(1.1 * REQUEST_MS / 1_000);
    } finally {
      process.kill(hanging, "SIGCONT");
    }
  }, LONG_MS);

  /** Replicas that a pod's proxy leaves alone. */
  const leftAlone = (pod: string) =>
    laptop.metric(pod, "outbound_http_balancer_endpoints", 'endpoint_state="pending"');

  test("it is left alone at once, and taken back when it heals", async () => {
    const load = laptop.start([
      "run",
      "caller",
      "--",
      "wrk",
      "-t1",
      "-c8",
      "-d90s",
      "http://steady/",
    ]);
    const hanging = laptop.process(/ app\/steady-1\.conf /);
    const others = () => sent("caller", "steady-0") + sent("caller", "steady-2");
    await until(() => laptop.podIp("caller") !== undefined && sent("caller", "steady-1") > 100);
    process.kill(hanging, "SIGSTOP");
    try {
      const stoppedAt = performance.now();
      await until(() => leftAlone("caller") === 1);
      // Nobody can know before the first try has taken too long.
      const afterMs = performance.now() - stoppedAt - TRY_MS;
      console.log(`left alone ${afterMs.toFixed(0)} ms after the first failure`);
      expect(afterMs).toBeLessThan(1_000);
      // Others get two thousand while it gets at most a probe.
      let mark = { own: sent("caller", "steady-1"), others: others() };
      await until(() => {
        const now = { own: sent("caller", "steady-1"), others: others() };
        if (now.own > mark.own + 1) mark = now;
        return now.others > mark.others + 2_000;
      });
    } finally {
      process.kill(hanging, "SIGCONT");
    }
    const before = sent("caller", "steady-1");
    await until(() => sent("caller", "steady-1") > before + 1_000);
    load.child.kill("SIGINT");
    await load.ended;
  }, LONG_MS);
});
