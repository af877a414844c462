import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Socket } from "node:net";
import { systemClock } from "../host/clock.ts";
import { parseNetwork } from "../mesh/address.ts";
import { RawClient, RawServer, respond } from "../../test/support/raw-http.ts";
import { identityOf, meshed, PathLab, serverPolicy, until } from "../../test/support/paths.ts";
import { fieldLinesOf } from "../wire/http/mod.ts";
import { Balancer, type PickWaiter } from "./balance.ts";

let lab: PathLab;
const open: { stop(): unknown }[] = [];

beforeAll(() => {
  lab = new PathLab(["shop", "web"]);
});
afterEach(async () => {
  for (const one of open.splice(0)) one.stop();
  await lab.stop();
});

async function application(
  serve: (socket: Socket, text: string, connection: number) => void,
): Promise<RawServer> {
  const server = await new RawServer(serve).listen();
  open.push(server);
  return server;
}

function dial(to: { port: number }): RawClient {
  const client = new RawClient(to.port);
  open.push(client);
  return client;
}

/** Answers each request head with its path. */
function paths(socket: Socket, text: string): void {
  for (const [, path] of text.matchAll(/^[A-Z]+ (\S+) HTTP/gm)) socket.write(respond(path ?? ""));
}

const get = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nhost: web\r\n${more}\r\n`;

describe("requests", () => {
  test("share connections on both hops, and say who asks", async () => {
    const app = await application(paths);
    const { client, server } = lab.pair(app.port);
    const shop = dial(client.outbound);
    for (const path of ["/a", "/b", "/c"]) {
      shop.send(get(path, "l5d-client-id: forged\r\nx-mine: 1\r\n"));
      await until(path, () => shop.text.endsWith(path));
    }
    expect(app.sockets.length).toBe(1);
    expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
    expect(app.received[0]).not.toContain("forged");
    expect(app.received[0]!.split(`l5d-client-id: ${identityOf("shop")}\r\n`).length).toBe(4);
    expect(app.received[0]!.split("x-mine: 1\r\n").length).toBe(4);
    const labels = { direction: "outbound", tls: "true", server_id: identityOf("web") };
    await until("counted", () => client.count("response_total", labels) === 3);
    expect(client.count("request_total", labels)).toBe(3);
    expect(client.count("response_total", { ...labels, classification: "success" })).toBe(3);
    expect(client.count("response_latency_ms_count", labels)).toBe(3);
    const inbound = { direction: "inbound", client_id: identityOf("shop"), status_code: "200" };
    expect(server.count("response_total", inbound)).toBe(3);
  });

  test.each(["h2", "unknown"] as const)(
    "say where they lead, in the words of peers' proxies alone, to a peer with hint %p",
    async (hint) => {
      const app = await application(paths);
      const { server, client } = lab.pair(app.port);
      const target = client.target().endpoints({ ...meshed(server, app.port), hint });
      target.added = fieldLinesOf([["l5d-dst-canonical", "web.test:80"]]);
      const forged = "l5d-dst-canonical: forged\r\nl5d-other: forged\r\n";
      const shop = dial(client.outbound);
      shop.send(get("/a", forged));
      await until("answer", () => shop.text.endsWith("/a"));
      expect(app.received[0]!.match(/l5d-(?!client-id).*/g)).toEqual([
        "l5d-dst-canonical: web.test:80",
      ]);
      server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
      const stranger = dial(server.inbound);
      stranger.send(get("/b", forged));
      await until("answer", () => stranger.text.endsWith("/b"));
      expect(app.received.join("").split("/b")[1]).not.toContain("l5d-");
    },
  );

  test("pipelined ones are answered in order", async () => {
    const app = await application((socket, text) => setTimeout(() => paths(socket, text), 1));
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    const asked = Array.from({ length: 40 }, (_, index) => `/${index}/`);
    shop.send(asked.map((path) => get(path)).join(""));
    await until("all", () => shop.times("HTTP/1.1 200 OK") === 40 && shop.text.endsWith("/39/"));
    expect([...shop.text.matchAll(/\/(\d+)\//g)].map(([path]) => path)).toEqual(asked);
    expect(app.sockets.length).toBe(1);
  });

  test("byte by byte, head and body", async () => {
    const app = await application((socket, text) => {
      if (text.includes("z")) socket.write(respond("done"));
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.socket.setNoDelay(true);
    for (const byte of "POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nxyz") {
      shop.send(byte);
      await Bun.sleep(0);
    }
    await until("answer", () => shop.text.endsWith("done"));
    expect(app.received[0]).toContain("POST /x HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n");
    expect(app.received[0]!.endsWith("\r\n\r\nxyz")).toBe(true);
  });

  test("chunked bodies and trailers go through, both ways", async () => {
    const body = "4;ext=1\r\nWiki\r\nA\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n";
    const app = await application((socket, text) => {
      if (text.endsWith("x-sum: 1\r\n\r\n")) {
        socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${body.slice(0, 9)}`);
        setTimeout(() => socket.write(body.slice(9)), 5);
      }
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("POST / HTTP/1.1\r\nhost: web\r\ntransfer-encoding: chunked\r\n\r\n");
    for (const part of [body.slice(0, 3), body.slice(3, 20), body.slice(20)]) {
      shop.send(part);
      await Bun.sleep(3);
    }
    await until("answer", () => shop.text.endsWith("x-sum: 1\r\n\r\n"));
    for (const text of [app.received[0] ?? "", shop.text]) {
      expect(text).toContain("\r\ntransfer-encoding: chunked\r\n");
      const [, chunked = ""] = text.split("\r\n\r\n");
      expect(chunked.replace(/(^|\r\n)[0-9a-f]+\r\n/g, "")).toBe("Wiki0123456789x-sum: 1");
    }
    shop.send(get("/again", "x: x-sum: 1\r\n"));
    await until("next", () => app.received[0]!.includes("/again"));
  });

  test("100-continue, then the body", async () => {
    const app = await application((socket, text) => {
      if (text.includes("100-continue")) socket.write("HTTP/1.1 100 Continue\r\n\r\n");
      if (text.endsWith("body")) socket.write(respond("ok"));
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("PUT / HTTP/1.1\r\nhost: web\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n");
    await until("continue", () => shop.text === "HTTP/1.1 100 Continue\r\n\r\n");
    shop.send("body");
    await until("answer", () => shop.text.endsWith("ok"));
  });

  test("HEAD, 204 and 304 have no body", async () => {
    const app = await application((socket, text) => {
      if (text.includes("HEAD ")) socket.write("HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n");
      else if (text.includes("/204")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
      else if (text.includes("/304")) {
        socket.write("HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n");
      } else socket.write(respond("end"));
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("HEAD / HTTP/1.1\r\nhost: web\r\n\r\n" + get("/204") + get("/304") + get("/last"));
    await until("all", () => shop.text.endsWith("end"));
    expect(shop.times("HTTP/1.1 ")).toBe(4);
    expect(shop.text).toContain("content-length: 999");
  });

  test("absolute targets go through; what concerns one connection does not", async () => {
    const app = await application(paths);
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(
      "GET http://web.example/a HTTP/1.1\r\nhost: web.example\r\nkeep-alive: timeout=5\r\n" +
        "connection: x-hop, keep-alive\r\nx-hop: 1\r\nx-end: 2\r\n\r\n",
    );
    await until("answer", () => shop.text.endsWith("http://web.example/a"));
    expect(app.received[0]).toStartWith("GET http://web.example/a HTTP/1.1\r\n");
    expect(app.received[0]).toContain("x-end: 2\r\n");
    for (const gone of ["x-hop", "keep-alive", "connection"]) {
      expect(app.received[0]).not.toContain(gone);
    }
  });

  test("a large body each way through a client that stops reading", async () => {
    const size = 24 << 20;
    let got = 0;
    const app = await application((socket, text) => {
      got += text.length;
      if (!text.includes("HTTP/1.1")) return;
      socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n`);
      socket.write(Buffer.alloc(size, "d"));
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.socket.removeAllListeners("data");
    let received = 0;
    let wrong = 0;
    shop.socket.on("data", (chunk) => {
      received += chunk.length;
      for (let i = 0; i < chunk.length; i += 4_096) if (chunk[i] === 0) wrong++;
      if (received % 7 === 0) {
        shop.socket.pause();
        setTimeout(() => shop.socket.resume(), 30);
      }
    });
    shop.send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${size}\r\n\r\n`);
    shop.socket.write(Buffer.alloc(size, "u"));
    await until("all down", () => received > size);
    await until("all up", () => got > size);
    expect(wrong).toBe(0);
    shop.socket.resume();
  }, 20_000);
});

describe("the end of connections", () => {
  test("a client that half-closes gets its answers", async () => {
    const app = await application((socket, text) => setTimeout(() => paths(socket, text), 10));
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/a") + get("/b"));
    shop.socket.end();
    await until("end", () => shop.over);
    expect(shop.text).toBe(respond("/a") + respond("/b"));
  });

  test("connection: close is kept on each side by itself", async () => {
    const app = await application(paths);
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/a", "connection: close\r\n"));
    await until("end", () => shop.over);
    expect(shop.text).toContain("connection: close\r\n");
    expect(app.received[0]).not.toContain("connection");
    const again = dial(client.outbound);
    again.send(get("/b"));
    await until("answer", () => again.text.endsWith("/b"));
    expect(app.sockets.length).toBe(1);
  });

  test("HTTP/1.0 closes unless asked otherwise", async () => {
    const app = await application((socket) => {
      socket.end("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
    });
    const { client } = lab.pair(app.port);
    const plain = dial(client.outbound);
    plain.send("GET / HTTP/1.0\r\n\r\n");
    await until("end", () => plain.over);
    expect(plain.text).toBe(
      "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
    );
    const keeping = dial(client.outbound);
    const ask = "GET / HTTP/1.0\r\nconnection: keep-alive\r\n\r\n";
    keeping.send(ask);
    await until("first", () => keeping.times("ok") === 1);
    expect(keeping.text).toContain("connection: keep-alive\r\n");
    keeping.send(ask);
    await until("second", () => keeping.times("ok") === 2);
    expect(keeping.over).toBe(false);
  });

  test("a body that lasts until the connection closes", async () => {
    const app = await application((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n\r\nsome ");
      setTimeout(() => socket.end("more"), 10);
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("end", () => shop.text.endsWith("0\r\n\r\n"));
    expect(shop.text).toBe(
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsome \r\n4\r\nmore\r\n0\r\n\r\n",
    );
    // Who does not know chunks is told by the end of the connection as well.
    const old = dial(client.outbound);
    old.send(get("/").replace("HTTP/1.1", "HTTP/1.0"));
    await until("end", () => old.over);
    expect(old.text).toBe("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nsome more");
    expect(old.error).toBe("");
  });

  test("a response that comes early does not stop the request", async () => {
    const app = await application((socket, text) => {
      if (text.includes("HTTP/1.1")) socket.write(respond("early"));
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 10\r\n\r\n12345");
    await until("early", () => shop.text.endsWith("early"));
    shop.send(`67890${get("/next")}`);
    await until("next", () => shop.times("early") === 2);
    expect(app.received[0]).toContain("1234567890");
  });

  test("a response that comes early and closes is still delivered", async () => {
    const app = await application((socket, text) => {
      if (text.includes("HTTP/1.1")) {
        socket.end(respond("no", "HTTP/1.1 413 Too Large\r\nconnection: close"));
      }
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 1000000\r\n\r\n12345");
    await until("end", () => shop.over);
    expect(shop.text).toStartWith("HTTP/1.1 413 Too Large");
    // Nobody may send another request on a connection whose rest is not read.
    expect(shop.text).toContain("\r\nconnection: close\r\n");
    expect(shop.text).toEndWith("no");
  });

  test("a client that goes away takes its request with it", async () => {
    const app = await application(() => {});
    const { client, server, target } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/slow"));
    await until("asked", () => app.received[0] !== undefined);
    shop.socket.resetAndDestroy();
    await until("all gone", () => client.path.sessions === 0 && server.path.sessions === 0);
    await until("closed", () => app.sockets[0]!.destroyed);
    expect(target.users).toBe(0);
    expect(target.balancer.pick(0)!.pending).toBe(0);
  });
});

describe("a policy that is replaced", () => {
  /** Has no endpoint; knows who waits for one. */
  class Empty extends Balancer {
    waits = 0;

    constructor() {
      super({ clock: systemClock, random: Math.random, defaultRttMs: 30, decayMs: 10_000 });
    }

    override wait(waiter: PickWaiter): void {
      this.waits++;
      super.wait(waiter);
    }
  }

  test("takes requests with it that wait for an endpoint", async () => {
    const app = await application(paths);
    const { client, target } = lab.pair(app.port);
    const next = target.balancer;
    const empty = new Empty();
    target.balancer = empty;
    const shop = dial(client.outbound);
    shop.send(get("/late"));
    await until("waiting", () => empty.waits === 1);
    target.balancer = next;
    empty.close();
    await until("answered", () => shop.text.endsWith("/late"));
  });

  test("takes connections with it that wait for an endpoint", async () => {
    const app = await application((socket, text) => socket.write(text));
    const { client, target } = lab.pair(app.port, "opaque");
    const next = target.balancer;
    const empty = new Empty();
    target.balancer = empty;
    const shop = dial(client.outbound);
    shop.send("ping");
    await until("waiting", () => empty.waits === 1);
    target.balancer = next;
    empty.close();
    await until("answered", () => shop.text === "ping");
  });

  test("fails who waits when there is nothing in its place", async () => {
    const app = await application(paths);
    const { client, target } = lab.pair(app.port);
    const empty = new Empty();
    target.balancer = empty;
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("waiting", () => empty.waits === 1);
    empty.close();
    await until("refused", () => shop.text.includes("503 Service Unavailable"));
  });
});

describe("tunnels", () => {
  test("an upgrade becomes a tunnel, with what came early", async () => {
    const app = await application((socket, text) => {
      if (!text.includes("HTTP/1.1")) socket.write(text.toUpperCase());
      else {
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nupgrade: chat\r\n" +
            "connection: upgrade\r\n\r\nwelcome ",
        );
      }
    });
    const { client, server } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/chat", "connection: upgrade\r\nupgrade: chat\r\n"));
    await until("upgraded", () => shop.text.endsWith("welcome "));
    expect(shop.text).toContain("upgrade: chat\r\n");
    expect(shop.text).toContain("connection: upgrade\r\n");
    expect(app.received[0]).toContain("connection: upgrade\r\n");
    shop.send("hello");
    await until("echo", () => shop.text.endsWith("HELLO"));
    server.cell(app.port).set(serverPolicy(null));
    await until("ended by the policy", () => shop.closed);
  });

  test("an upgrade that was not asked for is refused", async () => {
    const app = await application((socket) => {
      socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n");
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 502 ");
    expect(shop.text).not.toContain("smuggled");
  });

  test("CONNECT", async () => {
    const app = await application((socket, text) => {
      socket.write(text.startsWith("CONNECT") ? "HTTP/1.1 200 OK\r\n\r\n" : text.toUpperCase());
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\n\r\n");
    await until("connected", () => shop.text === "HTTP/1.1 200 OK\r\n\r\n");
    shop.send("hello");
    await until("echo", () => shop.text.endsWith("HELLO"));
  });
});

describe("malformed", () => {
  const requests: [string, string, number][] = [
    [
      "two lengths",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
      400,
    ],
    [
      "length and chunks",
      "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
      400,
    ],
    ["a folded line", "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\n folded\r\n\r\n", 400],
    ["a bare LF", "GET / HTTP/1.1\r\nhost: a\nx: 1\r\n\r\n", 400],
    ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["a space before the colon", "GET / HTTP/1.1\r\nhost: a\r\nx : 1\r\n\r\n", 400],
    ["another version", "GET / HTTP/1.7\r\nhost: a\r\n\r\n", 505],
    ["too much", `GET / HTTP/1.1\r\nhost: a\r\nx: ${"y".repeat(70_000)}\r\n\r\n`, 431],
  ];
  for (const [name, request, status] of requests) {
    test(`request with ${name}: ${status}, nothing forwarded`, async () => {
      const app = await application(paths);
      const { client } = lab.pair(app.port);
      const shop = dial(client.outbound);
      shop.send(request);
      await until("end", () => shop.over);
      expect(shop.text).toStartWith(`HTTP/1.1 ${status} `);
      expect(shop.text).toContain("connection: close\r\n");
      expect(shop.times("HTTP/1.1")).toBe(1);
      expect(app.sockets.length).toBe(0);
      expect(client.count("outbound_http_errors_total", { error: "bad request" })).toBe(1);
    });
  }

  test("a bad chunk size: 400, and the backend is not told that the body is complete", async () => {
    const app = await application(() => {});
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n");
    await until("forwarded", () => (app.received[0] ?? "").endsWith("ab\r\n"));
    shop.send("-1\r\nx");
    await until("end", () => shop.over);
    expect(shop.text).toStartWith("HTTP/1.1 400 ");
    await until("cut off", () => app.sockets[0]!.destroyed || app.sockets[0]!.readableEnded);
    expect(app.received[0]).toEndWith("ab\r\n");
  });

  const responses: [string, string][] = [
    ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"],
    ["no HTTP", "SSH-2.0-OpenSSH_9.2\r\n"],
    ["a bad status", "HTTP/1.1 abc OK\r\n\r\n"],
  ];
  for (const [name, response] of responses) {
    test(`response with ${name}: 502`, async () => {
      const app = await application((socket) => void socket.write(response));
      const { client } = lab.pair(app.port);
      const shop = dial(client.outbound);
      shop.send(get("/"));
      await until("answer", () => shop.text.includes("\r\n\r\n"));
      expect(shop.text).toStartWith("HTTP/1.1 502 ");
      expect(shop.text).toContain("l5d-proxy-error: ");
    });
  }
});

describe("failing backends", () => {
  for (
    const [name, head] of [
      ["of a length", "content-length: 100"],
      ["in chunks", "transfer-encoding: chunked"],
    ]
  ) {
    test(`death in the middle of a response ${name}: the client is cut off`, async () => {
      const app = await application((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n\r\n5\r\nhello\r\n`, () => {
          setTimeout(() => socket.resetAndDestroy(), 10);
        });
      });
      const { client, server } = lab.pair(app.port);
      const shop = dial(client.outbound);
      shop.send(get("/"));
      await until("end", () => shop.over);
      expect(shop.text).toEndWith("5\r\nhello\r\n");
      expect(shop.text).not.toContain("\r\n0\r\n");
      await until("counted", () => server.count("inbound_http_errors_total") === 1);
      expect(client.count("response_total", { classification: "failure" })).toBe(1);
    });
  }

  test("death before the response: 502 once, with the reason, and the connection stays", async () => {
    const app = await application((socket, text) => {
      if (text.includes("/die")) socket.resetAndDestroy();
      else paths(socket, text);
    });
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/die"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 502 Bad Gateway\r\n");
    expect(shop.text).toContain("l5d-proxy-error: ");
    shop.send(get("/live"));
    await until("next", () => shop.text.endsWith("/live"));
  });

  test("a kept connection that closes under a request: once more, if that is harmless", async () => {
    const app = await application((socket, text, connection) => {
      if (connection === 0 && !text.includes("/first")) socket.destroy();
      else if (connection === 2 && !text.includes("/first")) socket.destroy();
      else paths(socket, text);
    });
    const server = lab.proxy("web");
    server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
    const shop = dial(server.inbound);
    shop.send(get("/first"));
    await until("first", () => shop.text.endsWith("/first"));
    shop.send(get("/second"));
    await until("second", () => shop.text.endsWith("/second"));
    expect(app.sockets.length).toBe(2);
    app.sockets[1]!.destroy();
    await until("idle gone", () => server.count("tcp_open_connections", { peer: "dst" }) === 0);
    shop.send(get("/first"));
    await until("again", () => app.sockets.length === 3 && shop.times("/first") === 2);
    shop.send("POST / HTTP/1.1\r\nhost: web\r\ncontent-length: 1\r\n\r\nx");
    await until("refused", () => shop.text.includes("HTTP/1.1 502 "));
    expect(app.sockets.length).toBe(3);
  });

  test("an application that is not there: 502", async () => {
    const app = await application(paths);
    app.stop();
    const { client, server } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 502 ");
    expect(server.count("inbound_http_errors_total", { error: "i/o" })).toBe(1);
  });

  test("no endpoint: 503; no certificate: 503", async () => {
    const app = await application(paths);
    const { client, target } = lab.pair(app.port);
    client.credentials = null;
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 503 ");
    expect(client.count("outbound_http_errors_total", { error: "identity required" })).toBe(1);
    target.balancer.close();
    shop.text = "";
    shop.send(get("/"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 503 ");
    expect(client.count("outbound_http_errors_total", { error: "failfast" })).toBe(1);
  });

  test("a route that fails answers with its status", async () => {
    const client = lab.proxy("shop");
    client.target("detect", { kind: "fail", status: 403, message: "traffic not allowed" });
    const shop = dial(client.outbound);
    shop.send(get("/"));
    await until("answer", () => shop.text.includes("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 403 ");
    expect(shop.text).toContain("l5d-proxy-error: traffic not allowed\r\n");
  });

  test("an identity that the application demands must be the endpoint's", async () => {
    const app = await application(paths);
    const { client } = lab.pair(app.port);
    const shop = dial(client.outbound);
    shop.send(get("/good", `L5d-Require-Id: ${identityOf("web")}\r\n`));
    await until("answer", () => shop.text.endsWith("/good"));
    shop.send(get("/bad", "l5d-require-id: somebody.else\r\n"));
    await until("refusal", () => shop.times("\r\n\r\n") === 2);
    expect(shop.text).toContain("HTTP/1.1 502 ");
    expect(shop.text).toContain(
      `l5d-proxy-error: identity "somebody.else" is required, and the endpoint is "${
        identityOf("web")
      }"\r\n`,
    );
    client.target().endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    const plain = dial(client.outbound);
    plain.send(get("/plain", `l5d-require-id: ${identityOf("web")}\r\n`));
    await until("refusal", () => plain.text.endsWith("\r\n\r\n"));
    expect(plain.text).toContain("HTTP/1.1 502 ");
    expect(plain.text).toContain("the endpoint has none\r\n");
    plain.send(get("/after"));
    await until("answer", () => plain.text.endsWith("/after"));
    expect(app.received.join("")).not.toMatch(/bad|\/plain|require/i);
    expect(client.count("outbound_http_errors_total", { error: "identity required" })).toBe(2);
  });

  test.each(["inbound", "outbound"] as const)("what goes wrong is not told, %s", async (silent) => {
    const explains = { inbound: silent !== "inbound", outbound: silent !== "outbound" };
    const client = lab.proxy("shop", { explains });
    const server = lab.proxy("web", { explains });
    client.target().endpoints(meshed(server, 9));
    const shop = dial(client.outbound);
    server.cell(9).set(serverPolicy(null));
    shop.send(get("/"));
    await until("refusal", () => shop.text.endsWith("\r\n\r\n"));
    expect(shop.text).toStartWith("HTTP/1.1 403 ");
    expect(shop.text).not.toContain("l5d-");
    client.target("detect", { kind: "fail", status: 403, message: "traffic not allowed" });
    const other = dial(client.outbound);
    other.send(get("/"));
    await until("refusal", () => other.text.endsWith("\r\n\r\n"));
    expect(other.text.includes("l5d-proxy-error")).toBe(explains.outbound);
  });

  test("a replica whose application dies is left alone, and no request is lost", async () => {
    const first = await application(paths);
    const second = await application(paths);
    const client = lab.proxy("shop");
    const [one, two] = [lab.proxy("web"), lab.proxy("web")];
    client.target().endpoints(meshed(one, first.port), meshed(two, second.port));
    const shop = dial(client.outbound);
    const ask = async (count: number) => {
      for (let i = 0; i < count; i++) {
        shop.text = "";
        // Not idempotent: only what was certainly not sent may be sent again.
        shop.send("POST /x HTTP/1.1\r\nhost: web\r\ncontent-length: 1\r\n\r\ny");
        await until("answer", () => shop.text.endsWith("/x") || shop.text.includes("50"));
        expect(shop.text).toStartWith("HTTP/1.1 200 OK");
      }
    };
    await ask(30);
    expect(first.received.join("")).toContain("POST");
    expect(second.received.join("")).toContain("POST");
    first.stop();
    await until("idle gone", () => one.count("tcp_open_connections", { peer: "dst" }) === 0);
    await ask(60);
    expect(one.count("inbound_http_errors_total")).toBeLessThan(4);
  });

  test.each(["is there", "comes later"])(
    "a replica that is withdrawn and gone before it is reached: to another that %s",
    async (when) => {
      const app = await application(paths);
      const [client, web] = [lab.proxy("shop"), lab.proxy("web")];
      // Takes connections, says nothing and ends: a proxy that is being shut down.
      const gone = await application(() => {});
      const identity = { name: identityOf("web"), serverName: identityOf("web") };
      const address = { ip: "127.0.0.1", port: 1 };
      const target = client.target().endpoints({ address, identity, transportPort: gone.port });
      const shop = dial(client.outbound).send(get("/x"));
      await until("a handshake", () => gone.received.length === 1 && gone.received[0] !== "");
      target.balancer.update({ kind: "remove", addresses: [address] });
      if (when === "is there") target.endpoints(meshed(web, app.port));
      gone.stop();
      await until("failure", () => client.count("outbound_http_errors_total") === 1);
      if (when === "comes later") target.endpoints(meshed(web, app.port));
      await until("answer", () => shop.text.endsWith("/x"));
      expect(shop.text).toStartWith("HTTP/1.1 200 OK");
    },
  );
});

describe("balancing", () => {
  test("a replica that is 50 ms slower gets much less", async () => {
    const fast = await application((socket, text) => setTimeout(() => paths(socket, text), 2));
    const slow = await application((socket, text) => setTimeout(() => paths(socket, text), 52));
    const client = lab.proxy("shop");
    client.target().endpoints(
      { address: { ip: "127.0.0.1", port: fast.port } },
      { address: { ip: "127.0.0.1", port: slow.port } },
    );
    const shops = Array.from({ length: 4 }, () => dial(client.outbound));
    await Promise.all(shops.map(async (shop) => {
      for (let i = 0; i < 60; i++) {
        shop.text = "";
        shop.send(get("/x"));
        await until("answer", () => shop.text.endsWith("/x"));
      }
    }));
    const served = (app: RawServer) => app.received.join("").split("GET ").length - 1;
    expect(served(fast) + served(slow)).toBe(240);
    expect(served(slow)).toBeGreaterThan(0);
    expect(served(slow)).toBeLessThan(served(fast) / 3);
  });
});

describe("inbound policy", () => {
  test("403 for strangers, per request; probes pass", async () => {
    const app = await application(paths);
    const server = lab.proxy("web");
    const onlyShop = { kind: "identities", names: [identityOf("shop")], suffixes: [] } as const;
    server.cell(app.port).set(serverPolicy(onlyShop, {
      probes: [{ method: "GET" as const, path: "/ready" }],
      probeNetworks: [parseNetwork("127.0.0.0/8")],
    }));
    server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
    const stranger = dial(server.inbound);
    stranger.send(get("/"));
    await until("denied", () => stranger.text.includes("\r\n\r\n"));
    expect(stranger.text).toStartWith("HTTP/1.1 403 Forbidden\r\n");
    expect(stranger.text).not.toContain("l5d-");
    stranger.send(get("/ready?x=1"));
    await until("probe", () => stranger.text.endsWith("/ready?x=1"));
    expect(app.received.join("")).not.toContain("GET / ");
    const denied = { route_kind: "default", route_name: "default" };
    expect(server.count("inbound_http_authz_deny_total", denied)).toBe(1);
    const probe = { authz_name: "probe", route_kind: "default", route_name: "probe" };
    expect(server.count("inbound_http_authz_allow_total", probe)).toBe(1);
    server.cell(app.port).set(serverPolicy({ kind: "unauthenticated" }));
    stranger.send(get("/now"));
    await until("admitted", () => stranger.text.endsWith("/now"));
  });

  test("probes of whoever is admitted anyhow are a route of their own, if they say so", async () => {
    const app = await application(paths);
    const server = lab.proxy("web");
    const probes = {
      probes: [{ method: "GET" as const, path: "/ready" }],
      probeNetworks: [parseNetwork("127.0.0.0/8")],
    };
    server.cell(app.port).set(serverPolicy({ kind: "unauthenticated" }, probes));
    server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
    const client = dial(server.inbound);
    const ask = async (path: string, agent: string, method = "GET") => {
      const before = client.text.length;
      client.send(`${method} ${path} HTTP/1.1\r\nhost: web\r\nuser-agent: ${agent}\r\n\r\n`);
      await until("answer", () => client.text.length > before && client.text.endsWith(path));
    };
    await ask("/ready?a", "kube-probe/1.33");
    await ask("/ready", "curl/8.5.0");
    await ask("/other", "kube-probe/1.33");
    await ask("/ready", "kube-probe/1.33");
    const count = (name: string, route: string) => server.count(name, { route_name: route });
    await until("counted", () => server.count("inbound_http_requests_total") === 4);
    for (const name of ["request_total", "response_total", "inbound_http_requests_total"]) {
      expect([name, count(name, "probe"), count(name, "default")]).toEqual([name, 2, 2]);
    }
    const allowed = "inbound_http_authz_allow_total";
    expect(server.count(allowed, { authz_name: "probe", route_name: "probe" })).toBe(2);
    expect(server.count(allowed, { authz_name: "test", route_name: "default" })).toBe(2);
    // Another policy, other labels.
    server.cell(app.port).set(serverPolicy({ kind: "unauthenticated" }, {
      ...probes,
      resource: { group: "", kind: "default", name: "other", namespace: "", port: 0 },
    }));
    await ask("/ready", "kube-probe/1.33");
    expect(server.count("request_total", { route_name: "probe", srv_name: "other" })).toBe(1);
  });

  test("a peer with an identity is not counted as a probe, and may ask what all may", async () => {
    const app = await application(paths);
    const { client, server } = lab.pair(app.port);
    const probes = {
      probes: [{ method: "GET" as const, path: "/ready" }],
      probeNetworks: [parseNetwork("127.0.0.0/8")],
    };
    server.cell(app.port).set(serverPolicy({ kind: "unauthenticated" }, probes));
    const shop = dial(client.outbound);
    shop.send("GET /ready HTTP/1.1\r\nhost: web\r\nuser-agent: kube-probe/1.33\r\n\r\n");
    await until("answer", () => shop.text.endsWith("/ready"));
    expect(server.count("request_total", { route_name: "probe" })).toBe(0);
    expect(server.count("request_total", { route_name: "default" })).toBe(1);
    // What the policy opens to everybody is open to it all the same.
    const nobody = { kind: "identities", names: [], suffixes: [] } as const;
    server.cell(app.port).set(serverPolicy(nobody, probes));
    shop.send("GET /ready?again HTTP/1.1\r\nhost: web\r\n\r\n");
    await until("admitted", () => shop.text.endsWith("/ready?again"));
    shop.send("GET /other HTTP/1.1\r\nhost: web\r\n\r\n");
    await until("refused", () => shop.text.includes("HTTP/1.1 403 "));
  });

  test("a body behind a refused request is not taken for the next request", async () => {
    const app = await application(paths);
    const server = lab.proxy("web");
    server.cell(app.port).set(serverPolicy(null));
    server.inboundOriginal = { ip: "127.0.0.1", port: app.port };
    const stranger = dial(server.inbound);
    const inner = get("/smuggled");
    stranger.send(
      `POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${inner.length}\r\n\r\n${inner}`,
    );
    await until("answer", () => stranger.times("HTTP/1.1 403") === 1);
    stranger.send(get("/next"));
    await until("next answer", () => stranger.times("HTTP/1.1 403") === 2);
    // Where the body has not come, the connection ends, so that it cannot be taken for a request.
    const slow = dial(server.inbound);
    slow.send(`POST / HTTP/1.1\r\nhost: web\r\ncontent-length: ${inner.length}\r\n\r\n`);
    await until("answer", () => slow.times("HTTP/1.1 403") === 1);
    slow.send(inner);
    await until("end", () => slow.over);
    expect(slow.times("HTTP/1.1 403")).toBe(1);
    expect(slow.text).toContain("connection: close\r\n");
  });
});

describe("draining", () => {
  test("finishes what is under way, says close, and ends idle connections", async () => {
    const app = await application((socket, text) => setTimeout(() => paths(socket, text), 60));
    const client = lab.proxy("shop", { drainMs: 5_000 });
    client.target().endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    const idle = dial(client.outbound);
    idle.send(get("/idle"));
    await until("answer", () => idle.text.endsWith("/idle"));
    const busy = dial(client.outbound);
    busy.send(get("/busy"));
    await until("asked", () => app.received.join("").includes("/busy"));
    const drained = client.path.drain();
    await until("idle closed", () => idle.over);
    idle.socket.end();
    await until("answer", () => busy.text.endsWith("/busy"));
    expect(busy.text).toContain("connection: close\r\n");
    await until("busy closed", () => busy.over);
    busy.socket.end();
    await drained;
    await until("pools closed", () => app.sockets.every((socket) => socket.destroyed));
  });
});
