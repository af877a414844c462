import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import {
  type ClientHttp2Session,
  connect,
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { RawClient, RawServer, respond } from "../../test/support/raw-http.ts";
import {
  frame,
  framesOf,
  FrameSplitter,
  GET_BLOCK,
  hello,
  joined,
} from "../../test/support/raw-http2.ts";
import { identityOf, meshed, serverPolicy, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";

const { lab, cleanups } = pathTests();

type Serve = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

/** An application that speaks HTTP/2 in plain text. */
async function application(serve: Serve): Promise<number> {
  const server: Http2Server = createServer();
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => {
    sessions.add(session);
    session.on("error", () => {});
  });
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    stream.on("error", () => {});
    serve(stream, headers);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  cleanups.push(() => {
    for (const session of sessions) session.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function dial({ port }: { port: number }): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`);
  session.on("error", () => {});
  cleanups.push(() => session.destroy());
  return session;
}

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** 0 when the stream ended well. */
  readonly reset: number;
}

function ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
  body: readonly Uint8Array[] = [],
): Promise<Answer> {
  return new Promise((resolve) => {
    const stream = session.request(headers, { endStream: body.length === 0 });
    const answer = { headers: {}, trailers: {} };
    const chunks: Buffer[] = [];
    stream.on("response", (headers) => answer.headers = headers);
    stream.on("trailers", (trailers) => answer.trailers = trailers);
    stream.on("data", (chunk: Buffer) => void chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("close", () => {
      resolve({ ...answer, body: Buffer.concat(chunks), reset: stream.rstCode ?? 0 });
    });
    if (body.length === 0) return;
    for (const part of body) stream.write(part);
    stream.end();
  });
}

/** Echoes body and some headers. */
const echo: Serve = (stream, headers) => {
  stream.respond({
    ":status": 200,
    "x-path": headers[":path"],
    "x-client": headers["l5d-client-id"] ?? "",
    "x-authority": headers[":authority"] ?? "",
  });
  stream.pipe(stream);
};

/** A response that goes on. */
const HEAD_OF_200 = frame(1, 4, 1, Uint8Array.of(0x88));

const statusOf = (headers: IncomingHttpHeaders) => Number(headers[":status"]);
const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

describe("HTTP/2 through two proxies", () => {
  test("many requests at a time share one connection, each with its own answer", async () => {
    const { client, server } = lab.pair(await application(echo));
    const session = dial(client.outbound);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) =>
        ask(
          session,
          { ":path": `/${i}`, ":method": "POST", "l5d-client-id": "forged", "x-i": `${i}` },
          [
            Buffer.from(`body ${i}`),
          ],
        )),
    );
    for (const [i, { headers, body }] of answers.entries()) {
      const seen = [statusOf(headers), headers["x-path"], body.toString()];
      expect(seen).toEqual([200, `/${i}`, `body ${i}`]);
      expect(headers["x-client"]).toBe(identityOf("shop"));
    }
    expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
    expect(server.count("tcp_open_total", { peer: "dst" })).toBeLessThanOrEqual(2);
    const labels = { direction: "outbound", classification: "success", status_code: "200" };
    expect(client.count("response_total", labels)).toBe(200);
    expect(server.count("request_total", { client_id: identityOf("shop") })).toBe(200);
  });

  test("large bodies both ways, whatever the windows", async () => {
    const { client, server } = lab.pair(await application(echo));
    const session = dial(client.outbound);
    const bodies = [1, 70_000, 3_000_000, 9_000_000].map((size) => randomBytes(size));
    const answers = await Promise.all(
      bodies.map((body) => ask(session, { ":method": "POST", ":path": "/" }, [body])),
    );
    expect(answers.map(({ body }) => digest(body))).toEqual(bodies.map(digest));
    session.destroy();
    await until("gone", () => client.path.sessions === 0);
    expect(server.count("response_total", { status_code: "200" })).toBe(4);
  });

  test("trailers, and gRPC's status counted as success or failure", async () => {
    const port = await application((stream, headers) => {
      const status = String(headers["x-status"]);
      if (status === "only") {
        stream.respond({ ":status": 200, "grpc-status": "5" }, { endStream: true });
        return;
      }
      stream.respond({ ":status": 200 }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": status, "x-t": "1" }));
      stream.resume();
      stream.on("end", () => stream.end("answer"));
    });
    const { client } = lab.pair(port);
    const session = dial(client.outbound);
    for (const status of ["0", "14", "only"]) {
      const headers = {
        ":path": "/svc/Method",
        ":method": "POST",
        "content-type": "application/grpc",
        te: "trailers",
        "x-status": status,
      };
      const answer = await ask(session, headers, [Buffer.from("\0\0\0\0\0")]);
      if (status === "only") expect(answer.headers["grpc-status"]).toBe("5");
      else expect(answer.trailers).toMatchObject({ "grpc-status": status, "x-t": "1" });
    }
    const count = (grpc_status: string, classification: string) =>
      client.count("response_total", { direction: "outbound", grpc_status, classification });
    await until("counted", () => count("5", "success") === 1);
    expect([count("0", "success"), count("14", "failure")]).toEqual([1, 1]);
  });

  test("a client that resets a stream takes only that request with it", async () => {
    const seen: string[] = [];
    const port = await application((stream, headers) => {
      seen.push(String(headers[":path"]));
      stream.on("close", () => seen.push(`closed ${headers[":path"]}`));
      if (headers[":path"] !== "/slow") echo(stream, headers);
    });
    const { client, target } = lab.pair(port);
    const session = dial(client.outbound);
    const slow = session.request({ ":path": "/slow" });
    slow.on("error", () => {});
    await until("asked", () => seen.includes("/slow"));
    slow.close(8);
    await until("told", () => seen.includes("closed /slow"));
    expect(statusOf((await ask(session, { ":path": "/next" })).headers)).toBe(200);
    await until("ended", () => target.balancer.pick(0)?.pending === 0);
  });

  test("an application that resets a stream: so do we, with its code", async () => {
    const RST = frame(3, 0, 1, Uint8Array.of(0, 0, 0, 8));
    for (const answers of [false, true]) {
      const app = await new RawServer((socket, text) => {
        if (!text.startsWith("PRI")) return;
        socket.write(frame(4, 0, 0));
        if (answers) {
          socket.write(frame(1, 0x4, 1, Uint8Array.of(0x88)));
          socket.write(frame(0, 0, 1, Buffer.from("some")));
        }
        setTimeout(() => socket.write(RST), 10);
      }).listen();
      cleanups.push(() => app.stop());
      const { client } = lab.pair(app.port);
      const raw = new RawClient(client.outbound.port);
      cleanups.push(() => raw.stop());
      raw.socket.write(hello());
      raw.socket.write(frame(1, 0x5, 1, GET_BLOCK));
      const frames = () => framesOf(Buffer.from(raw.text, "latin1"));
      const ends = () =>
        frames().filter(({ type, flags }) => type === 3 || (type < 2 && (flags & 1) !== 0));
      await until("the end", () => ends().length > 0);
      const [end] = ends();
      expect([end?.type, end?.payload[3]]).toEqual([3, 8]);
      const data = frames().filter(({ type }) => type === 0).map(({ payload }) => payload);
      expect(Buffer.concat(data).toString()).toBe(answers ? "some" : "");
      const labels = { direction: "outbound", classification: "failure" };
      expect(client.count("response_total", labels)).toBe(1);
      expect(client.count("outbound_http_errors_total")).toBe(0);
    }
  });

  test("no endpoint: 503, and UNAVAILABLE for gRPC", async () => {
    const client = lab.proxy("shop");
    client.target().balancer.close();
    const session = dial(client.outbound);
    expect(statusOf((await ask(session, { ":path": "/" })).headers)).toBe(503);
    const grpc = { ":path": "/", ":method": "POST", "content-type": "application/grpc" };
    const { headers } = await ask(session, grpc, [Buffer.from("x")]);
    expect(headers).toMatchObject({ ":status": 200, "grpc-status": "14" });
    expect(headers["l5d-proxy-error"]).toBe("no endpoint is available");
  });

  test("who is not admitted gets 403, stream by stream", async () => {
    const port = await application(echo);
    const { client, server } = lab.pair(port);
    const session = dial(client.outbound);
    expect(statusOf((await ask(session, { ":path": "/" })).headers)).toBe(200);
    server.cell(port).set(serverPolicy(null));
    expect(statusOf((await ask(session, { ":path": "/" })).headers)).toBe(403);
    server.cell(port).set(serverPolicy({ kind: "unauthenticated" }));
    expect(statusOf((await ask(session, { ":path": "/" })).headers)).toBe(200);
  });

  test("an application that goes away with GOAWAY costs no request", async () => {
    let sessions = 0;
    const server = createServer();
    server.on("session", (session) => {
      sessions++;
      session.on("error", () => {});
      let streams = 0;
      session.on("stream", (stream: ServerHttp2Stream) => {
        stream.on("error", () => {});
        stream.respond({ ":status": 200 });
        stream.end("ok");
        if (++streams === 20) session.close();
      });
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    cleanups.push(() => server.close());
    const { client } = lab.pair((server.address() as AddressInfo).port);
    const session = dial(client.outbound);
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        Array.from({ length: 10 }, () => ask(session, { ":path": "/" })),
      );
      for (const { headers } of answers) expect(statusOf(headers)).toBe(200);
    }
    expect(sessions).toBeGreaterThan(5);
  });

  test.each([
    ["that it has not begun", 0, [], { status: 502, attempts: 3 }],
    ["in the middle of it", 1, [HEAD_OF_200, frame(0, 0, 1, Buffer.from("some"))], {
      status: 200,
      attempts: 1,
    }],
  ])("a request that GOAWAY ends, %s, is counted so", async (_, lastId, answer, wanted) => {
    const goaway = frame(7, 0, 0, Uint8Array.of(0, 0, 0, lastId, 0, 0, 0, 0));
    const splitters: FrameSplitter[] = [];
    const app = await new RawServer((socket, text, connection) => {
      const splitter = splitters[connection] ??= new FrameSplitter(24);
      const isAsked = splitter.push(Buffer.from(text, "latin1")).some(({ type }) => type === 1);
      if (isAsked) socket.end(joined([frame(4, 0, 0), ...answer, goaway]));
    }).listen();
    cleanups.push(() => app.stop());
    const client = lab.proxy("shop");
    client.target().endpoints({ address: { ip: "127.0.0.1", port: app.port } });
    const { headers, reset } = await ask(dial(client.outbound), { ":path": "/" });
    expect(statusOf(headers)).toBe(wanted.status);
    if (wanted.status === 200) expect(reset).toBe(2);
    else expect(headers["l5d-proxy-error"]).toBe("upstream connection: go away");
    const count = (name: string) =>
      client.count(`outbound_http_route_${name}`, { error: "GO_AWAY" });
    expect(count("request_statuses_total")).toBe(1);
    expect(count("backend_response_statuses_total")).toBe(wanted.attempts);
    expect(client.count("response_total", { error: "go away" })).toBe(wanted.attempts);
  });

  test("draining lets streams end, and tells the client to go elsewhere", async () => {
    let release = () => {};
    const port = await application((stream) => {
      release = () => {
        stream.respond({ ":status": 200 });
        stream.end("late");
      };
    });
    const { client } = lab.pair(port);
    const session = dial(client.outbound);
    const slow = ask(session, { ":path": "/" });
    const before = release;
    await until("asked", () => release !== before);
    let gone = false;
    session.on("goaway", () => gone = true);
    const drained = client.stop();
    await until("told", () => gone);
    release();
    expect((await slow).body.toString()).toBe("late");
    await drained;
  });
});

describe("HTTP/1 carried by HTTP/2 between proxies", () => {
  const pairOf = (port: number) => {
    const client = lab.proxy("shop");
    const server = lab.proxy("web");
    client.target().endpoints({ ...meshed(server, port), hint: "h2" });
    return { client, server };
  };

  async function http1(serve: (text: string) => string): Promise<RawServer> {
    const server = await new RawServer((socket, text) => void socket.write(serve(text))).listen();
    cleanups.push(() => server.stop());
    return server;
  }

  function speak(to: { port: number }): RawClient {
    const client = new RawClient(to.port);
    cleanups.push(() => client.stop());
    return client;
  }

  test("clients share a connection, and the application sees what was sent", async () => {
    const app = await http1(() => respond("ok"));
    const { client, server } = pairOf(app.port);
    const clients = Array.from({ length: 20 }, () => speak(client.outbound));
    for (const [i, one] of clients.entries()) {
      one.send(`GET /${i}?q HTTP/1.1\r\nHost: Web:80\r\nX-Mine: A b\r\nTe: trailers\r\n\r\n`);
    }
    await until("answers", () => clients.every((one) => one.text.endsWith("ok")));
    for (const one of clients) expect(one.text).toBe(respond("ok"));
    expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
    const requests = app.received.join("");
    expect(requests).toContain("GET /7?q HTTP/1.1\r\nhost: Web:80\r\nx-mine: A b\r\n");
    expect(requests).toContain(`l5d-client-id: ${identityOf("shop")}\r\n`);
    expect(requests).not.toContain("orig-proto");
  });

  test("bodies of a length, chunked ones, none; HEAD; absolute targets; HTTP/1.0", async () => {
    const app = await http1((text) =>
      text.startsWith("HEAD")
        ? "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n"
        : text.includes("/chunked")
        ? "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n"
        : "HTTP/1.1 204 No Content\r\n\r\n"
    );
    const { client } = pairOf(app.port);
    const one = speak(client.outbound);
    one.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    await until("head", () => one.text.endsWith("content-length: 7\r\n\r\n"));
    one.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc");
    await until("length", () => one.times("204") === 1);
    one.send(
      "PUT /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n",
    );
    await until("chunks", () => one.times("204") === 2);
    one.send("PUT /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
    await until("empty", () => one.times("204") === 3);
    one.send("GET http://b:81/abs HTTP/1.1\r\nhost: b:81\r\n\r\n");
    await until("absolute", () => one.times("204") === 4);
    one.send("GET /chunked HTTP/1.1\r\nhost: a\r\n\r\n");
    await until("chunked", () => one.text.endsWith("0\r\nx-t: 1\r\n\r\n"));
    expect(one.text).toContain("\r\ntransfer-encoding: chunked\r\n");
    const seen = app.received.join("");
    expect(seen).toMatch(/POST \/a HTTP\/1.1\r\nhost: a\r\ncontent-length: 3\r\n[^]*?\r\n\r\nabc/);
    expect(seen).toMatch(/PUT \/b [^]*?transfer-encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n/);
    expect(seen).toMatch(/PUT \/c [^]*?transfer-encoding: chunked\r\n\r\n0\r\n\r\n/);
    expect(seen).toContain("GET http://b:81/abs HTTP/1.1\r\nhost: b:81\r\n");
    const old = speak(client.outbound);
    old.send("GET /chunked HTTP/1.0\r\nhost: a\r\n\r\n");
    await until("old", () => old.over);
    expect(old.text).toEndWith("\r\n\r\nabc");
    expect(app.received.join("")).toContain("GET /chunked HTTP/1.0\r\nhost: a\r\n");
  });

  test("an upgrade has a connection of its own", async () => {
    const app = await http1((text) =>
      text.includes("websocket")
        ? "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhi"
        : text.toUpperCase()
    );
    const { client } = pairOf(app.port);
    const one = speak(client.outbound);
    one.send("GET / HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
    await until("greeting", () => one.text.endsWith("hi"));
    one.send("frames");
    await until("echo", () => one.text.endsWith("FRAMES"));
  });

  test("a response that breaks off is cut off", async () => {
    const app = await new RawServer((socket) => {
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
      setTimeout(() => socket.destroy(), 10);
    }).listen();
    cleanups.push(() => app.stop());
    const { client } = pairOf(app.port);
    const one = speak(client.outbound);
    one.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await until("end", () => one.over);
    expect(one.text).toEndWith("some");
  });

  test("a client that stops reading does not stop the others on the same connection", async () => {
    const size = 30_000_000;
    const app = await http1((text) =>
      text.includes("/large")
        ? `HTTP/1.1 200 OK\r\ncontent-length: ${size}\r\n\r\n${"x".repeat(size)}`
        : respond("small")
    );
    const { client, server } = pairOf(app.port);
    const slow = speak(client.outbound);
    slow.send("GET /large HTTP/1.1\r\nhost: a\r\n\r\n");
    await until("begun", () => slow.text.length > 0);
    slow.socket.pause();
    for (let i = 0; i < 20; i++) {
      const quick = speak(client.outbound);
      quick.send("GET /small HTTP/1.1\r\nhost: a\r\n\r\n");
      await until("small", () => quick.text.endsWith("small"));
    }
    expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
    slow.socket.resume();
    await until("large", () => slow.text.length > size);
    expect(slow.text.slice(slow.text.indexOf("\r\n\r\n") + 4)).toBe("x".repeat(size));
  }, 20_000);
});
