/** Windows: what a side may send, and what it lets the other side send. */

import { describe, expect, test } from "bun:test";
import {
  CONNECTION_HELD_BYTES_MAX,
  CONNECTION_WINDOW_BYTES,
  SEND_BUFFER_BYTES,
  SEND_BUFFER_BYTES_HIGH,
  STREAM_WINDOW_BYTES,
} from "../../base/limits.ts";
import { Prng } from "../../base/prng.ts";
import {
  connected,
  MemoryPeer,
  relay,
  type TestStream,
} from "../../../test/support/http2-peers.ts";
import { type Frame, frame, framesOf, GET_BLOCK, joined } from "../../../test/support/raw-http2.ts";
import { ErrorCode, FrameType, PREFACE, readUint31 } from "./frame.ts";

const { DATA, HEADERS, RST_STREAM, SETTINGS, WINDOW_UPDATE } = FrameType;
const LARGEST = 2 ** 31 - 1;

const uint32 = (value: number) =>
  Uint8Array.of(value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff);
const initialWindow = (value: number) =>
  frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, ...uint32(value)));
const update = (streamId: number, by: number) => frame(WINDOW_UPDATE, 0, streamId, uint32(by));

/** A server whose client has announced this window for streams and opened so many. */
function serving(window: number, streams = 1): MemoryPeer {
  const server = new MemoryPeer(true);
  server.session.start();
  const requests = Array.from(
    { length: streams },
    (_, i) => frame(HEADERS, 0x5, i * 2 + 1, GET_BLOCK),
  );
  server.receive(joined([PREFACE, initialWindow(window), ...requests]));
  for (const stream of server.streams) server.answer(stream, "HTTP/1.1 200 OK", false);
  server.take();
  return server;
}

/** A server to which so many requests with a body are being sent, and that consumes nothing. */
function receiving(streams: number): MemoryPeer {
  const server = new MemoryPeer(true);
  server.consumes = false;
  server.session.start();
  const requests = Array.from(
    { length: streams },
    (_, i) => frame(HEADERS, 0x4, i * 2 + 1, GET_BLOCK),
  );
  server.receive(joined([PREFACE, frame(SETTINGS, 0, 0), ...requests]));
  server.take();
  return server;
}

const isData = ({ type }: Frame) => type === DATA;
const dataOf = (peer: MemoryPeer) => framesOf(peer.take()).filter(isData);
const lengths = (frames: readonly Frame[]) => frames.map(({ payload }) => payload.length);
const sum = (values: readonly number[]) => values.reduce((all, value) => all + value, 0);

describe("sending", () => {
  test("byte by byte into a window of one", () => {
    const server = serving(1);
    const [stream] = server.streams as [TestStream];
    server.body(stream, "hello", true);
    expect(lengths(dataOf(server))).toEqual([1]);
    expect(stream.blocked).toBe(true);
    for (let i = 0; i < 4; i++) {
      server.receive(update(1, 1));
      const [sent] = dataOf(server);
      expect([sent?.payload.length, sent?.flags]).toEqual([1, i === 3 ? 1 : 0]);
    }
    expect([stream.blocked, stream.closed]).toEqual([false, true]);
  });

  test("nothing into a window of none, but heads, empty ends and trailers go out", () => {
    const server = serving(0, 3);
    const [first, second, third] = server.streams as [TestStream, TestStream, TestStream];
    server.body(first, "", true);
    server.ending(second, [["a", "b"]]);
    server.body(third, "x", false);
    server.ending(third, [["c", "d"]]);
    expect(framesOf(server.take()).map(({ type, streamId }) => [type, streamId])).toEqual([
      [DATA, 1],
      [HEADERS, 3],
    ]);
    server.receive(update(5, 1));
    expect(framesOf(server.take()).map(({ type, flags }) => [type, flags])).toEqual([
      [DATA, 0],
      [HEADERS, 0x5],
    ]);
    expect(server.session.streams.size).toBe(0);
  });

  test("no more than the room for frames, whatever the windows, and on as the socket takes", () => {
    const server = serving(LARGEST);
    server.receive(update(0, LARGEST - 65_535));
    const [stream] = server.streams as [TestStream];
    const { sender } = server.session;
    server.body(stream, new Uint8Array(3_000_000), true);
    expect(sender.out.length).toBeLessThan(SEND_BUFFER_BYTES_HIGH + 16_384 + 9);
    const frames = dataOf(server);
    expect(sum(lengths(frames))).toBe(3_000_000);
    expect(Math.max(...lengths(frames))).toBe(16_384);
    expect(frames.at(-1)?.flags).toBe(1);
  });

  test("frames are as large as the peer takes, but no larger than we take", () => {
    for (const [announced, sent] of [[16_384, 16_384], [20_000, 20_000], [100_000, 65_536]]) {
      const server = serving(LARGEST);
      server.receive(joined([
        frame(SETTINGS, 0, 0, Uint8Array.of(0, 5, ...uint32(announced ?? 0))),
        update(0, LARGEST - 65_535),
      ]));
      const [stream] = server.streams as [TestStream];
      server.body(stream, new Uint8Array(300_000), true);
      expect(Math.max(...lengths(dataOf(server)))).toBe(sent ?? 0);
    }
  });

  test("a large buffer is given back when little waits in it, and nothing is lost", () => {
    const server = serving(LARGEST);
    server.receive(update(0, LARGEST - 65_535));
    const [stream] = server.streams as [TestStream];
    const { sender } = server.session;
    const body = new Prng(7).bytes(300_000);
    server.body(stream, body, true);
    expect(sender.out.bytes.length).toBe(SEND_BUFFER_BYTES);
    const first = sender.out.bytes.slice(sender.out.start, sender.out.end - 1_000);
    sender.out.consume(first.length);
    sender.rest();
    expect([sender.out.length, sender.out.bytes.length]).toEqual([1_000, expect.any(Number)]);
    expect(sender.out.bytes.length).toBeLessThan(4_000);
    const rest = sender.out.bytes.slice(sender.out.start, sender.out.end);
    sender.out.consume(rest.length);
    sender.sent();
    const frames = [...framesOf(joined([first, rest])), ...framesOf(server.take())];
    expect(joined(frames.filter(isData).map(({ payload }) => payload))).toEqual(body);
  });

  test("a window made smaller may be negative, and grows from there", () => {
    const server = serving(1_000);
    const [stream] = server.streams as [TestStream];
    server.body(stream, new Uint8Array(2_000), true);
    expect(lengths(dataOf(server))).toEqual([1_000]);
    server.receive(initialWindow(100));
    expect(stream.sendWindow).toBe(-900);
    server.receive(update(1, 900));
    expect(dataOf(server)).toEqual([]);
    server.receive(update(1, 1));
    expect(lengths(dataOf(server))).toEqual([1]);
    server.receive(initialWindow(600));
    expect(lengths(dataOf(server))).toEqual([500]);
    server.receive(joined([initialWindow(0), update(1, 500), initialWindow(1_000)]));
    expect(sum(lengths(dataOf(server)))).toBe(499);
    expect(stream.closed).toBe(true);
  });

  test("settings that lift a stream's window above 2^31 − 1 end the connection", () => {
    const server = serving(1_000);
    server.receive(joined([update(1, LARGEST - 1_000), initialWindow(1_001)]));
    expect(server.session.failed).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  });

  test("streams take turns, and one without a window does not hold up the others", () => {
    const server = serving(100_000, 3);
    server.receive(joined([initialWindow(30_000), update(3, 70_000)]));
    for (const stream of server.streams) server.body(stream, new Uint8Array(100_000), true);
    // The connection's window of 65,535 is used up by the first two.
    const sent = dataOf(server).map(({ streamId, payload }) => [streamId, payload.length]);
    expect(sent).toEqual([[1, 16_384], [1, 13_616], [3, 16_384], [3, 16_384], [3, 2_767]]);
    server.receive(update(0, 100_000));
    const next = dataOf(server).map(({ streamId }) => streamId);
    expect(next.slice(0, 4)).toEqual([3, 5, 3, 5]);
    expect(server.streams.map(({ sendWindow }) => sendWindow)).toEqual([0, 0, 0]);
    server.receive(joined([update(0, 500_000), update(1, 100_000), update(5, 100_000)]));
    dataOf(server);
    expect(server.session.streams.size).toBe(0);
  });

  test("any bodies, windows and updates: never too much, and all of it in the end", () => {
    for (let seed = 1; seed <= 60; seed++) {
      const prng = new Prng(seed);
      const server = serving(prng.pick([0, 1, 100, 70_000]), 4);
      const wanted = server.streams.map(() => prng.pick([0, 1, 1_000, 90_000]));
      server.streams.forEach((stream, i) => {
        const cut = prng.below(wanted[i]! + 1);
        server.body(stream, new Uint8Array(cut), false);
        server.body(stream, new Uint8Array(wanted[i]! - cut), true);
      });
      const got = [0, 0, 0, 0];
      // The referee of the peer holds that no window is overdrawn.
      const count = () => {
        for (const { streamId, payload } of dataOf(server)) {
          got[(streamId - 1) / 2]! += payload.length;
        }
      };
      for (let rounds = 0; server.session.streams.size > 0; rounds++) {
        expect([seed, rounds < 3_000]).toEqual([seed, true]);
        count();
        const by = prng.pick([1, 50, 20_000]);
        const isSettings = rounds < 200 && prng.chance(0.1);
        const id = prng.pick([0, 0, 1, 3, 5, 7]);
        server.receive(isSettings ? initialWindow(prng.below(3_000)) : update(id, by));
        if (rounds > 200) {
          for (const each of [0, 1, 3, 5, 7]) server.receive(update(each, 10_000));
        }
      }
      count();
      expect([seed, got]).toEqual([seed, wanted]);
    }
  });
});

describe("receiving", () => {
  test("larger frames are taken up to what was announced", () => {
    for (const [length, code] of [[65_536, null], [65_537, ErrorCode.FRAME_SIZE_ERROR]] as const) {
      const server = new MemoryPeer(true);
      server.session.frameBytesMax = 65_536;
      server.session.start();
      const request = frame(HEADERS, 0x4, 1, GET_BLOCK);
      server.receive(joined([PREFACE, frame(SETTINGS, 0, 0), request]));
      const settings = framesOf(server.take()).find(({ type }) => type === SETTINGS)?.payload ?? [];
      expect([...settings].join()).toContain("0,5,0,1,0,0");
      server.receive(frame(DATA, 0, 1, new Uint8Array(length)));
      expect(server.session.failed).toBe(code);
    }
  });

  const chunk = new Uint8Array(16_384);

  test("what is not consumed is not given back; what is, in halves of a window", () => {
    const server = receiving(1);
    const [stream] = server.streams as [TestStream];
    for (let i = 0; i < 16; i++) server.receive(frame(DATA, 0, 1, chunk));
    expect(stream.held).toBe(STREAM_WINDOW_BYTES);
    expect(server.take().length).toBe(0);
    server.session.consumed(stream, STREAM_WINDOW_BYTES / 2 - 1);
    expect(server.take().length).toBe(0);
    server.session.consumed(stream, 1);
    const [given] = framesOf(server.take());
    expect([given?.streamId, readUint31(given!.payload, 0)]).toEqual([1, STREAM_WINDOW_BYTES / 2]);
  });

  test("more than a stream's window resets the stream, and its bytes are let go", () => {
    const server = receiving(1);
    for (let i = 0; i < 17; i++) server.receive(frame(DATA, 0, 1, chunk));
    const reset = framesOf(server.take()).find(({ type }) => type === RST_STREAM);
    expect([reset?.streamId, reset?.payload[3]]).toEqual([1, ErrorCode.FLOW_CONTROL_ERROR]);
    expect([server.log.at(-1), server.session.failed]).toEqual([
      "reset 1 flow control error",
      null,
    ]);
  });

  test("a stream that nobody reads leaves the connection's window to the others", () => {
    const server = receiving(2);
    const [, quick] = server.streams as [TestStream, TestStream];
    for (let i = 0; i < 16; i++) server.receive(frame(DATA, 0, 1, chunk));
    server.onEvent = (kind, stream) => {
      if (kind === "data" && stream === quick) server.session.consumed(quick, quick.held);
    };
    for (let i = 0; i < 500; i++) server.receive(frame(DATA, 0, 3, chunk));
    expect(server.session.failed).toBeNull();
  });

  test("when too much waits the connection waits too, and goes on when it is read", () => {
    const server = receiving(21);
    let sent = 0;
    let window = CONNECTION_WINDOW_BYTES;
    for (const stream of server.streams) {
      for (let i = 0; i < 16 && window >= chunk.length; i++) {
        server.receive(frame(DATA, 0, stream.id, chunk));
        sent += chunk.length;
        window -= chunk.length;
        for (const { payload } of framesOf(server.take())) window += readUint31(payload, 0);
      }
    }
    expect(sent).toBeLessThanOrEqual(CONNECTION_HELD_BYTES_MAX + CONNECTION_WINDOW_BYTES);
    expect(sent).toBeGreaterThan(CONNECTION_HELD_BYTES_MAX);
    const [first] = server.streams as [TestStream];
    // One is reset, others are read: both count.
    server.session.reset(first, ErrorCode.CANCEL);
    for (const stream of server.streams.slice(1, 6)) server.session.consumed(stream, stream.held);
    const given = framesOf(server.take()).filter(({ type, streamId }) =>
      type === WINDOW_UPDATE && streamId === 0
    );
    expect(given.length).toBeGreaterThan(0);
  });

  test("who sends on regardless is cut off", () => {
    const server = receiving(24);
    for (const stream of server.streams) {
      for (let i = 0; i < 16; i++) server.receive(frame(DATA, 0, stream.id, chunk));
    }
    expect(server.session.failed).toBe(ErrorCode.FLOW_CONTROL_ERROR);
  });

  test("bodies both ways at once, with slow readers on both sides", () => {
    const { client, server } = connected();
    for (const peer of [client, server]) peer.consumes = false;
    server.onEvent = (kind, stream) => {
      if (kind !== "request" || stream === null) return;
      server.answer(stream, "HTTP/1.1 200 OK", false);
      server.body(stream, "d".repeat(700_000), true);
    };
    const stream = client.ask("POST / HTTP/1.1\r\nHost: a", false);
    client.body(stream, "u".repeat(900_000), true);
    for (let rounds = 0; client.session.streams.size + server.session.streams.size > 0; rounds++) {
      expect(rounds).toBeLessThan(1_000);
      relay(client, server);
      for (const peer of [client, server]) {
        for (const each of peer.session.streams.values()) {
          peer.session.consumed(each, Math.min(each.held, 50_000));
        }
      }
    }
    expect(server.log.join("").split("u").length - 1).toBeGreaterThanOrEqual(900_000);
    expect(client.log.join("").split("d").length - 1).toBeGreaterThanOrEqual(700_000);
  });
});
