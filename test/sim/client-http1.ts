/** A simulated client that speaks HTTP/1: keep-alive, pipelining, slow reading, giving up, half-close. */

import type { Conn, ConnHandler, Net } from "../../lib/host/net.ts";
import type { SocketAddress } from "../../lib/mesh/address.ts";
import { type Ask, type Ledger, paddingOf, requestTag, responseTag } from "./ask.ts";
import { type BodyRule, type HeadText, Http1Reader, type Http1Sink } from "./http1-reader.ts";
import { mismatch } from "./payload.ts";
import { ReadingHabits, type ReadingPlan } from "./reading.ts";
import { Violation, type World } from "./world.ts";
import { Writer } from "./writer.ts";

/** How a client behaves. */
export interface ClientPlan {
  readonly name: string;
  readonly startMs: number;
  readonly target: SocketAddress;
  /** Requests that may be under way on its connection. */
  readonly depth: number;
  readonly reading: ReadingPlan;
  /** Says FIN right behind its last request. */
  readonly halfCloses: boolean;
  /** How it leaves when it has all answers. */
  readonly leaves: "fin" | "destroy" | "reset" | "stay";
}

/** What a client needs. */
export interface Surroundings {
  readonly world: World;
  readonly net: Net;
  readonly ledger: Ledger;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** Connections that one client makes; its requests are lost behind that. */
const CONNECTS_MAX = 12;

/** One client with one connection at a time. */
export class ClientHttp1 implements Http1Sink {
  readonly plan: ClientPlan;
  readonly #around: Surroundings;
  readonly #reading: ReadingHabits;
  /** Not sent. */
  readonly #todo: Ask[];
  /** Sent, in order. */
  #sent: Ask[] = [];
  /** The last one sent on this connection. */
  #last: Ask | null = null;
  #conn: Conn<ClientHttp1> | null = null;
  #writer: Writer | null = null;
  #reader = new Http1Reader(this);
  #isOpen = false;
  #connects = 0;
  /** Of the response under way. */
  #received = 0;
  #tag = 0;
  #head: HeadText | null = null;
  #isAnswer = false;
  #isShut = false;
  #isWaiting = false;
  #tunnel: Ask | null = null;

  constructor(plan: ClientPlan, asks: readonly Ask[], around: Surroundings) {
    this.plan = plan;
    this.#around = around;
    this.#reading = new ReadingHabits(plan.reading);
    this.#todo = [...asks];
    around.world.schedule(plan.startMs, () => this.#connect());
  }

  /** Leaves for good. */
  leave(): void {
    if (this.#last !== null) this.#last.isLeft = true;
    this.#conn?.destroy();
  }

  // The connection.

  opened(): void {
    this.#isOpen = true;
    this.#next();
  }

  received(chunk: Uint8Array): void {
    const conn = this.#conn;
    if (conn === null) return;
    this.#reader.take(chunk);
    this.#reading.read(this.#around.world, conn, chunk.length);
  }

  drained(): void {
    this.#writer?.drained();
  }

  peerEnded(): void {
    const proper = this.#reader.end();
    if (this.#tunnel !== null) {
      this.#tunnelEnded(this.#tunnel);
      return;
    }
    const first = this.#sent[0];
    if (!proper && first !== undefined) this.#lose(`FIN after ${this.#received} bytes`);
    else this.#lose("FIN");
    this.#writer?.clear();
    this.#conn?.destroy();
  }

  closed(reason: string): void {
    this.#conn = null;
    this.#writer?.clear();
    this.#writer = null;
    this.#isOpen = false;
    if (this.#tunnel !== null) {
      const tunnel = this.#tunnel;
      this.#tunnel = null;
      if (tunnel.outcome === null) this.#around.ledger.ended(tunnel, "lost", `closed: ${reason}`);
    }
    this.#lose(`closed: ${reason}`);
    if (this.#todo.length === 0) return;
    if (this.#connects >= CONNECTS_MAX) {
      for (const ask of this.#todo.splice(0)) {
        this.#around.ledger.began(ask, this.plan.name);
        this.#around.ledger.ended(ask, "cancelled", "too many connections were lost");
      }
      return;
    }
    const { world } = this.#around;
    world.schedule(world.prng.float() * 50, () => this.#connect());
  }

  // What the reader finds.

  head(head: HeadText): BodyRule | null {
    const ask = this.#sent[0];
    if (ask === undefined) this.#violated(`a response that nobody asked for: ${head.start}`);
    const match = /^HTTP\/1\.[01] (\d{3}) /.exec(head.start);
    if (match === null) this.#violated(`a status line "${head.start}"`);
    const status = Number(match[1]);
    const { plan } = ask;
    if (status < 200 && status !== 101) {
      if (plan.http10) this.#violated(`${status} to a request by HTTP/1.0`);
      return null;
    }
    this.#head = head;
    this.#received = 0;
    this.#isAnswer = head.fields.has("x-id");
    ask.status = status;
    ask.saidClose = saysClose(head, plan.http10);
    if (this.#isAnswer) this.#checkHead(ask, head, status);
    const isTunnel = status === 101 || (plan.method === "CONNECT" && status < 300);
    if (isTunnel && this.#isAnswer) {
      this.#beginTunnel(ask);
      return "tunnel";
    }
    if (plan.method === "HEAD" || status === 204 || status === 304) return "none";
    if (head.fields.get("transfer-encoding") !== undefined) {
      if (plan.http10) this.#violated("a chunked response by HTTP/1.0");
      return "chunked";
    }
    const length = head.fields.get("content-length");
    return length === undefined ? "close" : Number(length);
  }

  body(bytes: Uint8Array, start: number, end: number): void {
    const ask = this.#tunnel ?? this.#sent[0]!;
    if (!this.#isAnswer) return;
    const wrong = mismatch(this.#tag, this.#received, bytes, start, end);
    if (wrong >= 0) {
      this.#violated(`request ${ask.plan.id}: byte ${this.#received + wrong - start} is wrong`);
    }
    this.#received += end - start;
    if (this.#received > ask.plan.responseBytes) {
      this.#violated(`request ${ask.plan.id}: ${this.#received} bytes, too many`);
    }
  }

  done(trailers: ReadonlyMap<string, string>): void {
    const ask = this.#sent.shift()!;
    const { ledger } = this.#around;
    const { plan } = ask;
    if (!this.#isAnswer) {
      if (ask.status < 400) this.#violated(`request ${plan.id} refused by ${ask.status}`);
      ledger.ended(ask, "refused", `${ask.status} ${this.#head?.fields.get("l5d-proxy-error")}`);
    } else {
      this.#checkEnd(ask, trailers);
      ledger.ended(ask, "answered", `${ask.status} with ${this.#received} bytes`);
    }
    if (ask.saidClose && this.#sent.length > 0) this.#lose("the response before said close");
    this.#isWaiting = true;
    this.#around.world.schedule(plan.thinkMs, () => {
      this.#isWaiting = false;
      this.#next();
    });
  }

  bad(why: string): void {
    this.#violated(`a response that is no HTTP: ${why}`);
  }

  // Doing.

  #connect(): void {
    this.#connects++;
    this.#isShut = false;
    this.#last = null;
    this.#reader = new Http1Reader(this);
    const { net, world } = this.#around;
    const options = { address: this.plan.target, timeoutMs: CONNECT_TIMEOUT_MS };
    this.#conn = net.connect(options, CLIENT, this);
    this.#writer = new Writer(world, this.#conn as Conn<unknown>);
  }

  #next(): void {
    const writer = this.#writer;
    if (!this.#isOpen || writer === null || this.#isWaiting || this.#tunnel !== null) return;
    if (this.#isShut) return;
    if (this.#last?.saidClose === true && this.#sent.length === 0) {
      this.#conn?.destroy();
      return;
    }
    while (
      this.#last?.saidClose !== true && this.#sent.length < this.plan.depth && this.#todo.length > 0
    ) {
      // Pipelining begins behind a whole request.
      if (!writer.isIdle && this.plan.depth === 1) break;
      if (this.#sent.at(-1)?.plan.tunnel || this.#sent.at(-1)?.plan.method === "CONNECT") break;
      const ask = this.#todo.shift()!;
      this.#send(ask, writer);
      if (ask.plan.tunnel !== null) break;
    }
    writer.pump();
    if (this.#todo.length === 0 && this.#sent.length === 0 && writer.isIdle) this.#leave();
  }

  #send(ask: Ask, writer: Writer): void {
    const { ledger, world } = this.#around;
    ask.behind = this.#last;
    this.#last = ask;
    this.#sent.push(ask);
    writer.then(() => ledger.began(ask, this.plan.name));
    writeRequest(ask, writer);
    writer.then(() => ask.sentAtMs = world.nowMs);
    if (ask.plan.tunnel !== null) return;
    writer.then(() => this.#next());
    const isLast = this.#todo.length === 0;
    if (isLast && this.plan.halfCloses) {
      this.#isShut = true;
      writer.end();
    }
    const { cancelMs } = ask.plan;
    if (cancelMs === null) return;
    world.schedule(cancelMs, () => {
      if (ask.outcome !== null || !this.#sent.includes(ask)) return;
      for (const other of this.#sent.splice(0)) {
        if (other.beganAtMs < 0) ledger.began(other, this.plan.name);
        other.isLeft = true;
        ledger.ended(other, "cancelled", "the client gave up");
      }
      this.#conn?.destroy(world.prng.chance(0.5));
    });
  }

  #leave(): void {
    const conn = this.#conn;
    if (conn === null) return;
    switch (this.plan.leaves) {
      case "fin":
        if (!this.#isShut) conn.shutdown();
        this.#isShut = true;
        break;
      case "destroy":
        conn.destroy();
        break;
      case "reset":
        conn.destroy(true);
        break;
      case "stay":
        break;
    }
  }

  #lose(why: string): void {
    for (const ask of this.#sent.splice(0)) {
      if (ask.beganAtMs < 0) this.#around.ledger.began(ask, this.plan.name);
      this.#around.ledger.ended(ask, "lost", why);
    }
  }

  // Checking.

  #checkHead(ask: Ask, head: HeadText, status: number): void {
    const { plan } = ask;
    const { fields } = head;
    if (fields.get("x-id") !== `${plan.id}`) {
      this.#violated(`the answer of ${fields.get("x-id")} for request ${plan.id}`);
    }
    const wanted = plan.tunnel === "upgrade" ? 101 : plan.status;
    if (status !== wanted) this.#violated(`request ${plan.id}: status ${status}`);
    const attempt = Number(fields.get("x-attempt"));
    if (!(attempt < ask.attempts.length)) this.#violated(`attempt ${attempt} of ${plan.id}`);
    this.#tag = responseTag(plan.id, attempt);
    if (plan.garbage !== null && !plan.early) this.#violated(`garbage ${plan.id} was answered`);
    const padding = plan.tunnel === "upgrade" ? "" : paddingOf(plan);
    if ((fields.get("x-pad") ?? "") !== padding) this.#violated("another x-pad");
    if (fields.get("x-noise") !== `${this.#tag * 7}`) this.#violated("another x-noise");
    for (const name of fields.keys()) {
      if (name.startsWith("l5d-")) this.#violated(`${name} came to the client`);
    }
  }

  #checkEnd(ask: Ask, trailers: ReadonlyMap<string, string>): void {
    const { plan } = ask;
    const isBodiless = plan.method === "HEAD" || plan.status === 204 || plan.status === 304;
    const expected = isBodiless ? 0 : plan.responseBytes;
    const wasCut = plan.trouble === "close within" ||
      ask.attempts.some(({ finAt }) => isNaN(finAt));
    const isCut = plan.framing === "close" && wasCut;
    if (this.#received !== expected && !isCut) {
      this.#violated(`request ${plan.id}: ${this.#received} of ${expected} bytes taken for all`);
    }
    const isChunked = this.#head?.fields.has("transfer-encoding") === true;
    const wanted = plan.responseTrailers && plan.framing === "chunked" && isChunked && !isBodiless;
    if (wanted && trailers.get("x-sum") !== `${plan.id}`) {
      this.#violated(`request ${plan.id}: trailers ${JSON.stringify([...trailers])}`);
    }
  }

  #violated(what: string): never {
    throw new Violation(`${this.plan.name}: ${what}`);
  }

  // Tunnels.

  #beginTunnel(ask: Ask): void {
    this.#tunnel = ask;
    this.#sent.shift();
    const writer = this.#writer!;
    writer.payload(requestTag(ask.plan.id), 0, ask.plan.requestBytes).end();
    this.#isShut = true;
    this.#around.world.schedule(0, () => writer.pump());
  }

  #tunnelEnded(ask: Ask): void {
    this.#tunnel = null;
    const wasCut = ask.attempts.some(({ finAt }) => isNaN(finAt));
    if (this.#received !== ask.plan.responseBytes && !wasCut) {
      this.#violated(`tunnel ${ask.plan.id} ended after ${this.#received} bytes`);
    }
    this.#around.ledger.ended(ask, "answered", `tunnel with ${this.#received} bytes`);
  }
}

/** A request as HTTP/1 has it. */
function writeRequest(ask: Ask, writer: Writer): void {
  const { plan } = ask;
  const { id, method } = plan;
  const version = plan.http10 ? "1.0" : "1.1";
  const target = method === "CONNECT" ? `web.example:80` : `/${id}`;
  const lines = [`${method} ${target} HTTP/${version}`, "host: web.example", `x-id: ${id}`];
  lines.push(`x-noise: ${id * 13}`, "l5d-client-id: forged");
  if (plan.http10) lines.push("connection: keep-alive");
  if (plan.tunnel === "upgrade") lines.push("connection: upgrade", "upgrade: sim");
  if (plan.expectContinue) lines.push("expect: 100-continue");
  if (plan.paddingBytes > 0) lines.push(`x-pad: ${paddingOf(plan)}`);
  if (plan.garbage === "head") lines.push("no field at all");
  const hasBody = plan.tunnel === null && (plan.requestBytes > 0 || plan.requestChunked);
  if (hasBody && plan.requestChunked) lines.push("transfer-encoding: chunked");
  else if (hasBody) lines.push(`content-length: ${plan.requestBytes}`);
  writer.text(`${lines.join("\r\n")}\r\n\r\n`);
  if (!hasBody) return;
  const until = plan.garbage === "body" ? Math.floor(plan.requestBytes / 2) : undefined;
  const style = {
    chunked: plan.requestChunked,
    pieceBytes: plan.requestPieceBytes,
    pauseMs: plan.requestPauseMs,
    trailer: plan.requestTrailers ? `x-sum: ${id}\r\n` : "",
  };
  writeBody(writer, requestTag(id), plan.requestBytes, style, until);
  if (until !== undefined) writer.text("no chunk\r\n");
}

/** How a body is written. */
export interface BodyStyle {
  readonly chunked: boolean;
  readonly pieceBytes: number;
  readonly pauseMs: number;
  readonly trailer: string;
}

/** A body by HTTP/1, in pieces; only `[0, until)` of it and no end where `until` is given. */
export function writeBody(
  writer: Writer,
  tag: number,
  length: number,
  style: BodyStyle,
  until?: number,
): void {
  const stop = until ?? length;
  for (let at = 0; at < stop; at += style.pieceBytes) {
    const end = Math.min(stop, at + style.pieceBytes);
    if (style.chunked) writer.text(`${(end - at).toString(16)}\r\n`);
    writer.payload(tag, at, end);
    if (style.chunked) writer.text("\r\n");
    if (end < stop) writer.pause(style.pauseMs);
  }
  if (style.chunked && until === undefined) writer.text(`0\r\n${style.trailer}\r\n`);
}

function saysClose(head: HeadText, http10: boolean): boolean {
  const value = head.fields.get("connection") ?? "";
  return /\bclose\b/.test(value) || (http10 && !/\bkeep-alive\b/.test(value));
}

const CLIENT: ConnHandler<ClientHttp1> = {
  open(conn) {
    conn.data.opened();
  },
  secure() {},
  data(conn, chunk) {
    conn.data.received(chunk);
  },
  drain(conn) {
    conn.data.drained();
  },
  end(conn) {
    conn.data.peerEnded();
  },
  close(conn, reason) {
    conn.data.closed(reason);
  },
};
