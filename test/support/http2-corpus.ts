/**
 * What peers say on an HTTP/2 connection, as frames: ordinary conversations, rare ones, and inputs that
 * once broke something. The fuzzer begins with these and changes them.
 */

import { asciiBytes } from "../../lib/base/bytes.ts";
import { FrameType } from "../../lib/wire/http2/frame.ts";
import { frame, GET_BLOCK } from "./raw-http2.ts";

const { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY } = FrameType;
const { WINDOW_UPDATE, CONTINUATION } = FrameType;

const END_STREAM = 0x1;
const END_HEADERS = 0x4;
const PADDED = 0x8;

const number = (value: number) =>
  Uint8Array.of(value >>> 24, value >>> 16 & 0xff, value >>> 8 & 0xff, value & 0xff);
const setting = (id: number, value: number) => Uint8Array.of(0, id, ...number(value));
const literal = (name: string, value: string, kind = 0) =>
  Uint8Array.of(kind, name.length, ...asciiBytes(name), value.length, ...asciiBytes(value));
const block = (...parts: readonly Uint8Array[]) => Uint8Array.from(parts.flatMap((p) => [...p]));

const get = (id: number) => frame(HEADERS, END_STREAM | END_HEADERS, id, GET_BLOCK);
const post = (id: number, ...more: readonly Uint8Array[]) =>
  frame(HEADERS, END_HEADERS, id, block(Uint8Array.of(0x83, 0x86, 0x84), ...more));
const ok = (id: number, flags = END_HEADERS, ...more: readonly Uint8Array[]) =>
  frame(HEADERS, flags, id, block(Uint8Array.of(0x88), ...more));
const data = (id: number, text: string, flags = 0) => frame(DATA, flags, id, asciiBytes(text));
const hello = frame(SETTINGS, 0, 0);
const accepted = frame(SETTINGS, 1, 0);

/** What clients send, behind the preface. */
export const CLIENT_CORPUS: readonly (readonly Uint8Array[])[] = [
  [hello, accepted, get(1), get(3), frame(PING, 0, 0, new Uint8Array(8)), get(5)],
  [
    hello,
    post(1, literal("content-length", "5")),
    data(1, "hel"),
    data(1, "lo", END_STREAM),
    get(3),
    frame(RST_STREAM, 0, 3, number(8)),
    frame(WINDOW_UPDATE, 0, 0, number(70_000)),
  ],
  [
    frame(SETTINGS, 0, 0, block(setting(4, 1), setting(1, 0))),
    get(1),
    frame(WINDOW_UPDATE, 0, 1, number(3)),
    frame(SETTINGS, 0, 0, block(setting(4, 0), setting(1, 4_096))),
    frame(WINDOW_UPDATE, 0, 1, number(100_000)),
    frame(SETTINGS, 0, 0, setting(4, 65_535)),
  ],
  [
    hello,
    frame(HEADERS, 0, 1, GET_BLOCK.slice(0, 2)),
    frame(CONTINUATION, 0, 1, GET_BLOCK.slice(2, 4)),
    frame(CONTINUATION, END_HEADERS, 1, GET_BLOCK.slice(4)),
    frame(DATA, PADDED, 1, Uint8Array.of(2, 0x68, 0x69, 0, 0)),
    frame(HEADERS, END_STREAM | END_HEADERS, 1, literal("x-sum", "1")),
  ],
  [
    hello,
    frame(PRIORITY, 0, 3, Uint8Array.of(0, 0, 0, 1, 9)),
    frame(HEADERS, 0x2d, 1, Uint8Array.of(1, 0x80, 0, 0, 3, 7, ...GET_BLOCK, 0)),
    frame(0xfa, 0, 0, asciiBytes("unknown")),
    frame(GOAWAY, 0, 0, block(number(0), number(0), asciiBytes("bye"))),
    get(3),
  ],
  [
    hello,
    post(1, literal("a", "b", 0x40), literal("a", "b"), Uint8Array.of(0xbe)),
    frame(HEADERS, END_HEADERS, 3, Uint8Array.of(0x3f, 0xe1, 0x1f, ...GET_BLOCK, 0xbe)),
    data(3, "x".repeat(10_000)),
    data(3, "y".repeat(10_000), END_STREAM),
    data(1, "", END_STREAM),
  ],
];

/** What servers send to a client that has asked on the streams 1 to 9. */
export const SERVER_CORPUS: readonly (readonly Uint8Array[])[] = [
  [hello, accepted, ok(1), data(1, "hello", END_STREAM), ok(3, END_HEADERS | END_STREAM)],
  [
    hello,
    frame(HEADERS, END_HEADERS, 1, literal(":status", "103")),
    ok(1, END_HEADERS, literal("content-length", "4")),
    data(1, "four"),
    frame(HEADERS, END_STREAM | END_HEADERS, 1, literal("grpc-status", "0")),
    ok(5),
    data(5, "z".repeat(16_384)),
    frame(RST_STREAM, 0, 5, number(2)),
    frame(RST_STREAM, 0, 7, number(7)),
  ],
  [
    frame(SETTINGS, 0, 0, block(setting(3, 2), setting(4, 10), setting(6, 100))),
    frame(WINDOW_UPDATE, 0, 9, number(10)),
    frame(WINDOW_UPDATE, 0, 0, number(1_000_000)),
    frame(SETTINGS, 0, 0, setting(4, 2_000_000)),
    ok(9, END_HEADERS | END_STREAM),
    frame(RST_STREAM, 0, 9, number(0)),
  ],
  [
    hello,
    ok(1),
    frame(GOAWAY, 0, 0, block(number(3), number(0))),
    data(1, "rest", END_STREAM),
    ok(3),
    frame(DATA, PADDED | END_STREAM, 3, new Uint8Array(200)),
    frame(PING, 1, 0, new Uint8Array(8)),
  ],
];
