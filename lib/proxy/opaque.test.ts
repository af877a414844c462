import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { connect, createServer, type Server, type Socket } from "node:net";
import { respond } from "../../test/support/raw-http.ts";
import {
  identityOf,
  meshed,
  PathLab,
  serverPolicy,
  type TestProxy,
  until,
} from "../../test/support/paths.ts";
import type { Endpoint } from "../mesh/endpoint.ts";

let lab: PathLab;
const servers: Server[] = [];
const sockets: Socket[] = [];

beforeAll(() => {
  lab = new PathLab(["shop", "web", "other"]);
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
  await lab.stop();
});
afterAll(() => lab.stop());

/** An application that takes connections. */
async function application(serve: (socket: Socket) => void): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return (server.address() as { port: number }).port;
}

function dial(to: { port: number }): Socket & { ending: Promise<string> } {
  const socket = connect({ port: to.port, host: "127.0.0.1", allowHalfOpen: true });
  sockets.push(socket);
  const ending = new Promise<string>((done) => {
    socket.on("error", (error) => done((error as { code?: string }).code ?? "error"));
    socket.on("close", () => done("closed"));
  });
  return Object.assign(socket, { ending });
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function sha(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const echo = (socket: Socket) => void socket.pipe(socket);

describe("two proxies, opaque", () => {
  test("a client that half-closes gets its answer, and both sides count it", async () => {
    const port = await application(echo);
    const { client, server } = lab.pair(port, "opaque");
    const socket = dial(client.outbound);
    socket.end("hello");
    expect((await readAll(socket)).toString()).toBe("hello");
    await until("closed", () => client.path.sessions === 0 && server.path.sessions === 0);
    expect(client.count("tcp_open_total", { peer: "dst", tls: "true" })).toBe(1);
    const opaque = { protocol: "opaq", parent_name: "test" };
    expect(client.count("outbound_tcp_protocol_connections_total", opaque)).toBe(1);
    expect(client.count("tcp_write_bytes_total", { peer: "src" })).toBe(5);
    expect(client.count("tcp_read_bytes_total", { peer: "src" })).toBe(5);
    const from = { client_id: identityOf("shop"), tls: "true", peer: "src" };
    expect(server.count("tcp_open_total", from)).toBe(1);
    expect(server.count("tcp_close_total", { ...from, errno: "" })).toBe(1);
    expect(server.count("tcp_open_connections")).toBe(0);
    expect(server.count("inbound_tcp_authz_allow_total", { target_port: String(port) })).toBe(1);
  });

  test("a server that speaks first, on an opaque port and after detection's time", async () => {
    const port = await application((socket) => void socket.end("220 ready\r\n"));
    for (const protocol of ["opaque", "detect"] as const) {
      const { client } = lab.pair(port, protocol);
      const socket = dial(client.outbound);
      expect((await readAll(socket)).toString()).toBe("220 ready\r\n");
      socket.destroy();
    }
  });

  test("every byte arrives both ways through readers that stop", async () => {
    const up = randomBytes(32 << 20);
    const down = randomBytes(32 << 20);
    let atServer = "";
    const port = await application((socket) => {
      void pausing(socket).then((got) => void (atServer = sha(got)));
      socket.end(down);
    });
    const { client } = lab.pair(port, "opaque");
    const before = process.memoryUsage().rss;
    const socket = dial(client.outbound);
    const got = pausing(socket);
    socket.end(up);
    expect(sha(await got)).toBe(sha(down));
    await until("server's end", () => atServer !== "");
    expect(atServer).toBe(sha(up));
    // The test itself holds some 160 MB; a proxy that held what its reader does not take adds 64.
    expect(process.memoryUsage().rss - before).toBeLessThan(400 << 20);
  }, 30_000);

  test("a reset on one side is a reset on the other", async () => {
    const port = await application((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const { client, server } = lab.pair(port, "opaque");
    const socket = dial(client.outbound);
    socket.write("x");
    expect(await socket.ending).toBe("ECONNRESET");
    await until("closed", () => client.path.sessions === 0 && server.path.sessions === 0);
  });

  test("an application that is not there: the client is cut off", async () => {
    const port = await application(echo);
    servers.at(-1)!.close();
    const { client, server } = lab.pair(port, "opaque");
    const socket = dial(client.outbound);
    socket.write("x");
    expect(await socket.ending).toBe("ECONNRESET");
    expect(server.count("inbound_tcp_errors_total", { error: "i/o" })).toBe(1);
  });

  test("an endpoint that refuses is passed over", async () => {
    const port = await application(echo);
    const dead = await application(echo);
    servers.at(-1)!.close();
    const client = lab.proxy("shop");
    const target = client.target("opaque");
    target.endpoints(
      { address: { ip: "127.0.0.1", port } },
      { address: { ip: "127.0.0.1", port: dead } },
    );
    for (let i = 0; i < 8; i++) {
      const socket = dial(client.outbound);
      socket.end("hello");
      expect((await readAll(socket)).toString()).toBe("hello");
      socket.destroy();
    }
    await until("released", () => target.users === 0);
  });
});

describe("identity", () => {
  test("a peer with another name gets nothing", async () => {
    let connections = 0;
    const port = await application(() => void connections++);
    const { client, server, target } = lab.pair(port, "opaque");
    server.credentials = lab.credentials("other");
    const socket = dial(client.outbound);
    socket.write("secret");
    expect(await socket.ending).toBe("ECONNRESET");
    expect(connections).toBe(0);
    expect(client.count("outbound_tcp_errors_total", { error: "i/o" })).toBeGreaterThan(0);
    await until("released", () => target.users === 0);
  });

  test("without a certificate, meshed endpoints cannot be reached", async () => {
    const port = await application(echo);
    const { client } = lab.pair(port, "opaque");
    client.credentials = null;
    expect(await dial(client.outbound).ending).toBe("ECONNRESET");
    expect(client.count("outbound_tcp_errors_total", { error: "identity required" })).toBe(1);
  });

  test("a rotated certificate is used by the next connection, open ones go on", async () => {
    const port = await application(echo);
    const { client, server, target } = lab.pair(port, "opaque");
    const first = dial(client.outbound);
    first.write("a");
    await new Promise((done) => first.once("data", done));
    server.credentials = lab.credentials("other");
    target.balancer.update({ kind: "none", exists: true });
    target.endpoints(meshed(server, port, "other"));
    const second = dial(client.outbound);
    second.end("b");
    expect((await readAll(second)).toString()).toBe("b");
    first.end("c");
    expect((await readAll(first)).toString()).toBe("c");
  });

  test("an endpoint without a transport port is reached by TLS on its own", async () => {
    const tls = await import("node:tls");
    const { certificateChain, privateKey, trustAnchors } = lab.credentials("web");
    const server = tls.createServer({
      ...{ cert: certificateChain, key: privateKey, ca: trustAnchors, requestCert: true },
      minVersion: "TLSv1.3",
    }, (socket) => void socket.end(`alpn ${socket.alpnProtocol}`));
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const { port } = server.address() as { port: number };
    const client = lab.proxy("shop");
    const identity = { name: identityOf("web"), serverName: identityOf("web") };
    client.target("opaque").endpoints({ address: { ip: "127.0.0.1", port }, identity });
    expect((await readAll(dial(client.outbound))).toString()).toBe("alpn false");
  });
});

describe("inbound, redirected", () => {
  test("plain bytes reach the application where the policy admits anybody", async () => {
    const port = await application(echo);
    const server = lab.proxy("web");
    server.inboundOriginal = { ip: "127.0.0.1", port };
    const socket = dial(server.inbound);
    socket.end("hello");
    expect((await readAll(socket)).toString()).toBe("hello");
    const plain = { tls: "no_identity", no_tls_reason: "no_tls_from_remote", peer: "src" };
    expect(server.count("tcp_open_total", plain)).toBe(1);
  });

  test("a client without identity is refused where one is asked for", async () => {
    const port = await application(echo);
    const { client, server } = lab.pair(port, "opaque");
    server.cell(port).set(serverPolicy({
      kind: "identities",
      names: [identityOf("shop")],
      suffixes: [],
    }));
    server.inboundOriginal = { ip: "127.0.0.1", port };
    const stranger = dial(server.inbound);
    stranger.end("hello there");
    let heard = 0;
    stranger.on("data", (chunk: Buffer) => void (heard += chunk.length));
    // A reset if the words came before the refusal, else the plain end of an open connection.
    expect(["closed", "ECONNRESET"]).toContain(await stranger.ending);
    expect(heard).toBe(0);
    expect(server.count("inbound_tcp_authz_deny_total")).toBe(1);
    server.inboundOriginal = null;
    const friend = dial(client.outbound);
    friend.end("hello");
    expect((await readAll(friend)).toString()).toBe("hello");
  });

  test("a client that is refused before it says anything is not reset: it may be a probe", async () => {
    const port = await application(echo);
    const { server } = lab.pair(port, "opaque");
    server.cell(port).set(serverPolicy(null));
    server.inboundOriginal = { ip: "127.0.0.1", port };
    expect((await readAll(dial(server.inbound))).toString()).toBe("");
    expect(server.count("inbound_tcp_authz_deny_total")).toBe(1);
  });

  test("a policy that stops admitting ends open connections", async () => {
    const port = await application(echo);
    const { client, server } = lab.pair(port, "opaque");
    const socket = dial(client.outbound);
    socket.write("hello");
    await new Promise((done) => socket.once("data", done));
    server.cell(port).set(serverPolicy({ kind: "unauthenticated" }));
    socket.write("again");
    await new Promise((done) => socket.once("data", done));
    server.cell(port).set(serverPolicy(null));
    expect(await socket.ending).toBe("ECONNRESET");
  });

  test("TLS to our identity on the application's port is terminated", async () => {
    const port = await application((socket) => {
      socket.once("data", (chunk) => {
        const text = chunk.toString();
        const body = text.startsWith("GET ") ? text : text.toUpperCase();
        if (text.startsWith("GET ")) socket.end(respond(body));
        else socket.end(body);
      });
    });
    const server = lab.proxy("web");
    server.cell(port).set(serverPolicy({
      kind: "identities",
      names: [identityOf("shop")],
      suffixes: [],
    }));
    server.inboundOriginal = { ip: "127.0.0.1", port };
    const client = lab.proxy("shop", { poolIdleTimeoutMs: 100 });
    const identity = { name: identityOf("web"), serverName: identityOf("web") };
    // The kernel would lead the connection to the proxy's port; here the endpoint says so.
    const address = { ip: "127.0.0.1", port: server.inbound.port };
    client.target("detect").endpoints({ address, identity });
    const opaque = dial(client.outbound);
    opaque.end("hello");
    expect((await readAll(opaque)).toString()).toBe("HELLO");
    const http = dial(client.outbound);
    http.write("GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n");
    expect((await readAll(http)).toString()).toContain(`l5d-client-id: ${identityOf("shop")}`);
    http.destroy();
    const from = { tls: "true", client_id: identityOf("shop"), peer: "src" };
    expect(server.count("tcp_open_total", from)).toBe(2);
    await until("gone", () => server.path.sessions === 0);
  });

  test("TLS of others passes untouched", async () => {
    const tls = await import("node:tls");
    const { certificateChain, privateKey } = lab.credentials("other");
    const server = tls.createServer(
      { cert: certificateChain, key: privateKey },
      (socket) => void socket.end("from the application"),
    );
    servers.push(server);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    const proxy = lab.proxy("web");
    proxy.inboundOriginal = {
      ip: "127.0.0.1",
      port: (server.address() as { port: number }).port,
    };
    const socket = tls.connect({
      ...{ port: proxy.inbound.port, host: "127.0.0.1", servername: "shop.example" },
      rejectUnauthorized: false,
    });
    sockets.push(socket);
    expect((await readAll(socket)).toString()).toBe("from the application");
    const passed = { tls: "opaque", sni: "shop.example", peer: "src" };
    expect(proxy.count("tcp_open_total", passed)).toBe(1);
  });
});

describe("outbound, TLS of our own application", () => {
  test.each(["to a peer", "out of the mesh"])(
    "passes in any pieces, its name a label: %s",
    async (where) => {
      let taken = "";
      const port = await application(async (socket) => {
        taken = sha(await readAll(socket));
        socket.end();
      });
      const hello = await helloTo("shop.example");
      const { client, server } = lab.pair(port);
      const isMeshed = where === "to a peer";
      const address = { ip: "127.0.0.1", port };
      client.target().endpoints(isMeshed ? meshed(server, port) : { address });
      const socket = dial(client.outbound);
      socket.write(hello.subarray(0, 60));
      await until("taken", () => client.path.sessions === 1);
      expect(client.count("tcp_open_total")).toBe(0);
      socket.end(hello.subarray(60));
      expect(await socket.ending).toBe("closed");
      expect(taken).toBe(sha(hello));
      const open = (labels: Record<string, string>) => client.count("tcp_open_total", labels);
      const name = { tls: "opaque", sni: "shop.example" };
      expect(open({ ...name, peer: "src" })).toBe(1);
      // Between proxies it is inside the mesh's own TLS.
      expect(open(isMeshed ? { tls: "true", peer: "dst" } : { ...name, peer: "dst" })).toBe(1);
      expect(open({})).toBe(2);
      const counted = "outbound_tcp_protocol_connections_total";
      expect(client.count(counted, { protocol: "tls", parent_name: "test" })).toBe(1);
      expect(client.count(counted)).toBe(1);
    },
  );

  test("a port that is said to speak TLS waits for the hello, and takes what is none", async () => {
    const port = await application(echo);
    const client = lab.proxy("shop");
    client.target("tls").endpoints({ address: { ip: "127.0.0.1", port } });
    const socket = dial(client.outbound);
    const hello = await helloTo("shop.example");
    socket.write(hello);
    const back = await new Promise<Buffer>((done) => socket.once("data", done));
    expect(sha(back)).toBe(sha(hello));
    const other = dial(client.outbound);
    other.end("hello");
    expect((await readAll(other)).toString()).toBe("hello");
    const count = (labels: Record<string, string>) =>
      client.count("tcp_open_total", { peer: "src", ...labels });
    expect([count({ sni: "shop.example" }), count({ tls: "no_identity" })]).toEqual([1, 1]);
  });
});

describe("balancing", () => {
  /** A replica whose proxy is so far away; `served` connections have reached it. */
  async function replica(
    delayMs: number,
  ): Promise<{ served: number; endpoint: Partial<Endpoint> }> {
    const port = await application((socket) => {
      made.served++;
      echo(socket);
    });
    const server = lab.proxy("web");
    const transportPort = await delaying(server.inbound.port, delayMs);
    const made = { served: 0, endpoint: { ...meshed(server, port), transportPort } };
    return made;
  }

  async function answered(client: TestProxy): Promise<Socket> {
    const socket = dial(client.outbound);
    socket.write("hello");
    await new Promise((done) => socket.once("data", done));
    return socket;
  }

  test("a replica whose connections take longer to make gets few of them", async () => {
    const [near, far] = await Promise.all([replica(0), replica(100)]);
    const client = lab.proxy("shop");
    client.target("opaque").endpoints(far.endpoint, near.endpoint);
    for (let i = 0; i < 60; i++) {
      (await answered(client)).destroy();
      await until("closed", () => client.path.sessions === 0);
    }
    expect(near.served + far.served).toBe(60);
    expect(far.served).toBeLessThan(near.served / 3);
  });

  test("the nearer of two has its fill of connections that stay open, and the other gets some", async () => {
    const [near, far] = await Promise.all([replica(10), replica(20)]);
    const client = lab.proxy("shop");
    client.target("opaque").endpoints(far.endpoint, near.endpoint);
    for (let i = 0; i < 24; i++) await answered(client);
    expect(near.served + far.served).toBe(24);
    expect(far.served).toBeGreaterThanOrEqual(4);
  });
});

describe("strangers", () => {
  test("straight to the outbound port: nothing is relayed", async () => {
    const port = await application(echo);
    const { client } = lab.pair(port, "opaque");
    for (
      const original of [
        null,
        { ip: "127.0.0.1", port },
        { ip: "127.0.0.1", port: client.outbound.port },
        { ip: "::1", port },
      ]
    ) {
      client.outboundOriginal = original;
      const socket = dial(client.outbound);
      socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
      expect(await socket.ending).toMatch(/ECONNRESET|closed/);
      expect(socket.bytesRead).toBe(0);
    }
    expect(client.count("tcp_open_total", { peer: "dst" })).toBe(0);
  });

  test("straight to the inbound port: no HTTP, no header without a certificate", async () => {
    let connections = 0;
    const port = await application(() => void connections++);
    const server = lab.proxy("web");
    const plain = dial(server.inbound);
    plain.resume().end("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await plain.ending;
    expect(plain.bytesRead).toBeLessThan(20);
    const tls = await import("node:tls");
    const { encodeTransportHeader, TRANSPORT_PROTOCOL } = await import(
      "../wire/transport-header.ts"
    );
    const header = encodeTransportHeader({ port, name: "", protocol: "opaque" });
    const shop = lab.credentials("shop");
    const material = { cert: shop.certificateChain, key: shop.privateKey };
    for (
      const attempt of [
        { options: { ALPNProtocols: [TRANSPORT_PROTOCOL] }, bytes: header },
        { options: material, bytes: header },
        {
          options: { ...material, ALPNProtocols: [TRANSPORT_PROTOCOL] },
          bytes: Buffer.from("GET / HTTP/1.1\r\nhost: x\r\n\r\n"),
        },
        {
          options: { ...material, ALPNProtocols: [TRANSPORT_PROTOCOL] },
          bytes: encodeTransportHeader({
            port: server.outbound.port,
            name: "",
            protocol: "opaque",
          }),
        },
        {
          options: { ...material, ALPNProtocols: [TRANSPORT_PROTOCOL] },
          bytes: encodeTransportHeader({ port, name: "web.example", protocol: "opaque" }),
        },
      ]
    ) {
      const socket = tls.connect({
        ...{ port: server.inbound.port, host: "127.0.0.1", rejectUnauthorized: false },
        ...attempt.options,
      });
      sockets.push(socket);
      socket.on("error", () => {});
      const closed = new Promise((done) => socket.on("close", done));
      let answered = 0;
      socket.on("data", (chunk) => void (answered += chunk.length));
      socket.write(attempt.bytes);
      await closed;
      expect(answered).toBe(0);
    }
    expect(connections).toBe(0);
    await until("all gone", () => server.path.sessions === 0);
  });

  test("an address that is not the pod's, or the proxy's own port, is refused", async () => {
    const port = await application(echo);
    const server = lab.proxy("web");
    for (
      const original of [
        { ip: "10.9.9.9", port },
        { ip: "127.0.0.1", port: server.outbound.port },
      ]
    ) {
      server.inboundOriginal = original;
      const socket = dial(server.inbound);
      socket.write("hello\r\n");
      expect(await socket.ending).toMatch(/ECONNRESET|closed/);
    }
    expect(server.count("tcp_open_total")).toBe(0);
  });
});

describe("the end", () => {
  test("draining lets open bytes flow, then cuts off what is left", async () => {
    const port = await application(echo);
    const { client, server } = lab.pair(port, "opaque");
    const socket = dial(client.outbound);
    socket.write("hello");
    await new Promise((done) => socket.once("data", done));
    const drained = client.path.drain();
    expect(await dial(client.outbound).ending).toBe("ECONNREFUSED");
    socket.write("still here");
    expect(String(await new Promise((done) => socket.once("data", done)))).toBe("still here");
    await drained;
    expect(await socket.ending).toBe("ECONNRESET");
    await until("server's end", () => server.path.sessions === 0);
  });
});

/** The port of a relay to a port of this machine, by which every piece takes so long each way. */
async function delaying(port: number, delayMs: number): Promise<number> {
  return await application((near) => {
    const far = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    sockets.push(far);
    far.on("error", () => {});
    for (const [from, to] of [[near, far], [far, near]] as const) {
      from.on("data", (chunk) => void setTimeout(() => to.write(chunk), delayMs));
      from.on("close", () => to.destroy());
    }
  });
}

/** What a client says first to a server of that name. */
async function helloTo(servername: string): Promise<Buffer> {
  const said = Promise.withResolvers<Buffer>();
  const port = await application((socket) =>
    void socket.once("data", (chunk: Buffer) => said.resolve(chunk))
  );
  const tls = await import("node:tls");
  const socket = tls.connect({ port, host: "127.0.0.1", servername });
  socket.on("error", () => {});
  sockets.push(socket);
  return await said.promise;
}

/** Reads everything, but stops for a while now and then. */
function pausing(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let received = 0;
  let stops = 0;
  return new Promise((done) => {
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      received += chunk.length;
      if (received < (stops + 1) * (8 << 20) || stops >= 3) return;
      stops++;
      socket.pause();
      setTimeout(() => socket.resume(), 80);
    });
    socket.on("end", () => done(Buffer.concat(chunks)));
  });
}
