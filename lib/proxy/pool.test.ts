import { beforeEach, describe, expect, test } from "bun:test";
import { CONNECTING_MIN } from "../base/limits.ts";
import type { CloseReason, Conn, ConnHandler, Net } from "../host/net.ts";
import { TestEnvironment } from "../../test/support/path-environment.ts";
import { PathContext } from "./context.ts";
import type { Downstream } from "./downstream.ts";
import { plainHop } from "./hop.ts";
import { HttpPool } from "./pool.ts";
import type { Upstream } from "./upstream.ts";

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
    this.handler.secure(conn, { certificate: null, alpn: null, serverName: null });
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
  got: Upstream | string | null = null;
  constructor(queuedAtMs: number) {
    this.queuedAtMs = queuedAtMs;
  }
  attached(upstream: Upstream) {
    this.got = upstream;
  }
  unreachable(reason: CloseReason) {
    this.got = reason;
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

function pool(tls: boolean): HttpPool {
  const metrics = environment.metrics.transport({});
  const settings = { timeoutMs: 1_000, mark: 0, metrics };
  const hop = plainHop({ ip: "10.42.0.9", port: 80 }, settings);
  return new HttpPool(
    context,
    tls ? { ...hop, tls: { serverName: "a", peerName: "a", alpn: [] } } : hop,
    tls,
  );
}

function ask(of: HttpPool, count: number): FakeRequest[] {
  return Array.from({ length: count }, () => {
    const request = new FakeRequest(environment.clock.monotonicMs());
    of.attach(request as unknown as Downstream, false);
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
    made.release(first!.got as Upstream);
    expect(second!.got).toBe(first!.got);
    conns[1]!.open();
    const third = ask(made, 1)[0]!;
    expect(third.got).not.toBeNull();
    expect(conns.length).toBe(2);
  });
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
    made.cancel(first as unknown as Downstream);
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
  (first!.got as Upstream).abandon();
  (second!.got as Upstream).abandon();
  expect(conns.every((conn) => conn.closed)).toBe(true);
  expect(context.pools.size).toBe(0);
});
