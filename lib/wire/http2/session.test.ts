import { describe, expect, test } from "bun:test";
import { Prng } from "../../base/prng.ts";
import { connected, MemoryPeer, relay } from "../../../test/support/http2-peers.ts";
import { frame, framesOf, GET_BLOCK, hello } from "../../../test/support/raw-http2.ts";
import { ErrorCode, FrameType } from "./frame.ts";

const GET = "GET /a?b HTTP/1.1\r\nHost: web:80\r\nX-Mine: A b";
const POST = "POST /p HTTP/1.1\r\nHost: web\r\nContent-Length: 5";

/** Random cuts, some of them of one byte. */
function cutBy(prng: Prng): (bytes: Uint8Array) => Uint8Array[] {
  return (bytes) => {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + prng.pick([1, 2, 8, 9, 10, 100, 20_000]));
      parts.push(bytes.slice(at, end));
      at = end;
    }
    return parts;
  };
}

/** A conversation with all that HTTP/2 has, and what each side saw of it. */
function converse(cut?: (bytes: Uint8Array) => Uint8Array[]): string[][] {
  const { client, server } = connected();
  server.onEvent = (kind, stream) => {
    if (kind !== "request" || stream === null) return;
    const target = stream.request?.targetText();
    if (target === "/early") server.answer(stream, "HTTP/1.1 103 Early\r\nLink: x", false);
    const isEmpty = target === "/empty";
    server.answer(stream, `HTTP/1.1 200 OK\r\nX-Target: ${target}`, isEmpty);
    if (isEmpty) return;
    server.body(stream, "x".repeat(target === "/large" ? 400_000 : 10), target === "/large");
    if (target !== "/large") server.ending(stream, [["grpc-status", "0"]]);
  };
  client.ask(GET, true);
  client.ask("GET /early HTTP/1.1\r\nHost: web", true);
  client.ask("GET /empty HTTP/1.1\r\nHost: web", true);
  client.ask("HEAD /empty HTTP/1.1\r\nHost: web", true);
  client.ask("GET /large HTTP/1.1\r\nHost: web", true);
  const long = client.ask(`GET / HTTP/1.1\r\nHost: web\r\nX-Long: ${"l".repeat(40_000)}`, false);
  const post = client.ask(POST, false);
  client.body(post, "hel", false);
  client.body(long, "y".repeat(300_000), false);
  client.body(post, "lo", true);
  client.ending(long, [["x-sum", "1"], ["connection", "x"]]);
  relay(client, server, cut);
  expect([client.session.streams.size, server.session.streams.size]).toEqual([0, 0]);
  expect([client.session.failed, server.session.failed]).toEqual([null, null]);
  return [client.log, server.log];
}

describe("a conversation", () => {
  test("arrives as it was sent", () => {
    const [client = [], server = []] = converse();
    const short = server.map((line) =>
      line.replace(/(l|y){1000,}/, "…").replace("; l5d-orig-proto: HTTP/1.1", "")
    );
    expect(short.filter((line) => !line.startsWith("data"))).toEqual([
      "settled",
      "request 1 GET /a?b web:80; x-mine: A b END",
      "request 3 GET /early web END",
      "request 5 GET /empty web END",
      "request 7 HEAD /empty web END",
      "request 9 GET /large web END",
      "request 11 GET / web; x-long: …",
      "request 13 POST /p web; content-length: 5",
      "trailers 11 x-sum: 1",
    ]);
    expect(merged(server)["13"]).toMatch(/hello END$/);
    expect(merged(server)["11"]).toContain("y".repeat(300_000));
    expect(client.filter((line) => line.includes(" 3 "))).toEqual([
      "interim 3 103; link: x",
      "response 3 200; x-target: /early",
      "data 3 xxxxxxxxxx",
      "trailers 3 grpc-status: 0",
    ]);
    expect(client).toContain("response 5 200; x-target: /empty END");
    expect(client).toContain("response 7 200; x-target: /empty END");
    const large = client.filter((line) => line.startsWith("data 9 ")).join("");
    expect(large.replaceAll(/data 9 /g, "")).toBe(`${"x".repeat(400_000)} END`);
  });

  test("is the same however its bytes are split", () => {
    const [client, server] = converse();
    for (let seed = 1; seed <= 20; seed++) {
      const [otherClient, otherServer] = converse(cutBy(new Prng(seed)));
      expect([seed, merged(otherClient)]).toEqual([seed, merged(client)]);
      expect([seed, merged(otherServer)]).toEqual([seed, merged(server)]);
    }
  });
});

describe("frames that few senders use", () => {
  test("padding is taken off, and given back to the windows", () => {
    const server = served();
    const padded = Uint8Array.of(2, ...GET_BLOCK, 0, 0);
    server.receive(frame(FrameType.HEADERS, 0x4 | 0x8, 1, padded));
    server.receive(frame(FrameType.DATA, 0x8, 1, Uint8Array.of(3, 0x68, 0x69, 0, 0, 0)));
    server.receive(frame(FrameType.DATA, 0x8 | 0x1, 1, Uint8Array.of(255, ...new Uint8Array(255))));
    expect(server.log).toEqual(["settled", "request 1 GET / a", "data 1 hi END"]);
    const [stream] = server.streams;
    expect([stream?.held, stream?.unacknowledged]).toEqual([0, 4 + 2 + 256]);
  });

  test("priorities and frames of unknown types are passed over, also within a stream", () => {
    const server = served();
    server.receive(frame(FrameType.PRIORITY, 0, 5, Uint8Array.of(0, 0, 0, 0, 1)));
    server.receive(frame(0x10, 0xff, 0, Uint8Array.of(1, 2, 3)));
    const dependent = Uint8Array.of(0x80, 0, 0, 3, 9, ...GET_BLOCK);
    server.receive(frame(FrameType.HEADERS, 0x24, 1, dependent));
    server.receive(frame(0xee, 0, 1, Uint8Array.of(1)));
    server.receive(frame(FrameType.DATA, 0x1, 1, Uint8Array.of(0x61)));
    expect(server.log).toEqual(["settled", "request 1 GET / a", "data 1 a END"]);
  });

  test("a block in many continuations, some of them empty", () => {
    const server = served();
    server.receive(frame(FrameType.HEADERS, 0x1, 1));
    for (const byte of GET_BLOCK) {
      server.receive(frame(FrameType.CONTINUATION, 0, 1, Uint8Array.of(byte)));
    }
    server.receive(frame(FrameType.CONTINUATION, 0, 1));
    server.receive(frame(FrameType.CONTINUATION, 0x4, 1));
    expect(server.log).toEqual(["settled", "request 1 GET / a END"]);
  });

  test("a ping is answered with what it held", () => {
    const server = served();
    const payload = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    server.receive(frame(FrameType.PING, 0, 0, payload));
    const [answer] = framesOf(server.take());
    expect(answer).toEqual({ type: FrameType.PING, flags: 1, streamId: 0, payload });
  });
});

describe("the end of a connection", () => {
  test("the first announcement still takes streams, the second takes no more", () => {
    const { client, server } = connected();
    const first = client.ask(GET, true);
    relay(client, server);
    server.session.goaway(false);
    // On its way while the announcement is.
    client.ask(GET, true);
    relay(client, server);
    expect(client.session.sender.mayOpen).toBe(false);
    server.session.goaway(true);
    const ids = framesOf(server.take()).map(({ payload }) => payload[3]);
    expect(ids).toEqual([3]);
    for (const stream of server.streams) server.answer(stream, "HTTP/1.1 200 OK", true);
    relay(client, server);
    expect(first.closed).toBe(true);
    expect(client.log).toEqual([
      "settled",
      "goaway no error",
      "response 1 200 END",
      "response 3 200 END",
    ]);
  });

  test("what comes on streams above the second announcement is passed over", () => {
    const server = served();
    server.receive(frame(FrameType.HEADERS, 0x4, 1, GET_BLOCK));
    server.session.goaway(true);
    server.receive(frame(FrameType.HEADERS, 0x4, 3, GET_BLOCK));
    server.receive(frame(FrameType.DATA, 0, 3, new Uint8Array(5)));
    server.receive(frame(FrameType.WINDOW_UPDATE, 0, 3, Uint8Array.of(0, 0, 0, 5)));
    server.receive(frame(FrameType.HEADERS, 0x5, 3, Uint8Array.of(0x88)));
    server.receive(frame(FrameType.RST_STREAM, 0, 3, Uint8Array.of(0, 0, 0, 8)));
    server.receive(frame(FrameType.DATA, 0x1, 1, Uint8Array.of(0x61)));
    expect(server.session.failed).toBeNull();
    expect(server.log).toEqual(["settled", "request 1 GET / a", "data 1 a END"]);
  });

  test("streams that the peer has not seen are refused, older ones go on", () => {
    const { client, server } = connected();
    client.ask(GET, true);
    relay(client, server);
    client.ask(GET, true);
    client.take();
    server.answer(server.streams[0]!, "HTTP/1.1 200 OK", true);
    server.session.goaway(true);
    for (const bytes of [server.take()]) client.receive(bytes);
    expect(client.log).toEqual([
      "settled",
      "response 1 200 END",
      "reset 3 refused stream",
      "goaway no error",
    ]);
  });
});

describe("resets", () => {
  test("are told once, to whichever side has not reset", () => {
    const { client, server } = connected();
    const stream = client.ask(POST, false);
    relay(client, server);
    client.session.reset(stream, ErrorCode.CANCEL);
    relay(client, server);
    const other = client.ask(POST, false);
    relay(client, server);
    server.session.reset(server.streams[1]!, ErrorCode.INTERNAL_ERROR);
    client.body(other, "late", true);
    relay(client, server);
    expect(server.log.at(-2)).toBe("reset 1 cancel");
    expect(client.log).toEqual(["settled", "reset 3 internal error"]);
    expect([client.session.failed, server.session.failed]).toEqual([null, null]);
  });

  test("a server's NO_ERROR behind its response ends a request that goes on", () => {
    const { client, server } = connected();
    const stream = client.ask(POST, false);
    relay(client, server);
    server.answer(server.streams[0]!, "HTTP/1.1 413 Too Large", true);
    server.session.reset(server.streams[0]!, ErrorCode.NO_ERROR);
    relay(client, server);
    expect(client.log).toEqual(["settled", "response 1 413 END", "reset 1 no error"]);
    client.body(stream, "more", true);
    expect(client.take().length).toBe(0);
  });

  test("of as many streams as there may be, with frames on their way, harm no other", () => {
    for (const side of ["client", "server"] as const) {
      const { client, server } = connected();
      const kept = client.ask("POST /kept HTTP/1.1\r\nHost: web\r\nContent-Length: 4", false);
      const streams = Array.from({ length: 999 }, () => client.ask(POST, false));
      relay(client, server);
      if (side === "client") {
        for (const stream of server.streams) {
          server.answer(stream, "HTTP/1.1 200 OK", false);
          server.body(stream, "late", false);
        }
        for (const stream of streams) client.session.reset(stream, ErrorCode.CANCEL);
      } else {
        for (const stream of streams) client.body(stream, "late", false);
        for (const stream of server.streams.slice(1)) server.session.reset(stream, 0);
      }
      client.body(kept, "kept", true);
      relay(client, server);
      expect(server.log).toContain("data 1 kept END");
      expect([side, client.session.failed, server.session.failed]).toEqual([side, null, null]);
    }
  });
});

describe("how many streams there may be", () => {
  test("a client opens a hundred until it is told, then as many as it is told", () => {
    const client = new MemoryPeer(false);
    client.session.start();
    const openAll = () => {
      while (client.session.sender.mayOpen) client.ask(GET, true);
      return client.streams.length;
    };
    expect(openAll()).toBe(100);
    client.receive(frame(FrameType.SETTINGS, 0, 0, Uint8Array.of(0, 3, 0, 0, 0, 102)));
    expect(openAll()).toBe(102);
    client.receive(frame(FrameType.HEADERS, 0x5, 1, Uint8Array.of(0x88)));
    expect(openAll()).toBe(103);
  });

  test("a server refuses what is above its bound, and stays in step with the header table", () => {
    const server = served();
    for (let i = 0; i < 1_001; i++) {
      server.receive(frame(FrameType.HEADERS, 0x5, i * 2 + 1, GET_BLOCK));
    }
    const last = framesOf(server.take()).at(-1);
    expect(last).toMatchObject({ type: FrameType.RST_STREAM, streamId: 2_001 });
    expect(last?.payload[3]).toBe(ErrorCode.REFUSED_STREAM);
    expect([server.streams.length, server.session.failed]).toEqual([1_000, null]);
  });
});

/** A server that a client has greeted. */
function served(): MemoryPeer {
  const server = new MemoryPeer(true);
  server.session.start();
  server.receive(hello());
  server.take();
  return server;
}

/** The lines of each stream in their order: how streams take turns depends on the socket. */
function merged(lines: readonly string[] = []): Record<string, string> {
  const streams: Record<string, string> = {};
  for (const line of lines) {
    const [kind = "", id = "", ...rest] = line.split(" ");
    const text = kind === "data" ? rest.join(" ") : `\n${kind} ${rest.join(" ")}`;
    streams[id] = (streams[id] ?? "") + text;
  }
  return streams;
}
