/** What HTTP/2 between proxies must not lose or break, on a connection that many requests share. */

import { expect, test } from "bun:test";
import { createServer, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { HEADER_BYTES_MAX, HEADER_COUNT_MAX } from "../base/limits.ts";
import { RawClient, RawServer } from "../../test/support/raw-http.ts";
import { type Frame, frame, framesOf, GET_BLOCK, hello } from "../../test/support/raw-http2.ts";
import { joined } from "../../test/support/raw-http2.ts";
import { greetAsProxy, type RawPeer } from "../../test/support/raw-peer.ts";
import { identityOf, meshed, until } from "../../test/support/paths.ts";
import { pathTests } from "../../test/support/path-tests.ts";

const { lab, cleanups, dial: speak } = pathTests();

/** Two proxies with HTTP/2 between them, in front of an application that speaks HTTP/1. */
async function pairOf(serve: (text: string) => string) {
  const app = await new RawServer((socket, text) => void socket.write(serve(text))).listen();
  cleanups.push(() => app.stop());
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  client.target().endpoints({ ...meshed(server, app.port), hint: "h2" });
  return { app, client, server };
}

/** A head of exactly so many bytes, with as many fields as there may be. */
function largeHead(start: string, bytes: number): string {
  let head = `${start}\r\n`;
  const left = HEADER_COUNT_MAX - head.split("\r\n").length + 2;
  for (let i = 1; i < left; i++) head += `x-${i}: ${"v".repeat(100)}\r\n`;
  return `${head}x-last: ${"l".repeat(bytes - head.length - 12)}\r\n\r\n`;
}

test("heads of the largest size pass both ways, and cost no other request anything", async () => {
  const { client, server } = await pairOf((text) => {
    if (text.startsWith("GET /slow")) return "";
    const bytes = HEADER_BYTES_MAX;
    const head = largeHead("HTTP/1.1 200 OK\r\ncontent-length: 2", bytes);
    return text.endsWith("\r\n\r\n") ? `${head}ok` : "";
  });
  const slow = speak(client.outbound).send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  await until("asked", () => server.count("request_total") === 1);
  const one = speak(client.outbound);
  const head = largeHead("GET / HTTP/1.1\r\nHost: a", HEADER_BYTES_MAX);
  expect(head.length).toBe(HEADER_BYTES_MAX);
  one.send(head);
  await until("an answer", () => /\r\n\r\n(ok)?$/.test(one.text) || one.over);
  expect(one.text).toStartWith("HTTP/1.1 200 OK\r\n");
  expect(one.text.split("\r\n").length - 3).toBe(HEADER_COUNT_MAX);
  expect(slow.over).toBe(false);
  expect(server.count("tcp_open_total", { peer: "src" })).toBe(1);
});

const LARGEST = Uint8Array.of(0x7f, 0xff, 0xff, 0xff);
const LARGE = Uint8Array.of(0x7f, 0, 0, 0);
const PUT_BLOCK = Uint8Array.of(0x83, 0x86, 0x84, 0x41, 0x01, 0x61);

/** An application that speaks HTTP/2 frame by frame. */
async function rawApplication(serve: (frame: Frame, send: (bytes: Uint8Array) => void) => void) {
  const seen: Frame[] = [];
  const app = await new RawServer((socket, _text, connection) => {
    const bytes = Buffer.from(app.received[connection]!, "latin1");
    const frames = framesOf(bytes.subarray(24));
    if (seen.length === 0) socket.write(frame(4, 0, 0));
    while (seen.length < frames.length) {
      seen.push(frames[seen.length]!);
      serve(seen.at(-1)!, (answer) => void socket.write(answer));
    }
  }).listen();
  cleanups.push(() => app.stop());
  return { app, seen };
}

const framesIn = (client: RawClient) => framesOf(Buffer.from(client.text, "latin1"));

test("a reset is never answered by a reset", async () => {
  const ANSWER = joined([frame(1, 0x5, 1, Uint8Array.of(0x88)), frame(3, 0, 1, new Uint8Array(4))]);
  const { app, seen } = await rawApplication(({ type, streamId }, send) => {
    if (type === 1 && streamId === 1) send(ANSWER);
    if (type === 1 && streamId === 3) send(frame(1, 0x5, 3, Uint8Array.of(0x88)));
  });
  const { client } = lab.pair(app.port);
  const one = speak(client.outbound);
  one.socket.write(joined([hello(), frame(1, 0x4, 1, PUT_BLOCK)]));
  // The application has answered and wants no more of the request, nor do we.
  await until("reset", () => framesIn(one).some(({ type }) => type === 3));
  one.socket.write(frame(1, 0x5, 3, GET_BLOCK));
  await until(
    "next",
    () => framesIn(one).some(({ type, streamId }) => type === 1 && streamId === 3),
  );
  expect(seen.filter(({ type }) => type === 3)).toEqual([]);
});

test("a connection that drains ends when a slow client has read its last response", async () => {
  const app = createServer({ maxSessionMemory: 100 }).on(
    "stream",
    (stream: ServerHttp2Stream, headers) => {
      stream.on("error", () => {});
      stream.respond({ ":status": 200 });
      stream.end(Buffer.alloc(headers[":path"] === "/" ? 100_000 : 30_000_000));
    },
  );
  await new Promise<void>((done) => app.listen(0, "127.0.0.1", done));
  cleanups.push(() => app.close());
  const client = lab.proxy("shop", { drainMs: 600_000 });
  const server = lab.proxy("web");
  client.target().endpoints(meshed(server, (app.address() as AddressInfo).port));
  const one = speak(client.outbound);
  const windows = [frame(4, 0, 0, Uint8Array.of(0, 4, ...LARGEST)), frame(8, 0, 0, LARGE)];
  const fill = Uint8Array.of(0x82, 0x86, 0x44, 5, ...Buffer.from("/fill"), 0x41, 0x01, 0x61);
  one.socket.write(joined([hello(), ...windows, frame(1, 0x5, 1, fill)]));
  await until("begun", () => one.text.length > 0);
  one.socket.pause();
  const written = () => client.count("tcp_write_bytes_total", { peer: "src" });
  for (let same = 0, before = -1; same < 5; same = before === written() ? same + 1 : 0) {
    before = written();
    await Bun.sleep(50);
  }
  // All of this one is here, behind what the socket does not take; the other one is given up.
  one.socket.write(frame(1, 0x5, 3, GET_BLOCK));
  await until("answered", () => client.count("response_total", { status_code: "200" }) === 1);
  one.socket.write(frame(3, 0, 1, Uint8Array.of(0, 0, 0, 8)));
  await until("given up", () => client.count("response_total", { error: "canceled" }) === 1);
  const heard = () => client.count("tcp_read_bytes_total", { peer: "src" });
  const before = heard();
  const over = client.stop();
  const pong = frame(6, 1, 0, new Uint8Array(8));
  one.socket.write(pong);
  await until("the answer to the ping", () => heard() === before + pong.length);
  one.socket.resume();
  await until("the end", () => one.ended);
  const body = framesIn(one).filter(({ type, streamId }) => type === 0 && streamId === 3);
  expect(body.reduce((sum, { payload }) => sum + payload.length, 0)).toBe(100_000);
  one.stop();
  await over;
}, 30_000);

/** A peer's proxy in front of `server`. */
function peerOf(server: { inbound: { port: number } }, port: number): RawPeer {
  const credentials = lab.credentials("shop");
  const { trustAnchors } = credentials;
  const serverName = identityOf("web");
  const peer = greetAsProxy(
    { port: server.inbound.port, credentials, trustAnchors, serverName },
    port,
  );
  cleanups.push(() => peer.stop());
  return peer;
}

const literal = (name: string, value: string) =>
  Uint8Array.of(0, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value));

test("a peer that carries CONNECT as if it were a request leaves nothing open", async () => {
  const app = await new RawServer((socket) => void socket.write("HTTP/1.1 200 OK\r\n\r\n"))
    .listen();
  cleanups.push(() => app.stop());
  const server = lab.proxy("web");
  const peer = peerOf(server, app.port);
  const block = joined([
    literal(":method", "CONNECT"),
    literal(":authority", "a:1"),
    literal("l5d-orig-proto", "HTTP/1.1"),
  ]);
  peer.send(frame(1, 0x4, 1, block));
  await until("a reset", () => peer.frames.some(({ type }) => type === 3));
  expect(app.received.join("")).toStartWith("CONNECT a:1 HTTP/1.1\r\n");
  await until("closed", () => server.count("tcp_open_connections", { peer: "dst" }) === 0);
});

test("trailers say nothing in the mesh's name, whoever sends them", async () => {
  const app = await new RawServer((socket, text) => {
    if (text.includes("\r\n0\r\n")) socket.write("HTTP/1.1 204 None\r\n\r\n");
  }).listen();
  cleanups.push(() => app.stop());
  const server = lab.proxy("web");
  const peer = peerOf(server, app.port);
  const block = joined([PUT_BLOCK, literal("l5d-orig-proto", "HTTP/1.1")]);
  const trailers = joined([literal("x-sum", "1"), literal("l5d-client-id", "forged")]);
  peer.send(frame(1, 0x4, 1, block), frame(0, 0, 1, Buffer.from("hi")), frame(1, 0x5, 1, trailers));
  await until("an answer", () => peer.frames.some(({ type }) => type === 1));
  expect(app.received[0]).toEndWith("2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n");
});

test("a stream that is refused again and again is a 502: its client must not begin anew", async () => {
  const REFUSED = Uint8Array.of(0, 0, 0, 7);
  const { app, seen } = await rawApplication(({ type, streamId }, send) => {
    if (type === 1) send(frame(3, 0, streamId, REFUSED));
  });
  const { client, server } = lab.pair(app.port);
  const one = speak(client.outbound);
  one.socket.write(joined([hello(), frame(1, 0x5, 1, GET_BLOCK)]));
  await until("an answer", () => framesIn(one).some(({ type }) => type === 1));
  expect(framesIn(one).some(({ type }) => type === 3)).toBe(false);
  expect(seen.filter(({ type }) => type === 1)).toHaveLength(3);
  expect(server.count("inbound_http_errors_total", { error: "i/o" })).toBe(1);
});

test("a response in a coding that HTTP/2 cannot name is a 502, not garbage", async () => {
  const { client } = await pairOf(() =>
    "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
  );
  const one = speak(client.outbound).send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until("an answer", () => one.text.endsWith("\r\n\r\n"));
  expect(one.text).toStartWith("HTTP/1.1 502 ");
});

test("heads of 1xx do not pile up for a client that does not read", async () => {
  const early = `HTTP/1.1 103 Early Hints\r\nlink: ${"x".repeat(8_000)}\r\n\r\n`;
  const count = 5_000;
  const app = await new RawServer((socket) => {
    let sent = 0;
    const more = () => {
      while (sent++ < count) if (!socket.write(early)) return void socket.once("drain", more);
      socket.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    };
    more();
  }).listen();
  cleanups.push(() => app.stop());
  const client = lab.proxy("shop");
  const server = lab.proxy("web");
  client.target().endpoints({ ...meshed(server, app.port), hint: "h2" });
  const one = speak(client.outbound);
  one.socket.pause();
  one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await until("an answer", () => client.count("response_total", { status_code: "200" }) === 1);
  one.socket.resume();
  await until("the last", () => one.text.endsWith("\r\n\r\nok"));
  expect(one.times("103 Early Hints")).toBeGreaterThan(0);
  expect(one.times("103 Early Hints")).toBeLessThan(count);
  // 40 MB through two proxies: a machine that is busy takes its time.
}, 30_000);
