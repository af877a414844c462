/** Lines of the access log for requests that go through two proxies. */

import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { connect, createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { identityOf, meshed, PathLab, serverPolicy, until } from "../../test/support/paths.ts";
import { systemClock } from "../host/clock.ts";
import { AccessLog, type AccessLogFormat } from "./access-log.ts";
import { type PathLimits, USUAL_LIMITS } from "./path-limits.ts";

let lab: PathLab;
let server: ReturnType<typeof Bun.serve>;
/** Requests for `/held` that wait for the test. */
let held: (() => void)[] = [];

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterEach(async () => {
  await lab.stop();
  await server.stop(true);
});

/** Two proxies with an application behind them; the second one keeps an access log. */
function logged(format: AccessLogFormat, takes = true, limits: Partial<PathLimits> = {}) {
  held = [];
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch({ url }) {
      if (url.endsWith("/held")) await new Promise<void>((answer) => held.push(answer));
      return new Response("hello", { status: url.endsWith("/no") ? 404 : 200 });
    },
  });
  const port = server.port ?? 0;
  const client = lab.proxy("shop");
  const web = lab.proxy("web", { limits: { ...USUAL_LIMITS, ...limits } });
  client.target().endpoints({ ...meshed(web, port), hint: "h2" });
  const lines: string[] = [];
  const writer = {
    write: (line: string) => takes && lines.push(line) > 0,
    flushed: () => Promise.resolve(),
  };
  const { registry } = web.metrics;
  web.recorders.push(new AccessLog({ format, lines: writer, clock: systemClock, registry }));
  const ask = (path: string, init: RequestInit = {}) =>
    fetch(`http://127.0.0.1:${client.outbound.port}${path}`, init).then((answer) => answer.text());
  return { web, port, lines, ask };
}

test("json: who asked what, bytes, times, and the trace", async () => {
  const { lines, ask } = logged("json");
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const headers = { traceparent, "user-agent": 'me "x"', host: "web" };
  await ask("/a?b=c", { method: "POST", body: "12345678", headers });
  await until("a line", () => lines.length === 1);
  const line = JSON.parse(lines[0] ?? "");
  expect(line).toMatchObject({
    "client.id": identityOf("shop"),
    method: "POST",
    uri: "/a?b=c",
    version: "HTTP/1.1",
    trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
    request_bytes: 8,
    status: 200,
    response_bytes: 5,
    user_agent: 'me "x"',
    host: "web",
  });
  expect(line["client.addr"]).toMatch(/^127\.0\.0\.1:\d+$/);
  expect(Math.abs(Date.parse(line.timestamp) - Date.now())).toBeLessThan(60_000);
  expect(line.total_ns).toBeGreaterThanOrEqual(line.processing_ns);
  expect(line.processing_ns).toBeGreaterThan(0);
  expect(line).not.toHaveProperty("error");
});

test("an answer of the proxy's own says why", async () => {
  const { web, port, lines, ask } = logged("json");
  web.cell(port).set(serverPolicy(null));
  await ask("/");
  await until("a line", () => lines.length === 1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    status: 403,
    error: "UNKNOWN",
    reason: "unauthorized: unauthorized request on this port",
  });
});

describe("the trace's id", () => {
  const [trace, span] = ["4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"];
  const other = "a".repeat(32);
  const requestId = { "x-request-id": "r1" };
  test.each<[string, Record<string, string>, string]>([
    ["B3 in one field", { b3: `${trace}-${span}-1`, ...requestId }, trace],
    ["B3 with a parent", { b3: `${trace}-${span}-d-05e3ac9a4f6e3b90` }, trace],
    ["B3 that says only not to sample", { b3: "0", ...requestId }, "r1"],
    ["B3 in several", { "x-b3-traceid": trace, "x-b3-spanid": span, ...requestId }, trace],
    [
      "the W3C's before B3's",
      { b3: `${other}-${span}-1`, traceparent: `00-${trace}-${span}-01` },
      trace,
    ],
    [
      "a load balancer's",
      { "x-amzn-trace-id": "Root=1-67891233-abcdef" },
      "Root=1-67891233-abcdef",
    ],
    ["none", {}, ""],
  ])("%s", async (_, headers, id) => {
    const { lines, ask } = logged("json");
    await ask("/", { headers });
    await until("a line", () => lines.length === 1);
    expect(JSON.parse(lines[0] ?? "").trace_id).toBe(id);
  });
});

describe("a request that was shed says why", () => {
  async function shed(
    limits: Partial<PathLimits>,
    ask: (world: ReturnType<typeof logged>) => Promise<unknown>,
  ) {
    const world = logged("json", true, { inboundConcurrency: 1, ...limits });
    const first = world.ask("/held");
    await until("it is in", () => held.length === 1);
    await ask(world);
    await until("a line", () => world.lines.length === 1);
    held[0]?.();
    expect(await first).toBe("hello");
    return JSON.parse(world.lines[0] ?? "");
  }

  test("no room", async () => {
    const limits = { inboundQueueMax: 1, inboundQueueMs: 60_000 };
    let second: Promise<string> | undefined;
    const line = await shed(limits, async ({ web, ask }) => {
      second = ask("/second");
      await until("it waits", () => web.count("malla_inbound_concurrency_waiting") === 1);
      await ask("/third");
    });
    const reason = "loadshed: too many requests are under way";
    expect(line).toMatchObject({ uri: "/third", status: 503, error: "LOAD_SHED", reason });
    expect(await second).toBe("hello");
  });

  test("too long a wait", async () => {
    const line = await shed({ inboundQueueMs: 100 }, ({ ask }) => ask("/late"));
    const reason = "failfast: waited too long for a turn";
    expect(line).toMatchObject({ uri: "/late", status: 503, error: "FAIL_FAST", reason });
  });
});

test.each([
  ["before its answer", "60m", () => {}, "response timeout: the request took too long"],
  ["within its answer", "1500m", (call: ServerHttp2Stream) => {
    call.respond({ ":status": 200 });
    call.write("some");
  }, "REQUEST_TIMEOUT"],
])("a call whose time is over says which, %s", async (_, time, serve, reason) => {
  const { web, lines } = logged("json");
  const app = createServer().on("stream", (call: ServerHttp2Stream) => {
    call.on("error", () => {});
    serve(call);
  });
  await new Promise<void>((done) => app.listen(0, "127.0.0.1", done));
  web.inboundOriginal = { ip: "127.0.0.1", port: (app.address() as AddressInfo).port };
  const session = connect(`http://127.0.0.1:${web.inbound.port}`);
  const stream = session.request({
    ":path": "/s/M",
    ":method": "POST",
    "content-type": "application/grpc",
    "grpc-timeout": time,
  });
  stream.end("message");
  await until("a line", () => lines.length === 1);
  const error = "REQUEST_TIMEOUT";
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ uri: "/s/M", grpc_status: 4, error, reason });
  session.destroy();
  app.close();
});

test("apache: one line that nothing of the request can break", async () => {
  const { lines, ask } = logged("apache");
  await ask('/no?"quoted"', { headers: { "user-agent": 'a"b\\', "x-request-id": "r1" } });
  await until("a line", () => lines.length === 1);
  const client = `127\\.0\\.0\\.1:\\d+ ${identityOf("shop")} - `;
  expect(lines[0]).toMatch(
    new RegExp(
      `^${client}\\[[^\\]]+Z\\] "GET /no\\?\\S+ HTTP/1\\.1" 200 5 "-" "a\\\\"b\\\\\\\\" ` +
        "[\\d.]+ms r1 -\\n$",
    ),
  );
});

test("lines that nobody reads are dropped and counted; the requests go on", async () => {
  const { web, lines, ask } = logged("json", false);
  expect(await ask("/")).toBe("hello");
  await until(
    "a drop",
    () => web.count("malla_access_log_lines_total", { result: "dropped" }) === 1,
  );
  expect(lines).toEqual([]);
});
