import { describe, expect, test } from "bun:test";
import type { RetryPolicy } from "../mesh/reliability.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { IDLE_TIMEOUT, REQUEST_TIMEOUT, RESPONSE_STREAM_TIMEOUT } from "./refusals.ts";
import { RetryBudget } from "./retry-budget.ts";

const { lab, cleanups, dial } = pathTests();

const RETRY: RetryPolicy = {
  statuses: [[503, 503]],
  grpcStatuses: [],
  retriesMax: 2,
  requestBytesMax: 1_000,
  tryTimeoutMs: 0,
  backoff: { minMs: 1, maxMs: 4, jitter: 0 },
};

/** An application that answers request number `n`, from 1 on, as told. */
async function application(answer: (n: number, text: string) => string): Promise<RawServer> {
  let count = 0;
  const server = await new RawServer((socket, text) => {
    for (const request of text.split(/(?=^(?:GET|POST) )/m)) {
      if (!/^(GET|POST) /.test(request)) continue;
      const response = answer(++count, request);
      if (response !== "") socket.write(response);
    }
  }).listen();
  cleanups.push(() => server.stop());
  return server;
}

function pairOf(port: number, hint: "h2" | "unknown" = "h2") {
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  const target = client.target().endpoints({ ...meshed(server, port), hint });
  return { client, server, target };
}

const STATUSES = "outbound_http_route_request_statuses_total";
const BACKEND_STATUSES = "outbound_http_route_backend_response_statuses_total";

const get = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
const failing = respond("no", "HTTP/1.1 503 Service Unavailable");

for (const hint of ["h2", "unknown"] as const) {
  describe(`retries over ${hint === "h2" ? "HTTP/2" : "HTTP/1"} between proxies`, () => {
    test("a response of the policy's is thrown away, and the next one passed on", async () => {
      const app = await application((n) => n < 3 ? failing : respond("yes"));
      const { client, target } = pairOf(app.port, hint);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      shop.send(get);
      await until("answer", () => shop.text.length > 0);
      expect(shop.text).toBe(respond("yes"));
      expect(client.count("response_total", { status_code: "503" })).toBe(2);
      expect(client.count("outbound_http_route_retry_requests_total")).toBe(2);
      await until("counted", () => client.count("outbound_http_route_retry_successes_total") === 1);
      expect(target.balancer.pick(0)?.pending).toBe(0);
    });

    test("another try goes to another endpoint, and no application sees that it is one", async () => {
      const bad = await application(() => failing);
      const good = await application(() => respond("yes"));
      const { client, server, target } = pairOf(bad.port, hint);
      target.endpoints({ ...meshed(server, good.port), hint });
      target.configure({ ...RETRY, retriesMax: 1 });
      for (let i = 0; i < 20; i++) {
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => shop.text === respond("yes"));
      }
      const tried = bad.received.join("").split("GET / ").length - 1;
      expect(client.count("outbound_http_route_retry_requests_total")).toBe(tried);
      expect(tried).toBeGreaterThan(0);
      expect(good.received.join("")).not.toContain("retry");
    });

    test("what fails to the end is passed on; other statuses at once", async () => {
      const app = await application((_, text) =>
        text.startsWith("GET /other") ? respond("x", "HTTP/1.1 500 Oops") : failing
      );
      const { client, target } = pairOf(app.port, hint);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      shop.send(get);
      await until("answer", () => shop.text.length > 0);
      expect(shop.text).toBe(failing);
      expect(client.count("response_total", { status_code: "503" })).toBe(3);
      expect(client.count("outbound_http_route_retry_limit_exceeded_total")).toBe(1);
      shop.send(get.replace("/ ", "/other "));
      await until("other", () => shop.times("500") === 1);
      expect(client.count("response_total", { status_code: "500" })).toBe(1);
    });

    test("a small body is sent again whole, a large one not at all", async () => {
      const app = await application((n) => n === 1 || n === 3 ? failing : respond("yes"));
      const { client, target } = pairOf(app.port, hint);
      target.configure(RETRY);
      const shop = dial(client.outbound);
      const post = (size: number) =>
        `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${size}\r\n\r\n${"b".repeat(size)}`;
      shop.send(post(900));
      await until("small", () => shop.text.endsWith("yes"));
      expect(app.received.join("").split("b".repeat(900)).length).toBe(3);
      shop.send(post(1_100));
      await until("large", () => shop.text.endsWith("no"));
    });

    test("a budget that is used up lets failures pass", async () => {
      const app = await application(() => failing);
      const { client, target } = pairOf(app.port, hint);
      target.configure({ ...RETRY, retriesMax: 1 });
      Object.assign(target, {
        budget: new RetryBudget({ ratio: 0.5, minPerSecond: 0, ttlMs: 10_000 }, 0),
      });
      for (let i = 0; i < 10; i++) {
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => shop.text === failing);
      }
      expect(client.count("response_total", { status_code: "503" })).toBe(15);
      expect(client.count("outbound_http_route_retry_overflow_total")).toBe(5);
    });

    test("a try that takes too long is given up, and another one made", async () => {
      const app = await application((n) => n === 1 ? "" : respond("yes"));
      const { client, target } = pairOf(app.port, hint);
      target.configure({ ...RETRY, tryTimeoutMs: 50 });
      const shop = dial(client.outbound);
      shop.send(get);
      await until("answer", () => shop.text.length > 0);
      expect(shop.text).toBe(respond("yes"));
    });

    test("a client that goes away takes its retries with it", async () => {
      const app = await application(() => failing);
      const { client, server, target } = pairOf(app.port, hint);
      const backoff = { minMs: 60_000, maxMs: 60_000, jitter: 0 };
      target.configure({ ...RETRY, backoff });
      const shop = dial(client.outbound);
      shop.send(get);
      await until("tried", () => client.count("outbound_http_route_retry_requests_total") === 1);
      shop.socket.resetAndDestroy();
      await until("gone", () => client.path.sessions === 0);
      expect(server.count("request_total")).toBe(1);
      expect(target.users).toBe(0);
    });
  });

  describe(`timeouts over ${hint === "h2" ? "HTTP/2" : "HTTP/1"} between proxies`, () => {
    test.each([
      ["requestMs", REQUEST_TIMEOUT],
      ["responseMs", RESPONSE_STREAM_TIMEOUT],
      ["idleMs", IDLE_TIMEOUT],
    ])(
      "%s: 504, and nothing goes on",
      async (name, { error, message, word }) => {
        const app = await application(() => "");
        const { client, server, target } = pairOf(app.port, hint);
        target.configure(undefined, { [name]: 40 });
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => shop.text.length > 0);
        expect(shop.text).toStartWith("HTTP/1.1 504 ");
        expect(shop.text).toContain(`l5d-proxy-error: ${message}\r\n`);
        await until("the application is told", () => app.sockets[0]?.destroyed === true);
        expect(client.count("outbound_http_errors_total", { error: "response timeout" })).toBe(1);
        await until("settled", () => target.balancer.pick(0)?.pending === 0);
        expect(server.count("response_total", { error: "canceled" })).toBe(1);
        expect(client.count("response_total", { error: word })).toBe(1);
        expect(client.count(STATUSES, { error })).toBe(1);
        expect(client.count(BACKEND_STATUSES, { error })).toBe(1);
      },
    );

    test("a last try without a response in time: 504", async () => {
      const app = await application(() => "");
      const { client, target } = pairOf(app.port, hint);
      target.configure({ ...RETRY, retriesMax: 1, tryTimeoutMs: 40 });
      const shop = dial(client.outbound);
      shop.send(get);
      await until("answer", () => shop.text.length > 0);
      expect(shop.text).toStartWith("HTTP/1.1 504 ");
      expect(shop.text).toContain("l5d-proxy-error: no response in time\r\n");
      const error = "RESPONSE_HEADERS_TIMEOUT";
      expect(client.count(STATUSES, { error })).toBe(1);
      expect(client.count(BACKEND_STATUSES, { error })).toBe(2);
    });

    test("a response that stops in the middle is cut off", async () => {
      const app = await application(() => "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nsome");
      const { client, target } = pairOf(app.port, hint);
      target.configure(undefined, { idleMs: 700 });
      const shop = dial(client.outbound);
      shop.send(get);
      await until("end", () => shop.over);
      expect(shop.text).toEndWith("some");
      expect(client.count(STATUSES, { error: "IDLE_TIMEOUT" })).toBe(1);
      expect(client.count(BACKEND_STATUSES, { error: "IDLE_TIMEOUT" })).toBe(1);
    });

    test("a request in time is not touched", async () => {
      const app = await application(() => respond("yes"));
      const { client, target } = pairOf(app.port, hint);
      target.configure(RETRY, { requestMs: 5_000, responseMs: 5_000, idleMs: 5_000 });
      const shop = dial(client.outbound);
      for (let i = 1; i < 5; i++) {
        shop.send(get);
        await until("answer", () => shop.times("yes") === i);
      }
    });
  });
}

test.each(["h2", "unknown"] as const)(
  "a peer that has retried behind says so (%s)",
  async (hint) => {
    const app = await application(() => failing);
    const { client, server, target } = pairOf(app.port, hint);
    const budget = { ratio: 0.5, minPerSecond: 0, ttlMs: 10_000 };
    target.configure(RETRY);
    target.budget = new RetryBudget(budget, 0);
    const ask = async () => {
      const shop = dial(client.outbound);
      shop.send(get);
      // What proxies say to each other is none of the application's business.
      await until("answer", () => shop.text === failing);
    };
    for (let i = 0; i < 4; i++) await ask();
    const retried = () => client.count("outbound_http_route_retry_requests_total");
    expect(retried()).toBe(2);
    // The application behind asks others, and its proxy retries for it.
    const behind = server.target().endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    behind.configure({ ...RETRY, retriesMax: 1 });
    const web = dial(server.outbound);
    web.send(get);
    await until("behind", () => web.text === failing);
    // One request became two: more than all that may be spent in front.
    for (let i = 0; i < 4; i++) await ask();
    expect(retried()).toBe(2);
    expect(client.count("outbound_http_route_retry_overflow_total")).toBeGreaterThanOrEqual(4);
  },
);
