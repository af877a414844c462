import { describe, expect, test } from "bun:test";
import { FullBacklog } from "../../test/support/full-backlog.ts";
import { RawServer, respond } from "../../test/support/raw-http.ts";
import { frame, GET_BLOCK, hello } from "../../test/support/raw-http2.ts";
import { meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { USUAL_LIMITS } from "./path-limits.ts";

const { lab, cleanups, dial } = pathTests();

const END_STREAM = 1;
const END_HEADERS = 4;

/** An application that holds all requests until the test lets it answer. */
async function holding() {
  const held: (() => void)[] = [];
  const server = await new RawServer((socket, text) => {
    for (const _ of text.matchAll(/^GET /gm)) held.push(() => socket.write(respond("yes")));
  }).listen();
  cleanups.push(() => server.stop());
  return { port: server.port, held };
}

const get = "GET / HTTP/1.1\r\nhost: web\r\n\r\n";

describe("before the application", () => {
  async function world(limits: Partial<typeof USUAL_LIMITS>) {
    const app = await holding();
    const client = lab.proxy("shop");
    const server = lab.proxy("web", { limits: { ...USUAL_LIMITS, ...limits } });
    client.target().endpoints({ ...meshed(server, app.port), hint: "h2" });
    const ask = () => {
      const shop = dial(client.outbound);
      shop.send(get);
      return shop;
    };
    return { app, client, server, ask };
  }

  test("as many as the limit get in, one waits, and the next is told at once", async () => {
    const limits = { inboundConcurrency: 2, inboundQueueMax: 1, inboundQueueMs: 60_000 };
    const { app, client, server, ask } = await world(limits);
    const first = [ask(), ask()];
    await until("two are in", () => app.held.length === 2);
    const waiter = ask();
    await until("waits", () => server.count("malla_inbound_concurrency_waiting") === 1);
    const shed = ask();
    await until("told", () => shed.text.length > 0);
    expect(shed.text).toStartWith("HTTP/1.1 503 ");
    expect(shed.text).toContain("l5d-proxy-error: too many requests are under way");
    expect(server.count("inbound_http_errors_total", { error: "loadshed" })).toBe(1);
    expect(server.count("malla_inbound_concurrency_limit")).toBe(2);
    expect(app.held.length).toBe(2);
    app.held[0]!();
    await until("the waiter is in", () => app.held.length === 3);
    for (const answer of app.held.splice(1)) answer();
    for (const one of [...first, waiter]) await until("good", () => one.text === respond("yes"));
    await until("empty", () => server.count("malla_inbound_concurrency_in_flight") === 0);
    expect(client.count("response_total", { status_code: "503" })).toBe(1);
  });

  test("who waits too long is told", async () => {
    const limits = { inboundConcurrency: 1, inboundQueueMs: 100 };
    const { app, server, ask } = await world(limits);
    ask();
    await until("in", () => app.held.length === 1);
    const late = ask();
    await until("told", () => late.text.length > 0);
    expect(late.text).toContain("l5d-proxy-error: waited too long for a turn");
    expect(server.count("inbound_http_errors_total", { error: "failfast" })).toBe(1);
    expect(server.count("malla_inbound_concurrency_waiting")).toBe(0);
  });

  test("a client that leaves gives its place, or its turn, to the next one", async () => {
    const limits = { inboundConcurrency: 1, inboundQueueMs: 60_000 };
    const { app, server, ask } = await world(limits);
    const waiting = (count: number) => () =>
      server.count("malla_inbound_concurrency_waiting") === count;
    const first = ask();
    await until("in", () => app.held.length === 1);
    const second = ask();
    await until("second waits", waiting(1));
    const third = ask();
    await until("third waits", waiting(2));
    second.socket.resetAndDestroy();
    await until("second has gone", waiting(1));
    first.socket.resetAndDestroy();
    await until("third is in", () => app.held.length === 2);
    app.held[1]!();
    await until("answered", () => third.text === respond("yes"));
    expect(server.count("malla_inbound_concurrency_in_flight")).toBe(0);
  });

  test("a caller with much of it takes neither room nor turn from another one", async () => {
    const arrived: { path: string; answer: () => void }[] = [];
    const app = await new RawServer((socket, text) => {
      for (const [, path = ""] of text.matchAll(/^GET (\S+) /gm)) {
        arrived.push({ path, answer: () => socket.write(respond("yes")) });
      }
    }).listen();
    cleanups.push(() => app.stop());
    const limits = { inboundConcurrency: 1, inboundQueueMax: 2, inboundQueueMs: 60_000 };
    const server = lab.proxy("web", { limits: { ...USUAL_LIMITS, ...limits } });
    const [greedy, modest] = [lab.proxy("shop"), lab.proxy("web")];
    for (const client of [greedy, modest]) {
      client.target().endpoints({ ...meshed(server, app.port), hint: "h2" });
    }
    const ask = (client: typeof greedy, path: string) => {
      const one = dial(client.outbound);
      one.send(get.replace("/", path));
      return one;
    };
    const waiting = () => server.count("malla_inbound_concurrency_waiting");
    const first = ask(greedy, "/greedy-1");
    await until("in", () => arrived.length === 1);
    const second = ask(greedy, "/greedy-2");
    await until("waits", () => waiting() === 1);
    const third = ask(greedy, "/greedy-3");
    await until("no more may wait", () => waiting() === 2);
    const other = ask(modest, "/modest");
    // The newest of who has most waiting makes room.
    await until("told", () => third.text.length > 0);
    expect(third.text).toContain("l5d-proxy-error: too many requests are under way");
    expect(waiting()).toBe(2);
    for (let i = 0; i < 3; i++) {
      await until("the next one", () => arrived.length === i + 1);
      arrived[i]!.answer();
    }
    for (const one of [first, second, other]) {
      await until("good", () => one.text === respond("yes"));
    }
    expect(arrived.map(({ path }) => path)).toEqual(["/greedy-1", "/greedy-2", "/modest"]);
  });

  test("a client of HTTP/2 that ends its connection has left its place", async () => {
    const { client, server } = await world({ inboundConcurrency: 1 });
    const shop = dial(client.outbound);
    shop.socket.write(hello());
    shop.socket.write(frame(1, END_STREAM | END_HEADERS, 1, GET_BLOCK));
    const inFlight = () => server.count("malla_inbound_concurrency_in_flight");
    await until("in", () => inFlight() === 1);
    // All that the kernel says of a process that has ended.
    shop.socket.end();
    await until("left", () => inFlight() === 0);
    expect(client.count("response_total", { error: "canceled" })).toBe(1);
  });

  test("without a limit nothing is listed", async () => {
    const { app, server, ask } = await world({});
    const one = ask();
    await until("in", () => app.held.length === 1);
    app.held[0]!();
    await until("answered", () => one.text === respond("yes"));
    expect(server.metrics.text()).not.toContain("malla_inbound_concurrency_limit{");
  });
});

describe("before a service", () => {
  test("more than may be under way are told at once", async () => {
    const app = await holding();
    const client = lab.proxy("shop", { limits: { ...USUAL_LIMITS, outboundInFlightMax: 1 } });
    client.target().endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    const [first, shed] = [dial(client.outbound), dial(client.outbound)];
    first.send(get);
    await until("in", () => app.held.length === 1);
    shed.send(get);
    await until("told", () => shed.text.length > 0);
    expect(shed.text).toContain("l5d-proxy-error: too many requests are under way");
    expect(client.count("outbound_http_errors_total", { error: "loadshed" })).toBe(1);
    app.held[0]!();
    await until("answered", () => first.text === respond("yes"));
    shed.send(get);
    await until("in again", () => app.held.length === 2);
  });

  /** Two requests of which one is told at once; the other one. */
  async function oneIsShed(client: ReturnType<typeof lab.proxy>) {
    const both = [dial(client.outbound), dial(client.outbound)];
    for (const one of both) one.send(get);
    await until("told", () => both.some(({ text }) => text.length > 0));
    const shed = both.find(({ text }) => text.length > 0);
    expect(shed!.text).toStartWith("HTTP/1.1 503 ");
    expect(shed!.text).toContain("l5d-proxy-error: too many requests are under way");
    expect(client.count("outbound_http_errors_total", { error: "loadshed" })).toBe(1);
    return both.find((one) => one !== shed)!;
  }

  test("more than may wait for a first endpoint are told at once", async () => {
    const client = lab.proxy("shop");
    const target = client.target();
    target.balance({ queueMax: 1, queueMs: 60_000 });
    const waiter = await oneIsShed(client);
    const app = await holding();
    target.endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    await until("in", () => app.held.length === 1);
    app.held[0]!();
    await until("answered", () => waiter.text === respond("yes"));
  });

  test("more than may wait for a connection are told at once", async () => {
    const full = new FullBacklog();
    cleanups.push(() => full.stop());
    const first = dial({ port: full.port });
    await until("the queue is full", () => !first.socket.connecting);
    const limits = { ...USUAL_LIMITS, outboundQueueMax: 1, outboundQueueMs: 60_000 };
    const client = lab.proxy("shop", { limits, outboundConnectTimeoutMs: 60_000 });
    client.target().endpoints({ address: { ip: "127.0.0.1", port: full.port } });
    expect((await oneIsShed(client)).text).toBe("");
  });
});
