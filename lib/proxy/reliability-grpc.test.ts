import { describe, expect, test } from "bun:test";
import {
  connect,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import type { RetryPolicy } from "../mesh/reliability.ts";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RetryBudget } from "./retry-budget.ts";

const { lab, cleanups } = pathTests();

const UNAVAILABLE: RetryPolicy = {
  statuses: [],
  grpcStatuses: [14],
  retriesMax: 2,
  requestBytesMax: 1_000,
  tryTimeoutMs: 0,
  backoff: { minMs: 1, maxMs: 4, jitter: 0 },
};

function pairOf(port: number) {
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  const target = client.target().endpoints({ ...meshed(server, port), hint: "h2" });
  return { client, server, target };
}

/** An HTTP/2 application; `serve` gets each call with its number, from 1 on. */
async function application(
  serve: (stream: ServerHttp2Stream, n: number, headers: IncomingHttpHeaders) => void,
): Promise<number> {
  const server = createServer();
  let count = 0;
  server.on("session", (session) => session.on("error", () => {}));
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on("error", () => {});
    stream.resume();
    serve(stream, ++count, headers);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A call; `body` null leaves its stream open. */
function call(
  to: { port: number },
  more: Record<string, string> = {},
  body: string | null = "message",
) {
  const session = connect(`http://127.0.0.1:${to.port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  const headers = { ":path": "/s/M", ":method": "POST", "content-type": "application/grpc" };
  const stream = session.request({ ...headers, ...more });
  const got = { headers: {}, trailers: {}, body: "", isOver: false, stream };
  stream.on("response", (headers: IncomingHttpHeaders) => got.headers = headers);
  stream.on("trailers", (trailers: IncomingHttpHeaders) => got.trailers = trailers);
  stream.on("data", (chunk: Buffer) => got.body += chunk);
  stream.on("error", () => {});
  stream.on("close", () => got.isOver = true);
  if (body !== null) stream.end(body);
  return got;
}

function answer(stream: ServerHttp2Stream, status: string, body = ""): void {
  stream.respond({ ":status": 200 }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status }));
  stream.end(body);
}

describe("retries of calls", () => {
  test("a status in trailers without a body, or in the head alone, is asked for again", async () => {
    const port = await application((stream, n) => {
      if (n === 1) answer(stream, "14");
      else if (n === 2) {
        stream.respond({ ":status": 200, "grpc-status": "14" }, { endStream: true });
      } else answer(stream, "0", "yes");
    });
    const { client, target } = pairOf(port);
    target.configure(UNAVAILABLE);
    const got = call(client.outbound);
    await until("answer", () => got.isOver);
    expect(got).toMatchObject({ body: "yes", trailers: { "grpc-status": "0" } });
    expect(client.count("response_total", { grpc_status: "14" })).toBe(2);
    const retries = (outcome: string) => client.count(`outbound_grpc_route_retry_${outcome}_total`);
    expect([retries("requests"), retries("successes")]).toEqual([2, 1]);
    expect(client.metrics.text()).not.toMatch(/^outbound_http_route_retry_/m);
  });

  test("a call that fails as often as it may be made, or finds no budget, is passed on", async () => {
    const port = await application((stream) => answer(stream, "14"));
    const { client, target } = pairOf(port);
    target.configure({ ...UNAVAILABLE, retriesMax: 1 });
    target.budget = new RetryBudget({ ratio: 0.5, minPerSecond: 0, ttlMs: 60_000 }, 0);
    for (let i = 0; i < 4; i++) {
      const got = call(client.outbound);
      await until("answer", () => got.isOver);
      expect(got).toMatchObject({ trailers: { "grpc-status": "14" } });
    }
    const retries = (outcome: string) => client.count(`outbound_grpc_route_retry_${outcome}_total`);
    expect(["requests", "limit_exceeded", "overflow"].map(retries)).toEqual([2, 2, 2]);
  });

  test("once some of the body went down, the status is passed on", async () => {
    const port = await application((stream) => answer(stream, "14", "some"));
    const { client, target } = pairOf(port);
    target.configure(UNAVAILABLE);
    const got = call(client.outbound);
    await until("answer", () => got.isOver);
    expect(got).toMatchObject({ body: "some", trailers: { "grpc-status": "14" } });
    expect(client.count("outbound_grpc_route_retry_requests_total")).toBe(0);
  });

  test("a head without anything behind it goes down all the same", async () => {
    const port = await application((stream) => void stream.respond({ ":status": 200 }));
    const { client, target } = pairOf(port);
    target.configure(UNAVAILABLE);
    const done = call(client.outbound);
    await until("head", () => ":status" in done.headers);
    // Who has more to say may wait for the head.
    const open = call(client.outbound, {}, null);
    await until("head", () => ":status" in open.headers);
    expect([done.isOver, open.isOver]).toEqual([false, false]);
  });
});

describe("deadlines of calls", () => {
  const timeoutOf = (headers: IncomingHttpHeaders) => {
    const [, digits, unit] = /^(\d+)([umS])$/.exec(String(headers["grpc-timeout"])) ?? [];
    return Number(digits) * (unit === "u" ? 1e-3 : unit === "m" ? 1 : 1_000);
  };

  test("what the client waits is honoured on the way, and its end told to both", async () => {
    let isCancelled = false;
    const port = await application((stream) => stream.on("close", () => isCancelled = true));
    const { client, server, target } = pairOf(port);
    const got = call(client.outbound, { "grpc-timeout": "60m" });
    await until("answer", () => got.isOver);
    expect(got.headers).toMatchObject({ ":status": 200, "grpc-status": "4" });
    await until("the application is told", () => isCancelled);
    await until("settled", () => target.balancer.pick(0)?.pending === 0);
    // Both know when it is over; who is first answers.
    const error = "response timeout";
    const told = client.count("outbound_http_errors_total", { error }) +
      server.count("inbound_http_errors_total", { error });
    expect(told).toBeGreaterThan(0);
  });

  test("the smaller of it and the route's is told further on, less what has passed", async () => {
    const told: number[] = [];
    const port = await application((stream, _, headers) => {
      told.push(timeoutOf(headers));
      answer(stream, "0", "yes");
    });
    const { client, target } = pairOf(port);
    const { policy } = target;
    const ask = async (headers: Record<string, string>) => {
      const got = call(client.outbound, headers);
      await until("answer", () => got.isOver);
      expect(got).toMatchObject({ body: "yes", trailers: { "grpc-status": "0" } });
      return told.at(-1);
    };
    expect(await ask({})).toBeNaN();
    expect(await ask({ "grpc-timeout": "90S" })).toBeWithin(30_000, 90_000);
    target.configure(undefined, { requestMs: 50_000 });
    expect(await ask({ "grpc-timeout": "90S" })).toBeWithin(10_000, 50_000);
    expect(await ask({})).toBeWithin(10_000, 50_000);
    expect(await ask({ "grpc-timeout": "40S" })).toBeWithin(10_000, 40_000);
    // What is no timeout is the application's to refuse.
    target.policy = policy;
    expect(await ask({ "grpc-timeout": "soon" })).toBeNaN();
  });

  test("a retry is told what is left of it", async () => {
    const told: number[] = [];
    const port = await application((stream, n, headers) => {
      told.push(timeoutOf(headers));
      if (n === 1) setTimeout(() => answer(stream, "14"), 30);
      else answer(stream, "0", "yes");
    });
    const { client, target } = pairOf(port);
    target.configure(UNAVAILABLE);
    const got = call(client.outbound, { "grpc-timeout": "90S" });
    await until("answer", () => got.body === "yes");
    expect(told[1]).toBeLessThanOrEqual(told[0]! - 30);
  });

  test("the route's request timeout is DEADLINE_EXCEEDED", async () => {
    const port = await application(() => {});
    const { client, target } = pairOf(port);
    target.configure(UNAVAILABLE, { requestMs: 40 });
    const got = call(client.outbound);
    await until("answer", () => got.isOver);
    expect(got.headers).toMatchObject({ ":status": 200, "grpc-status": "4" });
  });

  test("a stream that is not over in time ends with its status", async () => {
    const port = await application((stream) => {
      stream.respond({ ":status": 200 });
      stream.write("some");
    });
    const { client, server } = pairOf(port);
    const got = call(client.outbound, { "grpc-timeout": "1500m" });
    await until("end", () => got.isOver);
    const trailers = { "grpc-status": "4", "grpc-message": "the request took too long" };
    expect(got).toMatchObject({ body: "some", trailers });
    const error = "REQUEST_TIMEOUT";
    const told = client.count("outbound_grpc_route_request_statuses_total", { error }) +
      server.count("inbound_grpc_statuses_total", { error });
    expect(told).toBeGreaterThan(0);
  });
});
