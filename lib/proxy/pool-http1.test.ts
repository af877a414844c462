import { beforeEach, describe, expect, test } from "bun:test";
import { asciiBytes } from "../base/bytes.ts";
import { CONNECTING_MIN } from "../base/limits.ts";
import type { CloseReason, Conn, ConnHandler, Net } from "../host/net.ts";
import { TestEnvironment } from "../../test/support/path-environment.ts";
import { RequestHead } from "../wire/http/mod.ts";
import { parseRequestHead } from "../wire/http1/mod.ts";
import type { Attempt } from "./attempt.ts";
import { PathContext } from "./context.ts";
import { plainHop } from "./hop.ts";
import { PoolHttp1 } from "./pool-http1.ts";
import { RequestBody } from "./request-body.ts";
import type { UpstreamHttp1 } from "./upstream-http1.ts";

/** A connection that the test opens, fails and closes. */
class FakeConn {
  data: unknown;
  handler: ConnHandler<unknown>;
  readonly remote = { ip: "10.42.0.9", port: 80 };
  readonly local = { ip: "10.42.0.7", port: 40_000 };
  closed = false;

  constructor(handler: ConnHandler<unknown>, data: unknown) {
    this.handler = handler;
    this.data = data;
  }
  write = (_: Uint8Array, __: number, length: number) => length;
  shutdown() {}
  pause() {}
  resume() {}
  startTls() {}
  originalDestination = () => null;
  destroy() {
    this.end("local");
  }
  open() {
    const conn = this as Conn<unknown>;
    this.handler.open(conn);
    this.handler.secure(conn, { certificate: null, alpn: null, serverName: null, resumed: false });
  }
  bring(text: string) {
    this.handler.data(this as Conn<unknown>, asciiBytes(text));
  }
  end(reason: CloseReason) {
    if (this.closed) return;
    this.closed = true;
    this.handler.close(this as Conn<unknown>, reason);
  }
}

/** A request as the pool sees it. */
class FakeRequest {
  queuedAtMs: number;
  got: UpstreamHttp1 | string | null = null;
  readonly head = new RequestHead();
  readonly body = new RequestBody();
  readonly added = null;
  ownFields = () => null;
  readonly fresh: boolean;
  constructor(queuedAtMs: number, fresh: boolean) {
    this.queuedAtMs = queuedAtMs;
    this.fresh = fresh;
    const bytes = asciiBytes("GET / HTTP/1.0\r\n\r\n");
    parseRequestHead(bytes, 0, bytes.length, this.head);
    this.body.complete = true;
  }
  attached(upstream: UpstreamHttp1) {
    this.got = upstream;
  }
  unreachable(reason: CloseReason) {
    this.got = reason;
  }
  responseHead() {
    return true;
  }
  responseDone() {}
  get responseBlocked() {
    return false;
  }
  unsecurable() {
    this.got = "unsecurable";
  }
}

let conns: FakeConn[];
let environment: TestEnvironment;
let context: PathContext;

beforeEach(() => {
  conns = [];
  const net: Pick<Net, "connect"> = {
    connect<D>(_: unknown, handler: ConnHandler<D>, data: D) {
      const conn = new FakeConn(handler as ConnHandler<unknown>, data);
      conns.push(conn);
      return conn as unknown as Conn<D>;
    },
  };
  environment = new TestEnvironment(net as Net);
  context = new PathContext(environment);
  context.stop();
});

function pool(tls: boolean): PoolHttp1 {
  const metrics = environment.metrics.transport({});
  const settings = { timeoutMs: 1_000, mark: 0, metrics };
  const hop = plainHop({ ip: "10.42.0.9", port: 80 }, settings);
  return new PoolHttp1(
    context,
    tls ? { ...hop, tls: { serverName: "a", peerName: "a", alpn: [] } } : hop,
    tls,
  );
}

function ask(of: PoolHttp1, count: number, fresh = false): FakeRequest[] {
  return Array.from({ length: count }, () => {
    const request = new FakeRequest(environment.clock.monotonicMs(), fresh);
    of.attach(request as unknown as Attempt, fresh);
    return request;
  });
}

const served = (requests: FakeRequest[]) =>
  requests.filter(({ got }) => got !== null && typeof got !== "string").length;

describe("a burst of requests", () => {
  test("over TLS makes few connections at a time, and more as they succeed", () => {
    const requests = ask(pool(true), 40);
    expect(conns.length).toBe(CONNECTING_MIN);
    for (const conn of conns.slice()) conn.open();
    expect(served(requests)).toBe(CONNECTING_MIN);
    expect(conns.length).toBe(2 * CONNECTING_MIN);
    for (let i = CONNECTING_MIN; i < conns.length; i++) conns[i]!.open();
    expect(served(requests)).toBe(40);
    expect(conns.length).toBe(40);
  });

  test("without TLS makes a connection for each", () => {
    ask(pool(false), 40);
    expect(conns.length).toBe(40);
  });

  test("takes what others have done with, whatever is ready first", () => {
    const made = pool(true);
    const [first, second] = ask(made, 2);
    conns[0]!.open();
    expect(served([first!, second!])).toBe(1);
    made.release(first!.got as UpstreamHttp1);
    expect(second!.got).toBe(first!.got);
    conns[1]!.open();
    const third = ask(made, 1)[0]!;
    expect(third.got).not.toBeNull();
    expect(conns.length).toBe(2);
  });
});

test("who wants a fresh connection takes none that has served, though others wait behind", () => {
  const made = pool(false);
  const [first] = ask(made, 1);
  conns[0]!.open();
  const [fresh] = ask(made, 1, true);
  const [other] = ask(made, 1);
  conns[0]!.bring("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  expect(fresh!.got).toBeNull();
  expect(other!.got).toBe(first!.got);
  conns[1]!.open();
  expect(fresh!.got).not.toBeNull();
  expect(fresh!.got).not.toBe(first!.got);
});

describe("a connection that fails", () => {
  test("fails those who waited for as long, not those who came later", () => {
    const made = pool(true);
    const early = ask(made, 3);
    environment.clock.advance(500);
    const late = ask(made, 2);
    conns[0]!.end("timeout");
    expect(early.map(({ got }) => got)).toEqual(["timeout", "timeout", "timeout"]);
    expect(late.map(({ got }) => got)).toEqual([null, null]);
    conns[1]!.open();
    conns[2]!.open();
    expect(served(late)).toBe(2);
  });

  test("a request that was cancelled takes no connection", () => {
    const made = pool(true);
    const [first, second] = ask(made, 2);
    made.cancel(first as unknown as Attempt);
    conns[0]!.open();
    expect(first!.got).toBeNull();
    expect(second!.got).not.toBeNull();
  });

  test("without a certificate nothing is connected", () => {
    environment.credentials = null;
    const requests = ask(pool(true), 3);
    expect(requests.map(({ got }) => got)).toEqual(["unsecurable", "unsecurable", "unsecurable"]);
    expect(conns.length).toBe(0);
    expect(context.pools.size).toBe(0);
  });
});

test("a closed pool ends what is idle, and serves who waits", () => {
  const made = pool(true);
  const [first, second] = ask(made, 2);
  conns[0]!.open();
  made.close();
  conns[1]!.open();
  expect(second!.got).not.toBeNull();
  (first!.got as UpstreamHttp1).cancel();
  (second!.got as UpstreamHttp1).cancel();
  expect(conns.every((conn) => conn.closed)).toBe(true);
  expect(context.pools.size).toBe(0);
});
