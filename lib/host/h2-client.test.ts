/** The client of control channels against Node's server. */

import { afterEach, describe, expect, test } from "bun:test";
import { createServer, type Http2Server, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type Server, type Socket } from "node:net";
import { Fault } from "../base/fault.ts";
import { MemoryPeer } from "../../test/support/http2-peers.ts";
import { createBunNet } from "./bun-net.ts";
import { systemClock } from "./clock.ts";
import { type H2Headers, type H2Session, openH2Session } from "./h2-client.ts";

let cleanups: (() => unknown)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.reverse()) cleanup();
  cleanups = [];
});

type Listening = Server | Http2Server;

async function portOf(server: Listening): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => server.close());
  return (server.address() as { port: number }).port;
}

/** A session to a server that gives its streams to `serve`. */
async function sessionTo(
  serve: (stream: ServerHttp2Stream, path: string) => void,
  settings: { maxConcurrentStreams?: number } = {},
) {
  const server = createServer({ settings });
  server.on("stream", (stream: ServerHttp2Stream, headers) => serve(stream, headers[":path"]!));
  return await open(await portOf(server));
}

async function open(port: number, pingMs = 10_000): Promise<H2Session> {
  const session = await openH2Session({
    net: createBunNet(),
    clock: systemClock,
    connect: { address: { ip: "127.0.0.1", port }, timeoutMs: 3_000 },
    authority: "service.example",
    pingMs,
    pingTimeoutMs: pingMs,
  });
  cleanups.push(() => session.close());
  return session;
}

interface Outcome {
  readonly headers: H2Headers;
  readonly text: string;
  readonly fault: Fault | null;
}

/** Calls, and tells what has come of it. */
function ask(session: H2Session, path: string, body = new Uint8Array(5)): Promise<Outcome> {
  return new Promise((resolve) => {
    const headers: Record<string, string | undefined> = {};
    let text = "";
    session.call(path, { te: "trailers" }, body, {
      headers: (more) => Object.assign(headers, more),
      data: (chunk) => text += new TextDecoder().decode(chunk),
      closed: (fault) => resolve({ headers, text, fault }),
    });
  });
}

function answer(stream: ServerHttp2Stream, text: string): void {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "x-path": "yes" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "0" }));
  stream.end(text);
}

describe("a call", () => {
  test("brings head, body and trailers", async () => {
    const session = await sessionTo((stream, path) => answer(stream, path));
    const { headers, text, fault } = await ask(session, "/one");
    expect(fault).toBeNull();
    expect(text).toBe("/one");
    expect(headers).toEqual(
      expect.objectContaining({ ":status": "200", "x-path": "yes", "x-end": "0" }),
    );
  });

  test("sends and takes more than a window", async () => {
    const session = await sessionTo((stream) => {
      let count = 0;
      stream.on("data", (chunk: Uint8Array) => count += chunk.length);
      stream.on("end", () => answer(stream, "x".repeat(count)));
    });
    const { text, fault } = await ask(session, "/", new Uint8Array(3_000_000));
    expect(fault).toBeNull();
    expect(text.length).toBe(3_000_000);
  });

  test("waits while the server has no room, and all come through", async () => {
    let open = 0;
    let most = 0;
    const session = await sessionTo((stream, path) => {
      most = Math.max(most, ++open);
      setTimeout(() => {
        open--;
        answer(stream, path);
      }, 5);
    }, { maxConcurrentStreams: 3 });
    await ask(session, "/first");
    const all = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(session, `/${i}`)));
    expect(all.map((outcome) => outcome.text)).toEqual(all.map((_, i) => `/${i}`));
    expect(most).toBe(3);
  });

  test("that the server resets ends with a fault", async () => {
    // Node's server in Bun ends the body first.
    const server = createTcpServer((socket) => {
      const peer = new MemoryPeer(true);
      peer.onEvent = (kind, stream) => {
        if (kind === "request") peer.session.reset(stream!, 0x2);
      };
      peer.session.start();
      socket.on("data", (bytes: Uint8Array) => {
        peer.receive(bytes);
        socket.write(peer.take());
      });
    });
    const session = await open(await portOf(server));
    const { fault } = await ask(session, "/");
    expect(fault?.code).toBe("unavailable");
    expect(fault?.message).toContain("internal error");
    expect(session.usable).toBe(true);
  });

  test("that is cancelled resets its stream, and nothing follows", async () => {
    const code = Promise.withResolvers<number | undefined>();
    const came = Promise.withResolvers<void>();
    const session = await sessionTo((stream, path) => {
      if (path !== "/long") return answer(stream, path);
      stream.on("error", () => {});
      stream.on("close", () => code.resolve(stream.rstCode));
      stream.respond({ ":status": 200 });
    });
    const call = session.call("/long", {}, new Uint8Array(0), {
      headers: () => came.resolve(),
      data: () => {},
      closed: () => came.reject(new Error("told of the end")),
    });
    await came.promise;
    call.cancel();
    expect(await code.promise).toBe(8);
    expect((await ask(session, "/short")).text).toBe("/short");
  });
});

describe("a session", () => {
  test("that is retired ends when the last call has", async () => {
    let held: ServerHttp2Stream | undefined;
    const came = Promise.withResolvers<void>();
    const closed = Promise.withResolvers<void>();
    const session = await sessionTo((stream) => {
      held = stream;
      stream.session!.on("close", () => closed.resolve());
      came.resolve();
    });
    const outcome = ask(session, "/");
    session.retire();
    expect(session.usable).toBe(false);
    await came.promise;
    answer(held!, "late");
    expect((await outcome).text).toBe("late");
    await closed.promise;
  });

  test("lets calls end that the server's GOAWAY admits, and takes no more", async () => {
    const session = await sessionTo((stream) => {
      stream.session!.goaway(0, stream.id);
      setTimeout(() => answer(stream, "late"), 20);
    });
    expect((await ask(session, "/")).text).toBe("late");
    expect(session.usable).toBe(false);
    expect(() => session.call("/", {}, new Uint8Array(0), NOTHING)).toThrow(Fault);
  });

  test("ends its calls when the connection is lost", async () => {
    const session = await sessionTo((stream) => {
      stream.on("error", () => {});
      stream.session!.destroy();
    });
    expect((await ask(session, "/")).fault?.code).toBe("unavailable");
    expect(session.usable).toBe(false);
  });

  test("ends when nobody answers its pings", async () => {
    const sockets: Socket[] = [];
    const server = createTcpServer((socket) => void sockets.push(socket.resume()));
    cleanups.push(() => sockets.forEach((socket) => socket.destroy()));
    const session = await open(await portOf(server), 20);
    expect((await ask(session, "/")).fault?.message).toContain("no answer to a ping");
  });

  test("ends at a server that does not speak HTTP/2", async () => {
    const server = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.end("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    });
    const session = await open(await portOf(server));
    expect((await ask(session, "/")).fault?.code).toBe("unavailable");
  });

  test("is not made where nobody listens", async () => {
    const server = createTcpServer();
    const port = await portOf(server);
    await new Promise((resolve) => server.close(resolve));
    await expect(open(port)).rejects.toThrow(`Cannot talk to 127.0.0.1:${port}`);
  });
});

const NOTHING = { headers() {}, data() {}, closed() {} };
