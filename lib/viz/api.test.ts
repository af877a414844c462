/** The API by hono's own requests, the scraper on a fake clock, the feed, and the page's files. */

import { describe, expect, test } from "bun:test";
import { httpLines, identityOf, VizWorld } from "../../test/support/viz-world.ts";
import { Fault } from "../base/fault.ts";
import type { Clock } from "../host/clock.ts";
import { silentLogger } from "../telemetry/logger.ts";
import { createApi, isOwnHost } from "./api.ts";
import { addPage, ASSETS } from "./assets.ts";
import { askHealth } from "./health.ts";
import { Scraper } from "./scraper.ts";

const TO_WEB = `direction="outbound",peer="dst",tls="true",server_id="${identityOf("web")}",` +
  'dst_deployment="web",dst_namespace="shop",dst_pod="web-1",dst_service="web"';

/** A clock whose timers a test rings by hand. */
function handClock(world: VizWorld) {
  const timers = new Set<() => void>();
  const clock: Clock = {
    nowMs: () => world.nowMs,
    monotonicMs: () => world.nowMs,
    after: () => ({ cancel() {} }),
    every(_period, call) {
      timers.add(call);
      return { cancel: () => void timers.delete(call) };
    },
    afterTurn: (call) => call(),
  };
  return { clock, timers };
}

/** The control plane and the proxies as a dashboard would reach them. */
const components = { identity: "10.0.0.9:9990", controller: "10.0.0.9:9996" };

function ask(url: string): Promise<{ status: number; text: string }> {
  if (url.startsWith("http://10.0.0.2")) {
    return Promise.reject(new Fault("unavailable", "connection refused"));
  }
  if (url.endsWith(":9996/ready")) {
    return Promise.resolve({ status: 503, text: "waiting for a certificate\n" });
  }
  const text = "control_identity_cert_expiration_timestamp_seconds 1000\n";
  return Promise.resolve({ status: 200, text });
}

function setUp() {
  const world = new VizWorld();
  world.addPod({ name: "web-1", ip: "10.0.0.1", deployment: "web" });
  world.addPod({ name: "load-1", ip: "10.0.0.2", deployment: "load" });
  const { clock, timers } = handClock(world);
  const app = createApi({
    view: world.view,
    history: world.history,
    clock,
    version: { version: "1.2.3" },
    health: () => askHealth({ view: world.view, nowMs: 7, adminPort: 4191, components, ask }),
    hosts: ["malla-viz.malla.svc"],
  });
  return { world, clock, timers, app };
}

/** What the answers below hold, each of them some of it. */
interface Answer {
  readonly error: string;
  readonly rows: readonly { readonly name: string }[];
  readonly edges: readonly { readonly rps: number }[];
  readonly nodes: readonly unknown[];
}

async function question(
  app: ReturnType<typeof setUp>["app"],
  path: string,
  host = "localhost:8084",
) {
  const response = await app.request(`http://${host}${path}`, { headers: { host } });
  return { status: response.status, body: await response.json() as Answer };
}

describe("questions", () => {
  test("stat, edges, graph and version answer with JSON", async () => {
    const { world, app } = setUp();
    world.scrape("load-1", "");
    world.nowMs += 1_000;
    world.scrape("load-1", httpLines(TO_WEB, 4, 0, 10));
    const stat = await question(
      app,
      "/api/stat?resource=deploy&namespace=shop&name=web&window=10s",
    );
    expect(stat.body.rows.map(({ name }) => name)).toEqual(["web"]);
    const edges = await question(app, "/api/edges?resource=deploy");
    expect(edges.body.edges[0]?.rps).toBe(4);
    expect((await question(app, "/api/edges?resource=pod&namespace=other")).body.edges).toEqual([]);
    expect((await question(app, "/api/edges?resource=sts")).body.edges).toEqual([]);
    expect((await question(app, "/api/graph")).body.nodes).toHaveLength(2);
    expect(await (await app.request("http://localhost/api/version")).json()).toEqual({
      version: "1.2.3",
    });
  });

  test.each([
    ["/api/stat", 'Unknown resource "": expected one of deploy, sts, ds, job, rs, pod, svc, ns'],
    ["/api/stat?resource=depoy", 'ns; did you mean "deploy"?'],
    ["/api/stat?resource=constructor", 'Unknown resource "constructor"'],
    ["/api/edges?resource=ns", 'Edges have no resource "namespace": expected one of deploy, pod'],
    ["/api/stat?resource=pod&window=10", 'Cannot use the window "10": expected a duration from 1s'],
    ["/api/graph?window=11m", 'Cannot use the window "11m": expected a duration from 1s to 10m'],
    ["/events?window=1ms", 'Cannot use the window "1ms"'],
  ])("%s is a bad question", async (path, expected) => {
    const { status, body } = await question(setUp().app, path);
    expect(status).toBe(400);
    expect(body.error).toContain(expected);
  });

  test("an unknown path is 404; ready only after the source has told all", async () => {
    const { world, app } = setUp();
    const { status, body } = await question(app, "/nothing");
    expect([status, body.error]).toEqual([404, "There is nothing at /nothing"]);
    expect((await app.request("http://localhost/ready")).status).toBe(503);
    world.view.synced();
    expect((await app.request("http://localhost/ready")).status).toBe(200);
  });
});

describe("a page of another site cannot read it", () => {
  test.each([
    ["localhost", true],
    ["localhost:8084", true],
    ["127.0.0.1:8084", true],
    ["[::1]:8084", true],
    ["10.42.0.1", true],
    ["malla-viz.malla.svc:8084", true],
    ["evil.example", false],
    ["localhost.evil.example:8084", false],
    ["127.0.0.1.evil.example", false],
    ["1234", false],
    ["", false],
  ])("host %p: %p", (host, expected) => {
    expect(isOwnHost(host, ["malla-viz.malla.svc"])).toBe(expected);
  });

  test("a foreign name is refused with 403, the page too", async () => {
    const { app } = setUp();
    addPage(app);
    const { status, body } = await question(app, "/", "evil.example:8084");
    expect(status).toBe(403);
    expect(body.error).toBe('Refused the host "evil.example:8084": use localhost or an address');
  });
});

describe("the event stream", () => {
  test("tells a picture at once and one per tick, and rests when nobody listens", async () => {
    const { app, timers } = setUp();
    const response = await app.request("http://localhost/events");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = response.body?.getReader();
    const decoder = new TextDecoder();
    expect(decoder.decode((await reader?.read())?.value)).toBe("retry: 1000\n\n");
    expect(decoder.decode((await reader?.read())?.value)).toMatch(/^data: \{"atMs":.*\}\n\n$/);
    expect(timers.size).toBe(1);
    const next = reader?.read();
    for (const ring of timers) ring();
    expect(decoder.decode((await next)?.value)).toContain('"nodes":[');
    await reader?.cancel();
    expect(timers.size).toBe(0);
  });
});

test("health tells of every part, also of those that do not answer", async () => {
  const { world, app } = setUp();
  world.addPod({ name: "plain", ip: "10.0.0.3", meshed: false });
  const response = await app.request("http://localhost/api/health");
  expect(await response.json()).toEqual({
    atMs: 7,
    components: [
      { name: "identity", ready: true, message: "" },
      { name: "controller", ready: false, message: "waiting for a certificate" },
    ],
    pods: [
      { name: "load-1", meshed: true, proxyReady: false, message: "connection refused" },
      { name: "plain", meshed: false, proxyReady: false, message: "" },
      {
        name: "web-1",
        meshed: true,
        proxyReady: true,
        message: "",
        certificateExpiresAtMs: 1_000_000,
      },
    ].map((pod) => ({ namespace: "shop", podReady: true, certificateExpiresAtMs: null, ...pod })),
    problems: [],
  });
});

describe("scraping", () => {
  test("asks meshed running pods once at a time, and one failure hides no other", async () => {
    const { world, clock } = setUp();
    world.addPod({ name: "plain", ip: "10.0.0.3", meshed: false });
    world.addPod({ name: "later", ip: "10.0.0.4", phase: "Pending" });
    const asked: string[] = [];
    const slow = Promise.withResolvers<string>();
    const scraper = new Scraper({
      view: world.view,
      history: world.history,
      clock,
      log: silentLogger,
      periodMs: 1_000,
      adminPort: 4191,
      fetch: (url) => {
        asked.push(url);
        if (url.includes("10.0.0.1")) return slow.promise;
        return Promise.reject(new Fault("unavailable", "connection refused"));
      },
    });
    const first = scraper.tick();
    await scraper.tick();
    slow.resolve(`tcp_open_connections{${TO_WEB}} 1\n`);
    await first;
    expect(asked.filter((url) => url === "http://10.0.0.1:4191/metrics")).toHaveLength(1);
    expect(new Set(asked)).toEqual(
      new Set(["http://10.0.0.1:4191/metrics", "http://10.0.0.2:4191/metrics"]),
    );
    expect([...scraper.failing()]).toEqual([["shop/load-1/10.0.0.2", "connection refused"]]);
    expect([...world.history.pods()].map(({ pod }) => pod.name)).toEqual(["web-1"]);
    world.view.deleted({ kind: "Pod", namespace: "shop", name: "load-1" });
    await scraper.tick();
    expect(scraper.failing().size).toBe(0);
  });
});

describe("the page", () => {
  test("every file is there as text, and refers to no other place", async () => {
    const { app } = setUp();
    addPage(app);
    for (const [path, { type, text }] of Object.entries(ASSETS)) {
      const response = await app.request(`http://localhost${path}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(type);
      expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
      expect((await response.text()).length).toBeGreaterThan(200);
      const foreign = [...text.matchAll(/(?:src|href)="(https?:[^"]+)"|url\((https?:[^)]+)\)/g)];
      expect(foreign).toEqual([]);
    }
  });

  test("what the page asks for is served", () => {
    const wanted = new Set<string>();
    for (const { text } of Object.values(ASSETS)) {
      for (const [, path = ""] of text.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
        wanted.add(path);
      }
      for (const [, name = ""] of text.matchAll(/from "\.\/([a-z]+\.js)"/g)) {
        wanted.add(`/assets/${name}`);
      }
    }
    expect(wanted.size).toBeGreaterThanOrEqual(7);
    for (const path of wanted) expect(Object.keys(ASSETS)).toContain(path);
  });
});
