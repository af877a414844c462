/** What a peer may not do, and what it costs it: one stream, or the connection, with which code. */

import { describe, expect, test } from "bun:test";
import { asciiBytes } from "../../base/bytes.ts";
import { MemoryPeer } from "../../../test/support/http2-peers.ts";
import { type Frame, frame, framesOf, GET_BLOCK } from "../../../test/support/raw-http2.ts";
import { hello, joined } from "../../../test/support/raw-http2.ts";
import { ErrorCode, FrameType, PREFACE } from "./frame.ts";

const { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY } = FrameType;
const { WINDOW_UPDATE, CONTINUATION } = FrameType;
const {
  PROTOCOL_ERROR,
  FLOW_CONTROL_ERROR,
  STREAM_CLOSED,
  FRAME_SIZE_ERROR,
  COMPRESSION_ERROR,
} = ErrorCode;

const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;
const WITH_PRIORITY = 0x20;

const bytes = (...values: number[]) => Uint8Array.from(values);
const uint32 = (value: number) =>
  bytes(value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff);
const setting = (id: number, value: number) => bytes(0, id, ...uint32(value));

/** Fields as literals, without any table. */
function literals(...fields: readonly (readonly [string, string])[]): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [name, value] of fields) {
    const pair = [asciiBytes(name), asciiBytes(value)];
    parts.push(bytes(0));
    for (const part of pair) parts.push(bytes(part.length), part);
  }
  return joined(parts);
}

const GET = frame(HEADERS, END_STREAM | END_HEADERS, 1, GET_BLOCK);
const POST = frame(HEADERS, END_HEADERS, 1, GET_BLOCK);
const ANSWER = frame(HEADERS, END_HEADERS, 1, bytes(0x88));

/** A breach: what is sent behind the greeting, and the code that answers it. */
type Breach = readonly [name: string, sent: Uint8Array | readonly Uint8Array[], code: ErrorCode];

/** Both roles, on a connection without streams. */
const CONNECTION: readonly Breach[] = [
  ["DATA on stream 0", frame(DATA, 0, 0, bytes(1)), PROTOCOL_ERROR],
  ["DATA on an idle stream", frame(DATA, 0, 9, bytes(1)), PROTOCOL_ERROR],
  ["HEADERS on stream 0", frame(HEADERS, END_HEADERS, 0, GET_BLOCK), PROTOCOL_ERROR],
  ["HEADERS on an even stream", frame(HEADERS, END_HEADERS, 2, GET_BLOCK), PROTOCOL_ERROR],
  ["a short PRIORITY", frame(PRIORITY, 0, 1, new Uint8Array(4)), FRAME_SIZE_ERROR],
  ["PRIORITY on stream 0", frame(PRIORITY, 0, 0, new Uint8Array(5)), PROTOCOL_ERROR],
  ["PRIORITY on itself", frame(PRIORITY, 0, 3, bytes(0, 0, 0, 3, 1)), PROTOCOL_ERROR],
  ["RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, uint32(8)), PROTOCOL_ERROR],
  ["RST_STREAM on an idle stream", frame(RST_STREAM, 0, 9, uint32(8)), PROTOCOL_ERROR],
  ["a short RST_STREAM", frame(RST_STREAM, 0, 9, new Uint8Array(3)), FRAME_SIZE_ERROR],
  ["SETTINGS on a stream", frame(SETTINGS, 0, 1), PROTOCOL_ERROR],
  ["SETTINGS of 5 bytes", frame(SETTINGS, 0, 0, new Uint8Array(5)), FRAME_SIZE_ERROR],
  ["an acceptance with content", frame(SETTINGS, 1, 0, setting(4, 1)), FRAME_SIZE_ERROR],
  ["a window above 2^31 − 1", frame(SETTINGS, 0, 0, setting(4, 2 ** 31)), FLOW_CONTROL_ERROR],
  ["frames below 16 KiB", frame(SETTINGS, 0, 0, setting(5, 16_383)), PROTOCOL_ERROR],
  ["frames of 16 MiB", frame(SETTINGS, 0, 0, setting(5, 2 ** 24)), PROTOCOL_ERROR],
  ["push neither on nor off", frame(SETTINGS, 0, 0, setting(2, 2)), PROTOCOL_ERROR],
  ["a push", frame(PUSH_PROMISE, END_HEADERS, 1, bytes(0, 0, 0, 2)), PROTOCOL_ERROR],
  ["a short PING", frame(PING, 0, 0, new Uint8Array(7)), FRAME_SIZE_ERROR],
  ["PING on a stream", frame(PING, 0, 1, new Uint8Array(8)), PROTOCOL_ERROR],
  ["a short GOAWAY", frame(GOAWAY, 0, 0, new Uint8Array(7)), FRAME_SIZE_ERROR],
  ["GOAWAY on a stream", frame(GOAWAY, 0, 1, new Uint8Array(8)), PROTOCOL_ERROR],
  ["a short WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, new Uint8Array(3)), FRAME_SIZE_ERROR],
  ["no increment", frame(WINDOW_UPDATE, 0, 0, uint32(0)), PROTOCOL_ERROR],
  [
    "too much window",
    [
      frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1)),
      frame(WINDOW_UPDATE, 0, 0, uint32(2 ** 31 - 1)),
    ],
    FLOW_CONTROL_ERROR,
  ],
  ["WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 9, uint32(1)), PROTOCOL_ERROR],
  ["CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, GET_BLOCK), PROTOCOL_ERROR],
  ["a frame above what we take", frame(DATA, 0, 1, new Uint8Array(16_385)), FRAME_SIZE_ERROR],
];

/** Against a server. */
const REQUESTS: readonly Breach[] = [
  ["a block that is no HPACK", frame(HEADERS, 5, 1, bytes(0xff)), COMPRESSION_ERROR],
  ["padding longer than the frame", frame(HEADERS, 0xd, 1, bytes(9, 0x82)), PROTOCOL_ERROR],
  ["padding without its length", frame(HEADERS, 0xd, 1), FRAME_SIZE_ERROR],
  ["a cut priority", frame(HEADERS, 0x24, 1, bytes(0, 0, 0)), FRAME_SIZE_ERROR],
  [
    "a stream that depends on itself",
    frame(HEADERS, WITH_PRIORITY | END_HEADERS, 1, bytes(0, 0, 0, 1, 0, ...GET_BLOCK)),
    PROTOCOL_ERROR,
  ],
  ["an older stream's id", [frame(HEADERS, 5, 3, GET_BLOCK), GET], STREAM_CLOSED],
  [
    "another frame within a block",
    [frame(HEADERS, 0, 1, GET_BLOCK), frame(PING, 0, 0, new Uint8Array(8))],
    PROTOCOL_ERROR,
  ],
  [
    "DATA within a block",
    [frame(HEADERS, 0, 1, GET_BLOCK), frame(DATA, 0, 1, bytes(1))],
    PROTOCOL_ERROR,
  ],
  [
    "a continuation of another stream",
    [frame(HEADERS, 0, 1, GET_BLOCK), frame(CONTINUATION, 4, 3, GET_BLOCK)],
    PROTOCOL_ERROR,
  ],
  ["DATA padded beyond itself", [POST, frame(DATA, PADDED, 1, bytes(1))], PROTOCOL_ERROR],
  ["DATA padded without a length", [POST, frame(DATA, PADDED, 1)], FRAME_SIZE_ERROR],
];

/** Against a server, about one stream. */
const STREAMS: readonly Breach[] = [
  ["DATA behind the end", [GET, frame(DATA, 0, 1, bytes(1))], STREAM_CLOSED],
  ["HEADERS behind the end", [GET, GET], STREAM_CLOSED],
  ["no increment", [POST, frame(WINDOW_UPDATE, 0, 1, uint32(0))], PROTOCOL_ERROR],
  [
    "too much window",
    [POST, frame(WINDOW_UPDATE, 0, 1, uint32(2 ** 31 - 1))],
    FLOW_CONTROL_ERROR,
  ],
  ["trailers that do not end", [POST, frame(HEADERS, 4, 1, literals(["a", "b"]))], PROTOCOL_ERROR],
  [
    "a pseudo header in trailers",
    [POST, frame(HEADERS, 5, 1, literals([":path", "/"]))],
    PROTOCOL_ERROR,
  ],
  [
    "a length in trailers",
    [POST, frame(HEADERS, 5, 1, literals(["content-length", "1"]))],
    PROTOCOL_ERROR,
  ],
  [
    "trailers above the bound",
    [POST, frame(HEADERS, 0x1, 1), ...oversized()],
    PROTOCOL_ERROR,
  ],
];

/** 70,000 bytes of fields in continuations, which fit into a block only since they are indexed. */
function oversized(): Uint8Array[] {
  const value = bytes(...asciiBytes("x".repeat(900)));
  // The first is put into the table, then named by its index.
  const first = joined([
    bytes(0x40, 1, 0x61, 0x7f, 900 - 127 & 0x7f | 0x80, 900 - 127 >> 7),
    value,
  ]);
  return [
    frame(CONTINUATION, 0, 1, first),
    frame(CONTINUATION, END_HEADERS, 1, new Uint8Array(100).fill(0xbe)),
  ];
}

/** Requests that are none; each is reset. */
const MALFORMED: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "no method": [[":scheme", "http"], [":path", "/"]],
  "no scheme": [[":method", "GET"], [":path", "/"]],
  "no path": [[":method", "GET"], [":scheme", "http"]],
  "an empty path": [...request(), [":path", ""]],
  "a path without a slash": [...request(), [":path", "x"]],
  "a path with a blank": [...request(), [":path", "/a b"]],
  "a path with a line end": [...request(), [":path", "/a\r\nx: y"]],
  "an asterisk for another method": [...request(), [":path", "*"]],
  "a method with a blank": [[":method", "GET /x"], [":scheme", "http"], [":path", "/"]],
  "two methods": [...request(), [":path", "/"], [":method", "GET"]],
  "a status": [...request(), [":path", "/"], [":status", "200"]],
  "an unknown pseudo header": [...request(), [":path", "/"], [":x", "y"]],
  "a pseudo header behind a field": [...request(), ["a", "b"], [":path", "/"]],
  "an upper-case name": [...request(), [":path", "/"], ["A", "b"]],
  "a name with a colon": [...request(), [":path", "/"], ["a:b", "c"]],
  "an empty name": [...request(), [":path", "/"], ["", "c"]],
  "a value with a line end": [...request(), [":path", "/"], ["a", "b\r\nc: d"]],
  "a value with a NUL": [...request(), [":path", "/"], ["a", "b\0"]],
  "a value that begins with a blank": [...request(), [":path", "/"], ["a", " b"]],
  "connection": [...request(), [":path", "/"], ["connection", "close"]],
  "keep-alive": [...request(), [":path", "/"], ["keep-alive", "1"]],
  "proxy-connection": [...request(), [":path", "/"], ["proxy-connection", "close"]],
  "transfer-encoding": [...request(), [":path", "/"], ["transfer-encoding", "chunked"]],
  "upgrade": [...request(), [":path", "/"], ["upgrade", "websocket"]],
  "te but trailers": [...request(), [":path", "/"], ["te", "gzip"]],
  "two lengths": [...request(), [":path", "/"], ["content-length", "0"], ["content-length", "0"]],
  "a length that is no number": [...request(), [":path", "/"], ["content-length", "+0"]],
  "a length and no body": [...request(), [":path", "/"], ["content-length", "1"]],
  "two hosts": [...request(), [":path", "/"], ["host", "a"], ["host", "a"]],
  "a host that is not the authority": [
    ...request(),
    [":path", "/"],
    [":authority", "a"],
    ["host", "b"],
  ],
  "an authority with a blank": [...request(), [":path", "/"], [":authority", "a b"]],
  "an authority with user information": [...request(), [":path", "/"], [":authority", "u@a"]],
  "CONNECT with a path": [[":method", "CONNECT"], [":authority", "a:1"], [":path", "/"]],
  "CONNECT to nowhere": [[":method", "CONNECT"]],
  "CONNECT for a protocol": [
    [":method", "CONNECT"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "a"],
    [":protocol", "websocket"],
  ],
};

function request(): readonly (readonly [string, string])[] {
  return [[":method", "GET"], [":scheme", "http"]];
}

describe("the connection is ended", () => {
  test.each([...CONNECTION])("both roles: %s", (_name, sent, code) => {
    for (const isServer of [true, false]) {
      const peer = greeted(isServer);
      peer.receive(joined([sent].flat()));
      expect(peer.session.failed).toBe(code);
      expect(peer.log.filter((line) => line !== "settled")).toEqual([]);
      const goaway = framesOf(peer.take()).at(-1);
      expect([goaway?.type, goaway?.payload.slice(4)]).toEqual([GOAWAY, uint32(code)]);
    }
  });

  test.each([...REQUESTS])("a server's: %s", (_name, sent, code) => {
    const peer = greeted(true);
    peer.receive(joined([sent].flat()));
    expect(peer.session.failed).toBe(code);
  });

  test("by a client that speaks another protocol, at its first wrong byte", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSN"]) {
      const server = new MemoryPeer(true);
      server.session.start();
      server.receive(asciiBytes(text));
      expect(server.session.failed).toBe(PROTOCOL_ERROR);
    }
  });

  test("by whoever does not begin with SETTINGS", () => {
    for (const first of [frame(SETTINGS, 1, 0), frame(PING, 0, 0, new Uint8Array(8)), GET]) {
      for (const isServer of [true, false]) {
        const peer = new MemoryPeer(isServer);
        peer.session.start();
        peer.receive(isServer ? joined([PREFACE, first]) : first);
        expect(peer.session.failed).toBe(PROTOCOL_ERROR);
      }
    }
  });

  test("and nothing that came behind is looked at", () => {
    const server = greeted(true);
    server.receive(joined([frame(PING, 0, 1, new Uint8Array(8)), GET]));
    server.receive(GET);
    expect(server.log).toEqual(["settled"]);
  });
});

describe("one stream is reset", () => {
  test.each([...STREAMS])("a server's: %s", (_name, sent, code) => {
    const peer = greeted(true);
    peer.receive(joined([sent].flat()));
    expect(peer.session.failed).toBeNull();
    expect(resets(peer)).toEqual([[1, code]]);
    expect(peer.log.filter((line) => line.startsWith("reset"))).toHaveLength(1);
    expect(peer.session.streams.size).toBe(0);
  });

  test.each(Object.entries(MALFORMED))("of a request with %s", (_name, fields) => {
    const server = greeted(true);
    server.receive(frame(HEADERS, END_STREAM | END_HEADERS, 1, literals(...fields)));
    expect(server.log).toEqual(["settled"]);
    expect(resets(server)).toEqual([[1, PROTOCOL_ERROR]]);
    server.receive(frame(HEADERS, END_STREAM | END_HEADERS, 3, GET_BLOCK));
    expect(server.log).toEqual(["settled", "request 3 GET / a END"]);
  });

  test.each<readonly [string, readonly Uint8Array[]]>([
    ["a body before its head", [frame(DATA, 0, 1, bytes(1))]],
    ["no status", [frame(HEADERS, 4, 1, literals(["a", "b"]))]],
    ["a status of two digits", [frame(HEADERS, 4, 1, literals([":status", "20"]))]],
    ["a status below 100", [frame(HEADERS, 4, 1, literals([":status", "099"]))]],
    ["a protocol switch", [frame(HEADERS, 4, 1, literals([":status", "101"]))]],
    ["a path", [frame(HEADERS, 4, 1, literals([":status", "200"], [":path", "/"]))]],
    ["connection", [frame(HEADERS, 4, 1, literals([":status", "200"], ["connection", "x"]))]],
    ["an interim head that ends", [frame(HEADERS, 5, 1, literals([":status", "103"]))]],
    [
      "less than its length",
      [
        frame(HEADERS, 4, 1, literals([":status", "200"], ["content-length", "2"])),
        frame(DATA, END_STREAM, 1, bytes(1)),
      ],
    ],
    [
      "more than its length",
      [
        frame(HEADERS, 4, 1, literals([":status", "200"], ["content-length", "2"])),
        frame(DATA, 0, 1, bytes(1, 2, 3)),
      ],
    ],
    ["a body for 204", [frame(HEADERS, 4, 1, bytes(0x89)), frame(DATA, 0, 1, bytes(1))]],
    ["a body for 304", [frame(HEADERS, 4, 1, bytes(0x8b)), frame(DATA, 0, 1, bytes(1))]],
  ])("of a response with %s", (_name, sent) => {
    const client = asking("GET");
    client.receive(joined(sent));
    expect(client.session.failed).toBeNull();
    expect(resets(client)).toEqual([[1, PROTOCOL_ERROR]]);
    expect(client.log.at(-1)).toBe("reset 1 protocol error");
  });

  test("of a response to HEAD that has a body", () => {
    const client = asking("HEAD");
    const head = literals([":status", "200"], ["content-length", "1"]);
    client.receive(frame(HEADERS, END_HEADERS, 1, head));
    client.receive(frame(DATA, END_STREAM, 1, bytes(1)));
    expect(resets(client)).toEqual([[1, PROTOCOL_ERROR]]);
    const other = asking("HEAD");
    other.receive(joined([frame(HEADERS, END_HEADERS, 1, head), frame(DATA, END_STREAM, 1)]));
    expect(other.log).toEqual(["settled", "response 1 200; content-length: 1", "data 1  END"]);
  });

  test("of trailers that a response has twice", () => {
    const client = asking("GET");
    const trailers = frame(HEADERS, END_STREAM | END_HEADERS, 1, literals(["a", "b"]));
    client.receive(joined([ANSWER, trailers, trailers]));
    expect(client.log).toEqual(["settled", "response 1 200", "trailers 1 a: b"]);
    expect(client.session.failed).toBeNull();
  });
});

/** One side that has got the other's greeting. */
function greeted(isServer: boolean): MemoryPeer {
  const peer = new MemoryPeer(isServer);
  peer.session.start();
  peer.receive(isServer ? hello() : frame(SETTINGS, 0, 0));
  peer.take();
  return peer;
}

/** A client with a request under way. */
function asking(method: string): MemoryPeer {
  const client = greeted(false);
  client.ask(`${method} / HTTP/1.1\r\nHost: a`, true);
  client.take();
  return client;
}

function resets(peer: MemoryPeer): [number, number][] {
  const isReset = ({ type }: Frame) => type === RST_STREAM;
  return framesOf(peer.take()).filter(isReset).map(({ streamId, payload }) => [
    streamId,
    payload[3]!,
  ]);
}
