/** Lines of the access log for requests that go through two proxies. */

import { afterEach, beforeAll, expect, test } from "bun:test";
import { identityOf, meshed, PathLab, serverPolicy, until } from "../../test/support/paths.ts";
import { systemClock } from "../host/clock.ts";
import { AccessLog, type AccessLogFormat } from "./access-log.ts";

let lab: PathLab;
let server: ReturnType<typeof Bun.serve>;

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterEach(async () => {
  await lab.stop();
  await server.stop(true);
});

/** Two proxies with an application behind them; the second one keeps an access log. */
function logged(format: AccessLogFormat, takes = true) {
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response("hello", { status: request.url.endsWith("/no") ? 404 : 200 }),
  });
  const port = server.port ?? 0;
  const client = lab.proxy("shop");
  const web = lab.proxy("web");
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
