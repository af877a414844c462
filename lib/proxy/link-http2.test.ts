import { beforeEach, describe, expect, test } from "bun:test";
import { NUISANCES_BURST, NUISANCES_PER_SECOND, SEND_BUFFER_BYTES_MAX } from "../base/limits.ts";
import type { Conn, Net } from "../host/net.ts";
import { MemoryPeer } from "../../test/support/http2-peers.ts";
import { TestEnvironment } from "../../test/support/path-environment.ts";
import { frame, framesOf, GET_BLOCK, hello, joined } from "../../test/support/raw-http2.ts";
import { ErrorCode } from "../wire/http2/mod.ts";
import { PathContext } from "./context.ts";
import { LinkHttp2 } from "./link-http2.ts";

const PING = 6;

/** A socket that takes as many bytes as the test lets it. */
class FakeConn {
  room = Infinity;
  destroyed = false;
  ended = false;
  readonly writes: Uint8Array[] = [];

  write(bytes: Uint8Array, offset: number, length: number): number {
    const taken = Math.min(this.room, length);
    this.room -= taken;
    if (taken > 0) this.writes.push(bytes.slice(offset, offset + taken));
    return taken;
  }
  shutdown() {
    this.ended = true;
  }
  destroy() {
    this.destroyed = true;
  }
  get bytes(): Uint8Array {
    return joined(this.writes);
  }
}

let environment: TestEnvironment;
let context: PathContext;
let conn: FakeConn;
let failures: ErrorCode[];

beforeEach(() => {
  environment = new TestEnvironment({} as Net);
  context = new PathContext(environment);
  conn = new FakeConn();
  failures = [];
});

/** A server's link that a client has greeted; `answer` is how it answers requests. */
function link(
  isWatched: boolean,
  answer: (peer: MemoryPeer, stream: MemoryPeer["streams"][number]) => void = () => {},
): LinkHttp2<string> {
  const events = new MemoryPeer(true);
  const metrics = environment.metrics.transport({});
  const owner = { linkFailed: (code: ErrorCode) => void failures.push(code), linkSent() {} };
  const socket = conn as unknown as Conn<unknown>;
  const made = new LinkHttp2<string>(context, socket, metrics, true, events, owner, isWatched);
  events.onEvent = (kind, stream) => {
    // `events` has a session of its own, which is not used: answers go to the link's.
    if (kind === "request" && stream !== null) answer(events, stream);
  };
  Object.defineProperty(events, "session", { value: made.session });
  made.start(new Uint8Array(0));
  receive(made, hello());
  return made;
}

function receive(to: LinkHttp2<string>, bytes: Uint8Array): void {
  to.received(bytes, 0, bytes.length);
}

/** Time passes in steps, as the wheel sees it. */
function wait(seconds: number): void {
  for (let i = 0; i < seconds * 10; i++) environment.clock.advance(100);
}

const get = (i: number) => frame(1, 0x5, i * 2 + 1, GET_BLOCK);
const ping = frame(PING, 0, 0, new Uint8Array(8));

describe("a peer that does not read", () => {
  test("and asks for ever more heads is cut off before they take much memory", () => {
    const head = `HTTP/1.1 302 Found\r\nLocation: /${"x".repeat(1_000)}`;
    const made = link(false, (peer, stream) => peer.answer(stream, head, true));
    conn.room = 0;
    let asked = 0;
    for (; failures.length === 0 && asked < 10_000; asked++) receive(made, get(asked));
    expect(failures).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    expect(conn.destroyed).toBe(true);
    expect(asked).toBeGreaterThan(1_000);
    expect(made.session.sender.out.length).toBeLessThan(SEND_BUFFER_BYTES_MAX + 2_000);
  });

  test("and pings at a rate that is forgiven is cut off too", () => {
    const made = link(false);
    conn.room = 0;
    const pings = joined(new Array<Uint8Array>(NUISANCES_PER_SECOND).fill(ping));
    for (let seconds = 0; failures.length === 0 && seconds < 1_000; seconds++) {
      receive(made, pings);
      wait(1);
    }
    expect(failures).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    expect(made.session.sender.out.length).toBeLessThan(SEND_BUFFER_BYTES_MAX + 100_000);
  });

  test("for a while gets everything in its order afterwards", () => {
    const made = link(false, (peer, stream) => {
      peer.answer(stream, "HTTP/1.1 200 OK", false);
      peer.body(stream, new Uint8Array(10_000).fill(stream.id), true);
    });
    conn.room = 100;
    for (let i = 0; i < 6; i++) receive(made, get(i));
    expect(made.blocked).toBe(true);
    for (let i = 0; made.blocked; i++) {
      conn.room = 1 + i % 3_000;
      made.drained();
    }
    conn.room = Infinity;
    const data = framesOf(conn.bytes).filter(({ type }) => type === 0);
    for (const id of [1, 3, 5, 7, 9, 11]) {
      const body = joined(data.filter(({ streamId }) => streamId === id).map((f) => f.payload));
      expect([body.length, new Set(body)]).toEqual([10_000, new Set([id])]);
    }
  });
});

describe("nuisances", () => {
  test("are forgiven by time", () => {
    const made = link(false);
    const burst = joined(new Array<Uint8Array>(NUISANCES_BURST / 2).fill(ping));
    for (let i = 0; i < 10; i++) {
      receive(made, burst);
      wait(NUISANCES_BURST / 2 / NUISANCES_PER_SECOND);
    }
    expect(failures).toEqual([]);
    for (let i = 0; i < 3; i++) receive(made, burst);
    expect(failures).toEqual([ErrorCode.ENHANCE_YOUR_CALM]);
    expect(framesOf(conn.bytes).at(-1)?.type).toBe(7);
  });
});

describe("a silent peer", () => {
  const pings = () => framesOf(conn.bytes).filter(({ type }) => type === PING).length;

  test("that is a proxy is asked for a sign while it has streams, and given up without one", () => {
    const made = link(true);
    receive(made, get(0));
    wait(21);
    expect([pings(), failures]).toEqual([1, []]);
    receive(made, frame(PING, 1, 0, new Uint8Array(8)));
    wait(9);
    expect([pings(), failures]).toEqual([1, []]);
    wait(30);
    expect(failures).toEqual([ErrorCode.NO_ERROR]);
    expect(conn.destroyed).toBe(true);
  });

  test("that takes what is sent lives, though its answer has to wait", () => {
    const made = link(true);
    conn.room = 0;
    receive(made, get(0));
    for (let i = 0; i < 20; i++) {
      wait(4);
      conn.room = 10;
      made.drained();
    }
    expect(failures).toEqual([]);
    wait(26);
    expect(failures).toEqual([ErrorCode.NO_ERROR]);
  });

  test("without streams is left alone", () => {
    link(true);
    wait(100);
    expect([pings(), failures]).toEqual([0, []]);
  });

  // A program may be stopped in a debugger, or read slowly what stands in front of the ping.
  test("that is no proxy is left alone", () => {
    const made = link(false);
    receive(made, get(0));
    wait(100);
    expect([pings(), failures]).toEqual([0, []]);
  });
});

describe("when it sends", () => {
  test("at once while no stream is open, else once at the turn's end", () => {
    let answers = true;
    const made = link(false, (peer, stream) => {
      if (answers) peer.answer(stream, "HTTP/1.1 200 OK", true);
    });
    conn.writes.length = 0;
    for (let i = 0; i < 3; i++) receive(made, get(i));
    expect(conn.writes).toHaveLength(3);
    answers = false;
    for (let i = 3; i < 6; i++) receive(made, get(i));
    answers = true;
    for (let i = 6; i < 20; i++) receive(made, get(i));
    expect(conn.writes).toHaveLength(3);
    environment.clock.advance(1);
    expect(conn.writes).toHaveLength(4);
    expect(framesOf(conn.writes[3]!)).toHaveLength(14);
  });

  test("FIN goes behind what the socket did not take", () => {
    const made = link(false, (peer, stream) => peer.answer(stream, "HTTP/1.1 200 OK", true));
    conn.room = 3;
    receive(made, get(0));
    made.end();
    expect(conn.ended).toBe(false);
    conn.room = Infinity;
    made.drained();
    expect(conn.ended).toBe(true);
    expect(framesOf(conn.bytes).at(-1)?.type).toBe(1);
  });

  test("nothing goes behind FIN, whatever the peer asks", () => {
    const made = link(false);
    made.end();
    expect(conn.ended).toBe(true);
    const count = conn.writes.length;
    receive(made, ping);
    made.drained();
    expect(conn.writes).toHaveLength(count);
    expect(failures).toEqual([]);
  });
});
