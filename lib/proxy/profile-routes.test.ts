/** A ServiceProfile's routes between two proxies: which request is whose, and what becomes of it. */

import { describe, expect, test } from "bun:test";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import type { ProfileRoute, RequestMatch } from "../mesh/service-profile.ts";
import { parseRequestHead } from "../wire/http1/mod.ts";
import { RequestHead } from "../wire/http/mod.ts";
import { requestTest } from "./request-match.ts";
import { ResponseClasses } from "./response-classes.ts";

const { lab, cleanups, dial } = pathTests();

function route(name: string, pattern: string, more: Partial<ProfileRoute> = {}): ProfileRoute {
  const match: RequestMatch = { kind: "path", pattern };
  return { labels: { route: name }, match, isRetryable: false, timeoutMs: 0, classes: [], ...more };
}

const failing = respond("no", "HTTP/1.1 503 Service Unavailable");
const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: web\r\n\r\n`;

/** An application that answers the request number `n`, from 1 on, for a path. */
async function application(answer: (path: string, n: number) => string): Promise<RawServer> {
  let count = 0;
  const server = await new RawServer((socket, text) => {
    for (const [, path = ""] of text.matchAll(/^(?:GET|POST) (\S+) HTTP/gm)) {
      const response = answer(path, ++count);
      if (response !== "") socket.write(response);
    }
  }).listen();
  cleanups.push(() => server.stop());
  return server;
}

function pairOf(port: number) {
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  const target = client.target().endpoints({ ...meshed(server, port), hint: "h2" });
  return { client, server, target };
}

describe("which requests are a route's", () => {
  const head = (line: string): RequestHead => {
    const bytes = new TextEncoder().encode(`${line} HTTP/1.1\r\nhost: a\r\n\r\n`);
    const made = new RequestHead();
    expect(parseRequestHead(bytes, 0, bytes.length, made)).toBeGreaterThan(0);
    return made;
  };
  const path = (pattern: string): RequestMatch => ({ kind: "path", pattern });
  const method = (method: string): RequestMatch => ({ kind: "method", method });
  test.each<[RequestMatch, string[], string[]]>([
    [path("/a/\\d+"), ["GET /a/1", "GET /a/1?b=/c", "POST http://web/a/22"], [
      "GET /a/",
      "GET /a/1/",
    ]],
    [path("/"), ["GET /", "GET /?x", "GET http://web", "GET http://web?a/b"], ["GET /a"]],
    [path("\\*"), ["OPTIONS *"], ["OPTIONS /"]],
    [method("POST"), ["POST /"], ["GET /", "PURGE /"]],
    [method("PURGE"), ["PURGE /"], ["POST /", "PURGES /"]],
    [{ kind: "not", of: method("GET") }, ["POST /"], ["GET /"]],
    [{ kind: "all", of: [method("GET"), path("/a")] }, ["GET /a"], ["GET /b", "PUT /a"]],
    [{ kind: "any", of: [method("GET"), path("/a")] }, ["GET /b", "PUT /a"], ["PUT /b"]],
  ])("%j", (match, own, others) => {
    const found = requestTest(match);
    for (const line of own) expect([line, found.matches(head(line))]).toEqual([line, true]);
    for (const line of others) expect([line, found.matches(head(line))]).toEqual([line, false]);
  });
});

describe("which responses are failures", () => {
  const status = (from: number, to = from) => ({ kind: "status", from, to }) as const;

  test("the first class that matches decides, and without one it is as usual", () => {
    const classes = new ResponseClasses([
      { match: status(503), isFailure: false },
      {
        match: { kind: "all", of: [status(400, 599), { kind: "not", of: status(404) }] },
        isFailure: true,
      },
    ]);
    expect([200, 404, 400, 500, 503, 600].map((code) => classes.isFailure(code, -1)))
      .toEqual([false, false, true, true, false, true]);
    expect(classes.failures()).toEqual([[400, 403], [405, 502], [504, 599]]);
    expect(classes.isFailure(200, 14)).toBe(true);
    expect(classes.grpcFailures()).toContain(14);
    const all = new ResponseClasses([{ match: status(200, 599), isFailure: false }]);
    expect([all.failures(), all.grpcFailures()]).toEqual([[], []]);
  });
});

describe("between proxies", () => {
  test("what is retryable is asked for again, and counted by its route", async () => {
    const app = await application((path, n) =>
      path === "/good" || n % 3 === 0 ? respond("yes") : failing
    );
    const { client, target } = pairOf(app.port);
    target.profile([
      route("retried", "/again", { isRetryable: true }),
      route("never", "/aga.*"),
    ], { ratio: 10, minPerSecond: 10, ttlMs: 10_000 });
    // The policy's own wishes do not hold beside a profile's routes.
    target.configure({
      statuses: [[503, 503]],
      grpcStatuses: [],
      retriesMax: 1,
      requestBytesMax: 1_000,
      tryTimeoutMs: 0,
      backoff: { minMs: 1, maxMs: 1, jitter: 0 },
    });
    const shop = dial(client.outbound);
    shop.send(get("/again"));
    await until("retried", () => shop.text === respond("yes"));
    shop.send(get("/again2"));
    await until("passed on", () => shop.times("503") === 1);
    shop.send(get("/good"));
    await until("no route", () => shop.times("yes") === 2);
    const dst = target.authority;
    const count = (name: string, labels = {}) =>
      client.count(name, { direction: "outbound", dst, ...labels });
    await until("counted", () => count("route_response_total") === 3);
    expect(count("route_request_total", { rt_route: "retried" })).toBe(1);
    expect(count("route_response_total", { rt_route: "retried", classification: "success" })).toBe(
      1,
    );
    expect(count("route_actual_request_total", { rt_route: "retried" })).toBe(3);
    expect(count("route_actual_response_total", { rt_route: "retried", status_code: "503" })).toBe(
      2,
    );
    expect(count("route_retryable_total", { rt_route: "retried" })).toBe(2);
    expect(count("route_response_total", { rt_route: "never", classification: "failure" })).toBe(1);
    expect(count("route_actual_request_total", { rt_route: "never" })).toBe(1);
    expect(count("route_response_latency_ms_count", { rt_route: "never" })).toBe(1);
    expect(count("route_request_total")).toBe(3);
    const statuses = "outbound_http_route_request_statuses_total";
    expect(client.count(statuses, { route_kind: "ServiceProfile", route_name: "never" })).toBe(1);
    expect(client.count("outbound_http_route_retry_requests_total", { route_name: "retried" }))
      .toBe(2);
  });

  test("a class makes a failure of what is none, and the other way round", async () => {
    const app = await application((path, n) =>
      path === "/fine"
        ? failing
        : n % 2 === 1
        ? respond("x", "HTTP/1.1 404 Not Found")
        : respond("yes")
    );
    const { client, target } = pairOf(app.port);
    const failure = (from: number, isFailure: boolean) => [{
      match: { kind: "status", from, to: from } as const,
      isFailure,
    }];
    target.profile([
      route("found", "/found", { isRetryable: true, classes: failure(404, true) }),
      route("fine", "/fine", { isRetryable: true, classes: failure(503, false) }),
    ]);
    const shop = dial(client.outbound);
    shop.send(get("/found"));
    await until("found", () => shop.text === respond("yes"));
    shop.send(get("/fine"));
    await until("passed on", () => shop.times("503") === 1);
    await until("counted", () => client.count("route_response_total") === 2);
    expect(client.count("route_response_total", { classification: "failure" })).toBe(0);
    expect(client.count("response_total", { status_code: "404", classification: "failure" })).toBe(
      1,
    );
    expect(client.count("response_total", { status_code: "503", classification: "success" })).toBe(
      1,
    );
  });

  test("each route has a timeout of its own, for all tries together", async () => {
    const app = await application(() => "");
    const { client, target } = pairOf(app.port);
    target.profile([
      route("slow", "/slow", { timeoutMs: 60_000 }),
      route("fast", "/fast", { timeoutMs: 40, isRetryable: true }),
    ]);
    const [slow, fast] = [dial(client.outbound), dial(client.outbound)];
    slow.send(get("/slow"));
    fast.send(get("/fast"));
    await until("fast", () => fast.text.startsWith("HTTP/1.1 504 "));
    expect(slow.text).toBe("");
    const error = { rt_route: "fast", error: "REQUEST_TIMEOUT" };
    await until("counted", () => client.count("route_response_total", error) === 1);
    expect(client.count("route_actual_request_total", { rt_route: "fast" })).toBe(1);
  });

  test("all routes share the profile's budget; one of nothing lets failures pass", async () => {
    const app = await application(() => failing);
    const { client, target } = pairOf(app.port);
    const routes = ["/a", "/b"].map((path) => route(path, path, { isRetryable: true }));
    target.profile(routes, { ratio: 0.5, minPerSecond: 0, ttlMs: 10_000 });
    const shop = dial(client.outbound);
    for (let i = 1; i <= 10; i++) {
      shop.send(get(i % 2 === 0 ? "/a" : "/b"));
      await until("answer", () => shop.times("503") === i);
    }
    expect(client.count("response_total", { status_code: "503" })).toBe(15);
    const skipped = () => client.count("route_retryable_total", { skipped: "no_budget" });
    // Each request that failed in the end had asked the budget in vain.
    expect(skipped()).toBe(10);
    target.profile(routes, { ratio: 0, minPerSecond: 0, ttlMs: 10_000 });
    shop.send(get("/a"));
    await until("answer", () => shop.times("503") === 11);
    expect(client.count("response_total", { status_code: "503" })).toBe(16);
  });

  test("a call's status counts as a failure, and is asked for again", async () => {
    const server = createServer();
    let count = 0;
    server.on("session", (session) => session.on("error", () => {}));
    server.on("stream", (stream: ServerHttp2Stream) => {
      stream.resume();
      const status = ++count < 3 ? "14" : "0";
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
      stream.end();
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    cleanups.push(() => server.close());
    const { client, target } = pairOf((server.address() as AddressInfo).port);
    target.profile([route("call", "/s/M", { isRetryable: true })]);
    const session = connect(`http://127.0.0.1:${client.outbound.port}`);
    cleanups.push(() => session.destroy());
    const headers = { ":path": "/s/M", ":method": "POST", "content-type": "application/grpc" };
    const stream = session.request(headers);
    let status: unknown;
    stream.on("trailers", (trailers) => status = trailers["grpc-status"]);
    stream.resume();
    stream.end("message");
    await until("over", () => status !== undefined);
    expect([status, count]).toEqual(["0", 3]);
    const good = { rt_route: "call", classification: "success", grpc_status: "0" };
    await until("counted", () => client.count("route_response_total", good) === 1);
    expect(client.count("route_actual_response_total", { rt_route: "call", grpc_status: "14" }))
      .toBe(2);
  });

  test("a route with a pattern that cannot be used is left out, and the others hold", async () => {
    const app = await application((_, n) => n === 1 ? failing : respond("yes"));
    const { client, target } = pairOf(app.port);
    target.profile([
      route("bad", "/(?=a).*", { timeoutMs: 1 }),
      route("good", "/.*", { isRetryable: true }),
    ]);
    const shop = dial(client.outbound);
    shop.send(get("/a"));
    await until("answer", () => shop.text === respond("yes"));
  });
});
