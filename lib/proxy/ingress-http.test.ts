import { describe, expect, test } from "bun:test";
import { connect } from "node:http2";
import { RawClient, RawServer, respond } from "../../test/support/raw-http.ts";
import { pathTests } from "../../test/support/path-tests.ts";
import { TestTarget, until } from "../../test/support/paths.ts";
import { INGRESS_NAMES_MAX } from "../base/limits.ts";
import type { PortProtocol } from "../mesh/policy.ts";
import type { PathSettings } from "./environment.ts";

const { lab, cleanups, dial } = pathTests();

const WEB = "web.shop.svc.cluster.local:80";

/** An application that answers each request with its own name. */
async function application(name: string): Promise<RawServer> {
  const server = await new RawServer((socket, text) => {
    for (const _ of text.matchAll(/HTTP\/1\.1\r\n/g)) socket.write(respond(name));
    if (!text.includes("HTTP/1.1")) socket.write(`${name} got ${text}`);
  }).listen();
  cleanups.push(() => server.stop());
  return server;
}

/** An ingress whose connections were going to `plain`, while `web` has a name as well. */
async function ingress(
  settings: Partial<PathSettings> = {},
  protocol: PortProtocol = "detect",
) {
  const [plain, web] = [await application("plain"), await application("web")];
  const proxy = lab.proxy("shop", { ingress: true, ...settings });
  const target = proxy.target(protocol).endpoints({
    address: { ip: "127.0.0.1", port: plain.port },
  });
  const named = proxy.named(WEB).endpoints({ address: { ip: "127.0.0.1", port: web.port } });
  return { proxy, plain, web, target, named, client: dial(proxy.outbound) };
}

const get = (override?: string, name = "l5d-dst-override") =>
  `GET / HTTP/1.1\r\nhost: shop.example\r\n${
    override === undefined ? "" : `${name}: ${override}\r\n`
  }\r\n`;

async function answer(client: RawClient, request: string): Promise<string> {
  client.text = "";
  client.send(request);
  await until("answered", () => /\r\n\r\n(?:plain|web)?$/.test(client.text));
  return client.text;
}

describe("in an ingress", () => {
  test("a request goes where its header says, others where they were going", async () => {
    const { client, web, plain, proxy, named } = await ingress();
    expect(await answer(client, get())).toEndWith("plain");
    expect(await answer(client, get(WEB))).toEndWith("web");
    // Without a port it is the usual one's; names have no case.
    expect(await answer(client, get("WEB.shop.svc.Cluster.local.", "L5D-Dst-Override")))
      .toEndWith("web");
    expect(await answer(client, get())).toEndWith("plain");
    expect([plain.sockets.length, web.sockets.length]).toEqual([1, 1]);
    expect(web.received[0]).toContain("host: shop.example\r\n");
    expect(web.received[0]!.toLowerCase()).not.toContain("l5d-dst-override");
    const counted = (authority: string) => proxy.count("request_total", { authority });
    expect([counted(WEB), counted("10.43.0.1:1000")]).toEqual([2, 2]);
    expect(named.users).toBe(1);
    client.stop();
    await until("released", () => named.users === 0);
  });

  test("where the pod is none, the header says nothing and goes no further", async () => {
    const { client, plain } = await ingress({ ingress: false });
    expect(await answer(client, get(WEB))).toEndWith("plain");
    expect(plain.received[0]).not.toContain("l5d-dst-override");
  });

  test("HTTP is looked for whatever is known of the port; what is none goes on", async () => {
    const { client, proxy } = await ingress({}, "opaque");
    expect(await answer(client, get(WEB))).toEndWith("web");
    const other = dial(proxy.outbound);
    other.send("PING 1\r\nPING 2\r\nPING 3\r\n");
    await until("relayed", () => other.text.startsWith("plain got PING"));
  });

  test("streams of one HTTP/2 connection go different ways", async () => {
    const { proxy } = await ingress();
    const session = connect(`http://127.0.0.1:${proxy.outbound.port}`);
    cleanups.push(() => session.destroy());
    const wrong = proxy.named("wrong.shop.svc.cluster.local:81", {
      kind: "fail",
      status: 403,
      message: "no such port",
    });
    const statuses = ["wrong.shop.svc.cluster.local:81", "10.0.0.1:80"].map((override) => {
      const stream = session.request({ ":path": "/", "l5d-dst-override": override });
      stream.on("error", () => {});
      return new Promise((done) => stream.on("response", (headers) => done(headers[":status"])));
    });
    expect(await Promise.all(statuses)).toEqual([403, 400]);
    expect(wrong.users).toBe(1);
  });

  test.each([
    "10.43.0.7:80",
    "[::1]:80",
    "web.shop:0",
    "web.shop:65536",
    "web.shop:http",
    "web..shop:80",
    "web.shop/path",
    ":80",
    "",
  ])("%p is no target", async (override) => {
    const { client, plain, proxy } = await ingress();
    expect(await answer(client, get(override))).toStartWith("HTTP/1.1 400 ");
    expect(client.text).toContain("l5d-proxy-error: l5d-dst-override is no name with a port\r\n");
    expect(proxy.count("outbound_http_errors_total", { error: "bad request" })).toBe(1);
    // The connection serves on, and nothing has gone where it was going.
    expect(plain.sockets.length).toBe(0);
    expect(await answer(client, get(WEB))).toEndWith("web");
  });

  test("clients from outside are told nothing of what is inside", async () => {
    const { client } = await ingress({ explains: { inbound: true, outbound: false } });
    expect(await answer(client, get("10.43.0.7:80"))).toStartWith("HTTP/1.1 400 ");
    expect(client.text).not.toContain("l5d-");
  });

  test("who asks for a name waits for its look-up, or hears that it failed", async () => {
    const { client, proxy } = await ingress();
    expect(await answer(client, get("unknown.shop:80"))).toStartWith("HTTP/1.1 503 ");
    expect(client.text).toContain("l5d-proxy-error: unknown target\r\n");
    const lookups = proxy.holdLookups();
    client.text = "";
    client.send(
      `POST / HTTP/1.1\r\nhost: a\r\nl5d-dst-override: ${WEB}\r\ncontent-length: 3\r\n\r\n`,
    );
    client.send("a");
    await until("asked", () => lookups.length === 1);
    client.send("bc");
    lookups.shift()?.();
    await until("answered", () => client.text.endsWith("web"));
  });

  test("of a client that has gone in the meantime nothing is sent", async () => {
    const { client, proxy, web, named } = await ingress();
    const lookups = proxy.holdLookups();
    const leaving = dial(proxy.outbound);
    // First where their connections were going.
    await until("asked", () => lookups.length === 2);
    for (const tell of lookups.splice(0)) tell();
    for (const one of [leaving, client]) one.send(get(WEB));
    await until("asked for the name", () => lookups.length === 2);
    leaving.socket.resetAndDestroy();
    await until("gone", () => proxy.count("tcp_close_total", { peer: "src" }) === 1);
    for (const tell of lookups.splice(0)) tell();
    await until("the other one is served", () => client.text.endsWith("web"));
    expect(web.received.join("").split("GET /").length - 1).toBe(1);
    expect(named.users).toBe(1);
  });

  test("no connection holds more names than it may", async () => {
    const { client, proxy, web } = await ingress();
    const others = Array.from({ length: INGRESS_NAMES_MAX }, (_, at) => `n${at}.shop:80`);
    const port = web.port;
    const targets = others.map((name) =>
      proxy.named(name).endpoints({ address: { ip: "127.0.0.1", port } })
    );
    const users = () => targets.reduce((sum, target: TestTarget) => sum + target.users, 0);
    expect(await answer(client, get(WEB))).toEndWith("web");
    for (const name of others) expect(await answer(client, get(name))).toEndWith("web");
    expect([users(), proxy.named(WEB).users]).toEqual([INGRESS_NAMES_MAX, 0]);
    client.stop();
    await until("released", () => users() === 0);
  });
});
