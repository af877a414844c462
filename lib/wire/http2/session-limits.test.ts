/** What a hostile peer can make a session do and hold: each attack, its bound, and the code it gets. */

import { describe, expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import {
  HEADER_BLOCK_BYTES_MAX,
  NUISANCES_BURST,
  SEND_BUFFER_BYTES_HIGH,
  STREAMS_PER_CONNECTION_MAX,
} from "../../base/limits.ts";
import { MemoryPeer } from "../../../test/support/http2-peers.ts";
import { frame, framesOf, GET_BLOCK, hello, joined } from "../../../test/support/raw-http2.ts";
import { ErrorCode, FrameType } from "./frame.ts";
import { Http2Session } from "./session.ts";

const { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING } = FrameType;
const { WINDOW_UPDATE, CONTINUATION } = FrameType;
const { ENHANCE_YOUR_CALM } = ErrorCode;

const NOTHING = new Uint8Array(0);
const CANCEL = Uint8Array.of(0, 0, 0, 8);
/** Frames of one read of a socket, so that the session is not asked for each. */
const AT_ONCE = 500;

function greeted(): MemoryPeer {
  const server = new MemoryPeer(true);
  server.session.start();
  server.receive(hello());
  server.take();
  return server;
}

/**
 * Sends up to `count` times what `next` gives, and never reads. How many were sent when the session gave
 * up, `count` when it did not.
 */
function flood(server: MemoryPeer, count: number, next: (i: number) => Uint8Array): number {
  for (let sent = 0; sent < count;) {
    const parts: Uint8Array[] = [];
    for (const end = Math.min(count, sent + AT_ONCE); sent < end; sent++) parts.push(next(sent));
    const bytes = joined(parts);
    server.session.receive(bytes, 0, bytes.length);
    if (server.session.failed !== null) return sent;
  }
  return count;
}

const id = (i: number) => i * 2 + 1;
const open = (i: number, flags = 0x5) => frame(HEADERS, flags, id(i), GET_BLOCK);
const idBytes = (value: number) =>
  Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value & 0xff);

/** Attacks by frames that cost work and bring nothing. */
const NUISANCES: readonly (readonly [string, (i: number) => Uint8Array])[] = [
  ["streams that are reset at once", (i) => joined([open(i), frame(RST_STREAM, 0, id(i), CANCEL)])],
  [
    "streams that we must reset for a bad window",
    (i) => joined([open(i, 0x4), frame(WINDOW_UPDATE, 0, id(i), new Uint8Array(4))]),
  ],
  [
    "streams that we must reset for data behind their end",
    (i) => joined([open(i), frame(DATA, 0, id(i), Uint8Array.of(1))]),
  ],
  ["requests that are malformed", (i) => frame(HEADERS, 0x5, id(i), Uint8Array.of(0x82))],
  ["settings", () => frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, 0, 0, 0, 9))],
  ["pings", () => frame(PING, 0, 0, new Uint8Array(8))],
  ["priorities", () => frame(PRIORITY, 0, 1, Uint8Array.of(0, 0, 0, 3, 1))],
  ["frames of unknown types", () => frame(0xbe, 0, 0, NOTHING)],
  ["empty DATA", (i) => i === 0 ? open(0, 0x4) : frame(DATA, 0, 1)],
  [
    "DATA that is all padding",
    (i) => i === 0 ? open(0, 0x4) : frame(DATA, 0x8, 1, Uint8Array.of(3, 0, 0, 0)),
  ],
];

describe("floods end the connection and hold little until then", () => {
  test.each([...NUISANCES])("%s", (_name, next) => {
    const server = greeted();
    const sent = flood(server, 3 * NUISANCES_BURST, next);
    expect(server.session.failed).toBe(ENHANCE_YOUR_CALM);
    expect(sent).toBeLessThan(NUISANCES_BURST + 2 * AT_ONCE);
    expect(server.session.sender.out.length).toBeLessThan(NUISANCES_BURST * 20);
    expect(server.session.streams.size).toBeLessThanOrEqual(1);
  });

  test("streams above the bound", () => {
    const server = greeted();
    flood(server, 3 * NUISANCES_BURST, (i) => open(i));
    expect(server.session.failed).toBe(ENHANCE_YOUR_CALM);
    expect(server.session.streams.size).toBe(STREAMS_PER_CONNECTION_MAX);
  });

  test("time forgives: as many frames of a busy client do no harm", () => {
    const server = greeted();
    flood(server, NUISANCES_BURST + 1_000, (i) => {
      server.session.nuisances = 0;
      return joined([open(i), frame(RST_STREAM, 0, id(i), CANCEL)]);
    });
    expect(server.session.failed).toBeNull();
  });

  test("nothing is begun behind the last straw, though it came in the same chunk", () => {
    const server = greeted();
    server.session.nuisances = NUISANCES_BURST;
    server.receive(joined([frame(PING, 0, 0, new Uint8Array(8)), open(0)]));
    expect(server.session.failed).toBe(ENHANCE_YOUR_CALM);
    expect(server.log).toEqual(["settled"]);
  });

  test("window updates, acceptances and answers to pings cost nothing and hold nothing", () => {
    const server = greeted();
    server.receive(open(0, 0x4));
    const one = idBytes(1);
    const frames = [
      frame(WINDOW_UPDATE, 0, 0, one),
      frame(WINDOW_UPDATE, 0, 1, one),
      frame(SETTINGS, 1, 0),
      frame(PING, 1, 0, new Uint8Array(8)),
    ];
    flood(server, 40_000, (i) => frames[i % 4]!);
    expect([server.session.failed, server.session.sender.out.length]).toEqual([null, 0]);
  });
});

describe("header blocks", () => {
  test("a flood of small continuations", () => {
    for (const piece of [NOTHING, Uint8Array.of(0x82)]) {
      const server = greeted();
      server.receive(frame(HEADERS, 0, 1, GET_BLOCK));
      const sent = flood(server, 100_000, () => frame(CONTINUATION, 0, 1, piece));
      expect([sent, server.session.failed]).toEqual([AT_ONCE, ENHANCE_YOUR_CALM]);
    }
  });

  test("a block above its bound", () => {
    const server = greeted();
    server.receive(frame(HEADERS, 0, 1, new Uint8Array(16_384)));
    let sent = 16_384;
    for (; server.session.failed === null; sent += 16_384) {
      server.receive(frame(CONTINUATION, 0, 1, new Uint8Array(16_384)));
    }
    expect(server.session.failed).toBe(ENHANCE_YOUR_CALM);
    expect(sent).toBeLessThanOrEqual(HEADER_BLOCK_BYTES_MAX + 2 * 16_384);
  });

  test("a small block that means a large list: told as too large, and the next one is good", () => {
    const server = greeted();
    let largest = 0;
    server.onEvent = (_kind, stream) => {
      const head = stream?.request;
      if (head?.tooLarge === true) largest = Math.max(largest, head.bytes.length);
    };
    // An entry that fills the table, then its index as often as a block can hold it.
    const value = asciiBytes("x".repeat(4_000));
    const length = value.length - 127;
    const entry = [0x40, 1, 0x61, 0x7f, length & 0x7f | 0x80, length >> 7, ...value];
    const bomb = joined([GET_BLOCK, Uint8Array.from(entry), new Uint8Array(12_000).fill(0xbe)]);
    server.receive(frame(HEADERS, 0x1, 1, bomb.slice(0, 16_384)));
    server.receive(frame(CONTINUATION, 0x4, 1, bomb.slice(16_384)));
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThan(300_000);
    server.receive(open(1));
    expect(server.log.at(-1)).toBe("request 3 GET / a END");
    expect(server.session.failed).toBeNull();
  });
});

describe("a client that takes nothing", () => {
  const answered = (windows: Uint8Array) => {
    const server = greeted();
    server.receive(windows);
    server.onEvent = (kind, stream) => {
      if (kind !== "request" || stream === null) return;
      server.answer(stream, "HTTP/1.1 200 OK", false);
      server.body(stream, new Uint8Array(1_000), true);
    };
    return server;
  };

  test("windows of 0 held open: streams wait, and no more of them than there may be", () => {
    const server = answered(frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, 0, 0, 0, 0)));
    flood(server, 5_000, (i) => open(i));
    const { streams, sender } = server.session;
    expect(streams.size).toBe(STREAMS_PER_CONNECTION_MAX);
    let kept = 0;
    for (const stream of streams.values()) {
      expect(stream.blocked).toBe(true);
      kept += stream.queue.length;
    }
    expect(kept).toBe(STREAMS_PER_CONNECTION_MAX * 1_000);
    expect(sender.out.length).toBeLessThan(SEND_BUFFER_BYTES_HIGH);
  });

  test("a window that comes and goes wakes who waits, and nobody twice", () => {
    const server = answered(frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, 0, 0, 0, 0)));
    server.receive(joined(Array.from({ length: 60 }, (_, i) => open(i))));
    const windowOf = (value: number) =>
      frame(SETTINGS, 0, 0, Uint8Array.of(0, 4, ...idBytes(value)));
    const { sender } = server.session;
    for (let i = 0; i < 200; i++) server.receive(windowOf(i % 2));
    const data = framesOf(server.take()).filter(({ type }) => type === DATA);
    // A byte each the first time; then their windows are down to 0 and −1.
    expect(data).toHaveLength(60);
    server.receive(windowOf(1_000));
    server.take();
    expect([server.session.streams.size, sender.out.length]).toEqual([0, 0]);
  });

  test("heads with nothing behind them: the user sees what waits for the socket", () => {
    const events = new MemoryPeer(true);
    const session: Http2Session<string> = events.session;
    session.start();
    events.onEvent = (kind, stream) => {
      if (kind === "request" && stream !== null) events.answer(stream, "HTTP/1.1 204 None", true);
    };
    const bytes = joined([hello(), ...Array.from({ length: 2_000 }, (_, i) => open(i))]);
    session.receive(bytes, 0, bytes.length);
    expect(session.streams.size).toBe(0);
    expect(session.sender.out.length).toBeGreaterThan(2_000 * 10);
  });
});
