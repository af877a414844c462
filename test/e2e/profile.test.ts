/**
 * ServiceProfiles on a laptop: nginx behind, h2load and curl in front, each thing that a profile says shown
 * with and without it. `plain` and `web` are the same pods; `web` has a profile.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Laptop, whyNoMesh } from "../support/laptop.ts";
import { until } from "../support/malla.ts";
import {
  COUNT_PORT,
  type NginxPod,
  profileManifest,
  requestsCounted,
  serviceManifest,
  writeNginxPod,
} from "../support/nginx-pods.ts";

const LONG_MS = 120_000;
const REQUESTS = 1_000;
const CLIENTS = 8;
/** Retries that are always allowed, and the share of requests. */
const RATIO = 0.5;
const PER_SECOND = 20;
const TTL_SECONDS = 10;

/** Half of the answers are another one; `/hang` asks somebody who does not answer. */
const WEB: Pick<NginxPod, "http" | "server"> = {
  http: "split_clients $request_id $half { 50% 1; * 0; }",
  server: `
    location = /flaky { if ($half) { return 503; } return 200 "good\\n"; }
    location = /flaky/not-retried { if ($half) { return 503; } return 200 "good\\n"; }
    location = /missing { if ($half) { return 404; } return 200 "good\\n"; }
    location = /down { return 503; }
    location = /hang { proxy_pass http://stuck; }
    location / { return 200 "good\\n"; }`,
};

const PROFILE = {
  routes: [
    { name: "hang", condition: { pathRegex: "/hang" }, timeout: "300ms" },
    { name: "flaky", condition: { method: "GET", pathRegex: "/flaky" }, isRetryable: true },
    {
      name: "missing",
      condition: { pathRegex: "/miss.*" },
      isRetryable: true,
      responseClasses: [{ condition: { status: { min: 404, max: 404 } }, isFailure: true }],
    },
    { name: "down", condition: { pathRegex: "/down" }, isRetryable: true },
    { name: "wrong", condition: { pathRegex: "/(?!wrong)" }, timeout: "1ms" },
    { name: "never", condition: { pathRegex: "/never" }, timeout: "0s", isRetryable: true },
  ],
  retryBudget: { retryRatio: RATIO, minRetriesPerSecond: PER_SECOND, ttl: `${TTL_SECONDS}s` },
};

const reason = whyNoMesh("nginx", "h2load", "curl");
if (reason !== undefined) console.log(`skipping service profiles: ${reason}`);

describe.skipIf(reason !== undefined)("by a ServiceProfile", () => {
  const laptop = new Laptop("self");
  let clients = 0;

  beforeAll(async () => {
    writeNginxPod(laptop, { name: "web", app: "web", ...WEB });
    writeNginxPod(laptop, {
      name: "stuck",
      app: "stuck",
      server: 'location / { return 200 "late\\n"; }',
    });
    writeNginxPod(laptop, {
      name: "other",
      app: "other",
      server: 'location / { return 200 "other\\n"; }',
    });
    // A caller that stays, so that its proxy can be asked what it has counted.
    writeNginxPod(laptop, {
      name: "front",
      app: "front",
      server: `location / { proxy_pass http://web; proxy_http_version 1.1; }`,
    });
    for (const name of ["stuck", "other", "front", "web"]) service(name, name);
    service("plain", "web");
    laptop.write("profile-web.json", profileManifest("web", PROFILE));
    await laptop.up();
  }, LONG_MS);

  afterAll(() => laptop.clean());

  function service(name: string, app: string): void {
    laptop.write(`service-${name}.json`, serviceManifest(name, app));
  }

  /** Runs a shell command as a pod of its own to its end. */
  async function client(script: string): Promise<string> {
    const { out, err } = await laptop.run("run", `client-${++clients}`, "--", "sh", "-c", script);
    return out + err;
  }

  /** So many requests; how many failed, how many nginx has got, and how many a budget allows. */
  async function load(url: string): Promise<{ bad: number; sent: number; allowed: number }> {
    const beganAt = performance.now();
    const before = counted();
    const text = await client(`h2load --h1 -n ${REQUESTS} -c ${CLIENTS} -t 1 ${url}`);
    const [, good, third, fourth, fifth] =
      /status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx/.exec(text) ?? [];
    if (good === undefined) throw new Error(text);
    const bad = Number(third) + Number(fourth) + Number(fifth);
    // The question itself is counted as well.
    const sent = counted() - before - 1;
    const seconds = TTL_SECONDS + (performance.now() - beganAt) / 1_000;
    return { bad, sent, allowed: (1 + RATIO) * REQUESTS + PER_SECOND * seconds };
  }

  function counted(): number {
    const url = `http://${laptop.podIp("web")}:${COUNT_PORT}/`;
    return requestsCounted(laptop.inside("curl", "-s", url));
  }

  test("isRetryable: callers see less of a backend that fails, on that route alone", async () => {
    const plain = await load("http://plain/flaky");
    expect(plain.bad).toBeGreaterThan(0.4 * REQUESTS);
    expect(plain.sent).toBe(REQUESTS);
    const retried = await load("http://web/flaky");
    console.log(`${plain.bad} of ${REQUESTS} failed without a profile, ${retried.bad} with`);
    // The budget allows half a retry for each request: of half of them that fail nearly all succeed.
    expect(retried.bad).toBeLessThan(0.5 * plain.bad);
    expect(retried.sent).toBeGreaterThan(REQUESTS + 0.3 * REQUESTS);
    expect(retried.sent).toBeLessThanOrEqual(retried.allowed);
    const other = await load("http://web/flaky/not-retried");
    expect(other.bad).toBeGreaterThan(0.4 * REQUESTS);
    expect(other.sent).toBe(REQUESTS);
  }, LONG_MS);

  test("responseClasses: what counts as a failure is asked for again", async () => {
    const plain = await load("http://plain/missing");
    expect(plain.bad).toBeGreaterThan(0.4 * REQUESTS);
    const retried = await load("http://web/missing");
    expect(retried.bad).toBeLessThan(0.5 * plain.bad);
    expect(retried.sent).toBeGreaterThan(1.3 * REQUESTS);
  }, LONG_MS);

  test("retryBudget: a route that is down gets no more than that", async () => {
    const plain = await load("http://plain/down");
    expect([plain.bad, plain.sent]).toEqual([REQUESTS, REQUESTS]);
    const retried = await load("http://web/down");
    console.log(`${REQUESTS} requests of a route that is down became ${retried.sent}`);
    expect(retried.bad).toBe(REQUESTS);
    expect(retried.sent).toBeGreaterThan(1.2 * REQUESTS);
    expect(retried.sent).toBeLessThanOrEqual(retried.allowed);
  }, LONG_MS);

  test("timeout: callers of that route wait no longer, callers of others do", async () => {
    const hanging = laptop.process(/ app\/stuck\.conf /);
    process.kill(hanging, "SIGSTOP");
    try {
      const ask = "curl -s -m 4 -o /dev/null -w '%{http_code} %{time_total}\\n'";
      const [, plain] = /^000 ([\d.]+)$/m.exec(await client(`${ask} http://plain/hang; true`)) ??
        [];
      expect(Number(plain)).toBeGreaterThan(3.9);
      const [, timed] = /^504 ([\d.]+)$/m.exec(await client(`${ask} http://web/hang; true`)) ?? [];
      console.log(`waited ${plain} s without a profile, ${timed} s with`);
      expect(Number(timed)).toBeWithin(0.29, 2);
    } finally {
      process.kill(hanging, "SIGCONT");
    }
  }, LONG_MS);

  test(
    "its routes are in the caller's metrics, with what their clients got and what was tried",
    async () => {
      const ask = "curl -s -o /dev/null http://front/flaky; curl -s -o /dev/null http://front/x";
      await client(`for i in $(seq 20); do ${ask}; done`);
      const route = 'rt_route="flaky"';
      const dst = 'dst="web.default.svc.cluster.local:80"';
      await until(() => laptop.metric("front", "route_response_total", route, dst) === 20);
      expect(laptop.metric("front", "route_request_total", route, dst)).toBe(20);
      expect(laptop.metric("front", "route_response_total", route, 'classification="success"'))
        .toBe(20);
      const tries = laptop.metric("front", "route_actual_response_total", route);
      expect(tries).toBeGreaterThan(20);
      expect(laptop.metric("front", "route_retryable_total", route)).toBe(tries - 20);
      // What no route takes is counted without one.
      expect(laptop.metric("front", "route_request_total", dst)).toBe(40);
    },
    LONG_MS,
  );

  test("what is wrong is named in the log, and the rest holds", async () => {
    await laptop.says(/spec\.routes\[4\] \(\\?"wrong\\?"\).*Cannot read a pattern/);
    await laptop.says(/spec\.routes\[5\] \(\\?"never\\?"\)\.timeout is \\?"0s\\?"/);
    // A timeout of 1 ms for all that is not `wrong` would end these.
    expect(await client("curl -s http://web/never")).toContain("good");
  }, LONG_MS);

  test(
    "dstOverrides: a part of the traffic goes to another Service while the manifest says so",
    async () => {
      const ask = (n: number) => client(`for i in $(seq ${n}); do curl -s http://plain/; done`);
      const parts = (
        text: string,
      ) => [text.split("good").length - 1, text.split("other").length - 1];
      expect(parts(await ask(50))).toEqual([50, 0]);
      const authority = (name: string) => `${name}.default.svc.cluster.local`;
      laptop.write(
        "profile-plain.json",
        profileManifest("plain", {
          dstOverrides: [
            { authority: authority("plain"), weight: "500m" },
            { authority: authority("other"), weight: "500m" },
          ],
        }),
      );
      let split = [0, 0];
      await until(async () => {
        split = parts(await ask(100));
        return (split[1] ?? 0) > 0;
      });
      split = parts(await ask(200));
      console.log(`of 200 requests ${split[0]} and ${split[1]} went to the two halves`);
      expect(split[0]).toBeWithin(60, 141);
      expect((split[0] ?? 0) + (split[1] ?? 0)).toBe(200);
      laptop.remove("profile-plain.json");
      await until(async () => (parts(await ask(50))[1] ?? 0) === 0);
    },
    LONG_MS,
  );
});
