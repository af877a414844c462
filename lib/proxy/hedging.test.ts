import { describe, expect, test } from "bun:test";
import type { HedgePolicy } from "../mesh/reliability.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { RetryBudget } from "./retry-budget.ts";

const { lab, cleanups, dial } = pathTests();

const HEDGE: HedgePolicy = { delayMs: 20, quantile: 0, requestBytesMax: 1_000 };
const get = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";
const requests = (server: RawServer) =>
  server.received.join("").split(/(?:GET|PUT|POST) \//).length - 1;

async function serve(answer: (socket: { write(text: string): void }) => void): Promise<RawServer> {
  const server = await new RawServer((socket) => answer(socket)).listen();
  cleanups.push(() => server.stop());
  return server;
}

for (const hint of ["h2", "unknown"] as const) {
  describe(`over ${hint === "h2" ? "HTTP/2" : "HTTP/1"} between proxies`, () => {
    async function world(slow: (socket: { write(text: string): void }) => void = () => {}) {
      const closed: number[] = [];
      const hanging = await serve(slow);
      hanging.server.on("connection", (socket) => socket.on("close", () => closed.push(1)));
      const quick = await serve((socket) => socket.write(respond("yes")));
      const client = lab.proxy("shop");
      const server = lab.proxy("web");
      const target = client.target();
      for (const app of [hanging, quick]) target.endpoints({ ...meshed(server, app.port), hint });
      target.configure(undefined, undefined, HEDGE);
      return { hanging, quick, client, target, closed };
    }

    test("the first answer wins, and the other attempt is cancelled", async () => {
      const { hanging, client, target, closed } = await world();
      for (let i = 0; i < 20 || requests(hanging) === 0; i++) {
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => shop.text === respond("yes"));
      }
      const hedged = client.count("malla_outbound_http_route_hedge_requests_total");
      // The quick one may be slow as well, on a loaded machine; then the second attempt loses.
      expect(hedged).toBeGreaterThanOrEqual(requests(hanging));
      const wins = client.count("malla_outbound_http_route_hedge_wins_total");
      expect(wins).toBeGreaterThan(0);
      expect(wins).toBeLessThanOrEqual(hedged);
      // The hanging application is told that nobody waits.
      await until("closed", () => closed.length === hanging.sockets.length);
      await until("nothing is under way", () => target.balancer.pick(0)?.pending === 0);
    });

    test("a failure is no answer while the other one is under way", async () => {
      const slowly = (socket: { write(text: string): void }) =>
        void setTimeout(() => socket.write(respond("no", "HTTP/1.1 503 No")), 40);
      const { client, quick } = await world(slowly);
      quick.server.close();
      const late = await serve((socket) => void setTimeout(() => socket.write(respond("ok")), 60));
      const target = client.target();
      const server = lab.proxy("web");
      target.configure(undefined, undefined, HEDGE);
      const bad = await serve(slowly);
      for (const app of [bad, late]) target.endpoints({ ...meshed(server, app.port), hint });
      for (let i = 0; i < 10; i++) {
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => shop.text.length > 0);
        expect(shop.text).toBe(respond("ok"));
      }
    });

    test("what may not be processed twice, or is too large, is sent once", async () => {
      const { client, hanging } = await world((socket) =>
        void setTimeout(() => socket.write(respond("late")), 60)
      );
      const body = (method: string, size: number) =>
        `${method} / HTTP/1.1\r\nhost: web\r\ncontent-length: ${size}\r\n\r\n${"b".repeat(size)}`;
      for (let i = 0; i < 6; i++) {
        for (const request of [body("POST", 10), body("PUT", 1_001)]) {
          const shop = dial(client.outbound);
          shop.send(request);
          await until("answer", () => /yes|late/.test(shop.text));
        }
      }
      expect(client.count("malla_outbound_http_route_hedge_requests_total")).toBe(0);
      for (let i = 0; requests(hanging) < 1 || i < 6; i++) {
        const shop = dial(client.outbound);
        shop.send(body("PUT", 999));
        await until("answer", () => /yes|late/.test(shop.text));
      }
    });

    test("a budget that is used up leaves the first attempt alone", async () => {
      const { client, target } = await world((socket) =>
        void setTimeout(() => socket.write(respond("late")), 60)
      );
      const budget = new RetryBudget({ ratio: 0, minPerSecond: 0, ttlMs: 10_000 }, 0);
      Object.assign(target, { budget });
      let late = 0;
      for (let i = 0; i < 20; i++) {
        const shop = dial(client.outbound);
        shop.send(get);
        await until("answer", () => /yes|late/.test(shop.text));
        if (shop.text.endsWith("late")) late++;
      }
      expect(client.count("malla_outbound_http_route_hedge_requests_total")).toBe(0);
      expect(client.count("malla_outbound_http_route_hedge_overflow_total")).toBeGreaterThanOrEqual(
        late,
      );
    });
  });
}

test("a percentile counts from the fiftieth answer on, for requests that begin then", async () => {
  let hangs = 0;
  const held: (() => void)[] = [];
  const answer = (socket: { write(text: string): void }) => {
    const go = () => void socket.write(respond("yes"));
    if (hangs-- > 0) held.push(go);
    else go();
  };
  const client = lab.proxy("shop");
  const target = client.target();
  for (const app of [await serve(answer), await serve(answer)]) {
    target.endpoints({ address: { ip: "127.0.0.1", port: app.port } });
  }
  target.configure(undefined, undefined, { ...HEDGE, delayMs: 0, quantile: 0.95 });
  const ask = () => {
    const shop = dial(client.outbound);
    shop.send(get);
    return shop;
  };
  const hedged = (outcome: string) =>
    client.count(`malla_outbound_http_route_hedge_${outcome}_total`);
  const answered = async (count: number) => {
    for (let i = 0; i < count; i++) {
      const shop = ask();
      await until("answer", () => shop.text === respond("yes"));
    }
  };
  await answered(49);
  hangs = 1;
  const early = ask();
  await until("it hangs", () => held.length === 1);
  await answered(1);
  hangs = 1;
  const late = ask();
  await until("answer of the other one", () => late.text === respond("yes"));
  expect(held.length).toBe(2);
  expect([hedged("requests"), hedged("wins")]).toEqual([1, 1]);
  expect(early.text).toBe("");
  held[0]!();
  await until("answer", () => early.text === respond("yes"));
});

test("a client that leaves ends both attempts", async () => {
  const hanging = [await serve(() => {}), await serve(() => {})];
  const client = lab.proxy("shop");
  const target = client.target();
  for (const app of hanging) {
    target.endpoints({ address: { ip: "127.0.0.1", port: app.port } });
  }
  target.configure(undefined, undefined, HEDGE);
  const shop = dial(client.outbound);
  shop.send(get);
  await until("both are asked", () => hanging.every((app) => requests(app) === 1));
  shop.socket.resetAndDestroy();
  await until("both are closed", () => hanging.every((app) => app.sockets[0]!.destroyed));
  expect(client.count("response_total", { error: "canceled" })).toBe(2);
});
