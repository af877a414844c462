import { expect, test } from "bun:test";
import { asciiBytes } from "../base/bytes.ts";
import type { Conn, ConnHandler, Net } from "../host/net.ts";
import { TestEnvironment } from "../../test/support/path-environment.ts";
import { frame } from "../../test/support/raw-http2.ts";
import { RequestHead } from "../wire/http/mod.ts";
import { parseRequestHead } from "../wire/http1/mod.ts";
import type { Attempt } from "./attempt.ts";
import { PathContext } from "./context.ts";
import { plainHop } from "./hop.ts";
import type { Loss } from "./http-parts.ts";
import { PoolHttp1 } from "./pool-http1.ts";
import { PoolHttp2 } from "./pool-http2.ts";
import { RequestBody } from "./request-body.ts";

const SETTINGS = 4;
const serverHello = frame(SETTINGS, 0, 0);

/** A socket that takes some bytes, or that the peer has reset. */
class FakeConn {
  readonly remote = { ip: "10.42.0.9", port: 80 };
  readonly local = { ip: "10.42.0.7", port: 40_000 };
  isReset = false;
  room = Infinity;
  readonly writes: Uint8Array[] = [];
  readonly data: unknown;
  readonly handler: ConnHandler<unknown>;

  constructor(handler: ConnHandler<unknown>, data: unknown) {
    this.handler = handler;
    this.data = data;
  }
  write(bytes: Uint8Array, offset: number, length: number): number {
    if (this.isReset) return -1;
    const took = Math.min(this.room, length);
    this.room -= took;
    this.writes.push(bytes.slice(offset, offset + took));
    return took;
  }
  destroy() {}
  bring(bytes: Uint8Array) {
    this.handler.data(this as unknown as Conn<unknown>, bytes);
  }
  lose() {
    this.handler.close(this as unknown as Conn<unknown>, "reset");
  }
}

/** A POST that is told how it was lost. */
class Post {
  readonly queuedAtMs = 0;
  readonly added = null;
  readonly head = new RequestHead();
  readonly body = new RequestBody();
  readonly responseBlocked = false;
  loss: Loss | null = null;
  ownFields = () => null;

  constructor() {
    const bytes = asciiBytes("POST /order HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n");
    parseRequestHead(bytes, 0, bytes.length, this.head);
    this.body.complete = true;
  }
  attached() {}
  responseHead = () => true;
  responseDone() {}
  lost(loss: Loss) {
    this.loss = loss;
  }
}

/** A pool over one connection that is open, and how to ask it for something. */
function connected(Pool: typeof PoolHttp1 | typeof PoolHttp2) {
  const conns: FakeConn[] = [];
  const net: Pick<Net, "connect"> = {
    connect<D>(_: unknown, handler: ConnHandler<D>, data: D) {
      const conn = new FakeConn(handler as ConnHandler<unknown>, data);
      conns.push(conn);
      return conn as unknown as Conn<D>;
    },
  };
  const environment = new TestEnvironment(net as Net);
  const context = new PathContext(environment);
  context.stop();
  const metrics = environment.metrics.transport({});
  const hop = plainHop({ ip: "10.42.0.9", port: 80 }, { timeoutMs: 1_000, mark: 0, metrics });
  const pool = new Pool(context, hop, false);
  const post = () => {
    const made = new Post();
    pool.attach(made as unknown as Attempt, false);
    return made;
  };
  const first = post();
  const conn = conns[0]!;
  conn.handler.open(conn as unknown as Conn<unknown>);
  const turn = () => environment.clock.advance(0);
  return { conn, first, post, turn };
}

test("HTTP/1: on a connection that was reset before, nothing was processed", () => {
  const { conn, post } = connected(PoolHttp1);
  conn.bring(asciiBytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  conn.isReset = true;
  const made = post();
  conn.lose();
  expect(made.loss).toMatchObject({ error: "reset", unprocessed: true, raced: true });
});

test("HTTP/1: once the socket has taken a part, the request may have been processed", () => {
  const { conn, post } = connected(PoolHttp1);
  conn.bring(asciiBytes("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
  conn.room = 1;
  const made = post();
  conn.lose();
  expect(made.loss).toMatchObject({ error: "reset", unprocessed: false, raced: true });
});

test("HTTP/2: streams of which the socket took nothing were not processed, those before may be", () => {
  const { conn, first, post, turn } = connected(PoolHttp2);
  conn.bring(serverHello);
  const second = post();
  turn();
  conn.isReset = true;
  const third = post();
  turn();
  conn.lose();
  expect([first, second, third].map(({ loss }) => loss?.unprocessed)).toEqual([false, false, true]);
});

test("HTTP/2: a stream whose bytes stand behind others' that the socket took is not told from them", () => {
  const { conn, post, turn } = connected(PoolHttp2);
  conn.bring(serverHello);
  turn();
  conn.room = 1;
  const second = post();
  turn();
  const third = post();
  conn.lose();
  expect([second, third].map(({ loss }) => loss?.unprocessed)).toEqual([false, true]);
});
