/**
 * Simulated programs that speak a protocol of their own: a greeting perhaps, eight bytes that name the
 * request, then bytes in both directions, each ended by FIN. A clean end means that all has come.
 */

import type { Conn, ConnHandler, Listener, TlsClientOptions } from "../../lib/host/net.ts";
import type { TlsServerOptions } from "../../lib/host/net.ts";
import { type Ask, type Attempt, requestTag, responseTag } from "./ask.ts";
import type { ClientPlan, Surroundings } from "./client-http1.ts";
import { mismatch } from "./payload.ts";
import { ReadingHabits } from "./reading.ts";
import type { ServerPlan, ServerSurroundings } from "./server-http1.ts";
import { Violation } from "./world.ts";
import { Writer } from "./writer.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const NO_SERVER = -2;
/** No byte of HTTP, nor of TLS. */
const MAGIC = [0, 0x53, 0x49, 0x4d];
const HEAD_BYTES = 8;
const GREETING = new TextEncoder().encode("+hello\r\n");

/** Whether server or client speaks first; both must know. */
export interface OpaqueStyle {
  readonly greets: boolean;
  /** TLS of the applications themselves, which the mesh passes on. */
  readonly tls: { readonly client: TlsClientOptions; readonly server: TlsServerOptions } | null;
}

/** A client with one connection per request, one after the other. */
export class ClientOpaque {
  readonly plan: ClientPlan;
  readonly style: OpaqueStyle;
  readonly around: Surroundings;
  readonly #todo: Ask[];
  #call: OpaqueCall | null = null;

  constructor(
    plan: ClientPlan,
    style: OpaqueStyle,
    asks: readonly Ask[],
    around: Surroundings,
  ) {
    this.plan = plan;
    this.style = style;
    this.around = around;
    this.#todo = [...asks];
    around.world.schedule(plan.startMs, () => this.next());
  }

  next(): void {
    const ask = this.#todo.shift();
    if (ask !== undefined) this.#call = new OpaqueCall(this, ask);
  }

  /** Leaves for good. */
  leave(): void {
    if (this.#call === null) return;
    this.#call.ask.isLeft = true;
    this.#call.conn.destroy();
  }
}

/** One request. */
class OpaqueCall {
  readonly ask: Ask;
  readonly conn: Conn<OpaqueCall>;
  readonly #client: ClientOpaque;
  readonly #writer: Writer;
  readonly #reading: ReadingHabits;
  /** Bytes of the greeting that have come. */
  #greeted = 0;
  #received = 0;
  #isShut = false;
  /** The server has said FIN. */
  #hasEnd = false;

  constructor(client: ClientOpaque, ask: Ask) {
    this.#client = client;
    this.ask = ask;
    const { around, plan, style } = client;
    const { world, ledger } = around;
    const options = { address: plan.target, timeoutMs: CONNECT_TIMEOUT_MS };
    const tls = style.tls === null ? {} : { tls: style.tls.client };
    this.conn = around.net.connect({ ...options, ...tls }, CALL, this);
    this.#writer = new Writer(world, this.conn as Conn<unknown>);
    this.#reading = new ReadingHabits(plan.reading);
    ledger.began(ask, plan.name);
  }

  /** FIN as soon as everything has been sent, or when everything has come. */
  get #finsFirst(): boolean {
    return !this.ask.plan.early || this.ask.plan.framing === "close";
  }

  get isPlain(): boolean {
    return this.#client.style.tls === null;
  }

  ready(): void {
    if (!this.#client.style.greets) this.#send();
    const { cancelMs } = this.ask.plan;
    const { world, ledger } = this.#client.around;
    if (cancelMs === null) return;
    world.schedule(cancelMs, () => {
      if (this.ask.outcome !== null) return;
      ledger.ended(this.ask, "cancelled", "the client gave up");
      this.ask.isLeft = true;
      this.conn.destroy(world.prng.chance(0.5));
    });
  }

  received(chunk: Uint8Array): void {
    const { world } = this.#client.around;
    let start = 0;
    if (this.#client.style.greets) {
      while (this.#greeted < GREETING.length && start < chunk.length) {
        if (chunk[start++] !== GREETING[this.#greeted++]) this.#violated("another greeting");
        if (this.#greeted === GREETING.length) this.#send();
      }
    }
    const { plan, attempts } = this.ask;
    if (chunk.length > start) {
      if (attempts.length !== 1) this.#violated(`bytes of ${attempts.length} servers`);
      const tag = responseTag(plan.id, 0);
      const wrong = mismatch(tag, this.#received, chunk, start, chunk.length);
      if (wrong >= 0) this.#violated(`byte ${this.#received + wrong - start} is wrong`);
      this.#received += chunk.length - start;
    }
    this.#shutIfDone();
    this.#reading.read(world, this.conn as Conn<unknown>, chunk.length);
  }

  drained(): void {
    this.#writer.drained();
  }

  peerEnded(): void {
    const { ledger } = this.#client.around;
    const { ask } = this;
    // No server has seen what is asked: then nothing has been sent either.
    const finAt = ask.attempts[0]?.finAt ?? NO_SERVER;
    const wasSent = finAt === NO_SERVER ? 0 : finAt;
    if (this.#received !== wasSent && !Number.isNaN(finAt)) {
      this.#violated(`a clean end after ${this.#received} bytes, but ${finAt} were sent`);
    }
    const isWhole = finAt >= 0 && this.#received === ask.plan.responseBytes;
    if (ask.outcome === null) {
      ledger.ended(ask, isWhole ? "answered" : "lost", `end after ${this.#received} bytes`);
    }
    this.#hasEnd = true;
    this.#shutIfDone();
  }

  closed(reason: string): void {
    const { world, ledger } = this.#client.around;
    const { ask } = this;
    this.#writer.clear();
    if (ask.outcome === null) {
      ledger.ended(ask, "lost", `closed (${reason}) after ${this.#received} bytes`);
    }
    world.schedule(ask.plan.thinkMs, () => this.#client.next());
  }

  #send(): void {
    const { id, requestBytes, requestPieceBytes, requestPauseMs } = this.ask.plan;
    const { world } = this.#client.around;
    const writer = this.#writer;
    writer.bytes(Uint8Array.of(...MAGIC, id >> 24, id >> 16, id >> 8, id));
    for (let at = 0; at < requestBytes; at += requestPieceBytes) {
      writer.payload(requestTag(id), at, Math.min(requestBytes, at + requestPieceBytes));
      writer.pause(requestPauseMs);
    }
    writer.then(() => {
      this.ask.sentAtMs = world.nowMs;
      this.#shutIfDone();
    }).pump();
  }

  /** FIN, as soon as the style of the request has it. */
  #shutIfDone(): void {
    const isAnswered = this.#hasEnd || this.#received === this.ask.plan.responseBytes;
    if (this.#isShut || this.ask.sentAtMs === Infinity || !(this.#finsFirst || isAnswered)) return;
    this.#isShut = true;
    this.conn.shutdown();
  }

  #violated(what: string): never {
    throw new Violation(`${this.#client.plan.name}, request ${this.ask.plan.id}: ${what}`);
  }
}

const CALL: ConnHandler<OpaqueCall> = {
  open(conn) {
    if (conn.data.isPlain) conn.data.ready();
  },
  secure(conn) {
    conn.data.ready();
  },
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

/** One application. */
export class ServerOpaque {
  readonly plan: ServerPlan;
  readonly style: OpaqueStyle;
  readonly around: ServerSurroundings;
  readonly connections: Set<ServedCall> = new Set();
  readonly #listener: Listener;

  constructor(plan: ServerPlan, style: OpaqueStyle, around: ServerSurroundings) {
    this.plan = plan;
    this.style = style;
    this.around = around;
    this.#listener = around.net.listen<ServerOpaque | ServedCall>(plan.address, SERVED, () => this);
  }

  /** Takes no more connections, and ends those that are there. */
  stop(reset: boolean): void {
    this.#listener.stop();
    for (const call of [...this.connections]) call.stop(reset);
  }
}

/** One connection of it. */
class ServedCall {
  readonly server: ServerOpaque;
  readonly conn: Conn<unknown>;
  readonly #writer: Writer;
  readonly #reading: ReadingHabits;
  readonly #head: number[] = [];
  #ask: Ask | null = null;
  #attempt: Attempt | null = null;
  #received = 0;
  #closed = false;

  constructor(server: ServerOpaque, conn: Conn<unknown>) {
    this.server = server;
    this.conn = conn;
    this.#writer = new Writer(server.around.world, conn);
    this.#reading = new ReadingHabits(server.plan.reading);
    server.connections.add(this);
  }

  ready(): void {
    if (this.server.style.greets) this.#writer.bytes(GREETING).pump();
  }

  received(chunk: Uint8Array): void {
    let start = 0;
    while (this.#head.length < HEAD_BYTES && start < chunk.length) this.#head.push(chunk[start++]!);
    if (this.#ask === null && this.#head.length === HEAD_BYTES) this.#begin();
    if (this.#ask !== null && chunk.length > start) {
      const { id, requestBytes } = this.#ask.plan;
      const wrong = mismatch(requestTag(id), this.#received, chunk, start, chunk.length);
      if (wrong >= 0) this.#violated(`byte ${this.#received + wrong - start} is wrong`);
      this.#received += chunk.length - start;
      if (this.#received > requestBytes) this.#violated("too many bytes");
    }
    this.#reading.read(this.server.around.world, this.conn, chunk.length);
  }

  stop(reset: boolean): void {
    if (this.#attempt !== null) this.#attempt.finAt = NaN;
    this.conn.destroy(reset);
  }

  drained(): void {
    this.#writer.drained();
  }

  peerEnded(): void {
    const ask = this.#ask;
    if (ask === null) {
      this.conn.destroy();
      return;
    }
    const isWhole = this.#received === ask.plan.requestBytes;
    if (!isWhole && !ask.isLeft) {
      this.#violated(`a clean end after ${this.#received} of ${ask.plan.requestBytes} bytes`);
    }
    this.#attempt!.whole = isWhole;
    if (!isWhole) this.conn.destroy(true);
    else if (!ask.plan.early) this.#respondLater();
  }

  closed(): void {
    this.#closed = true;
    this.#writer.clear();
    this.server.connections.delete(this);
  }

  #begin(): void {
    const view = new DataView(Uint8Array.from(this.#head).buffer);
    if (MAGIC.some((byte, at) => this.#head[at] !== byte)) this.#violated("another beginning");
    const { ledger } = this.server.around;
    const { ask, attempt } = ledger.seen(`${view.getUint32(4)}`, this.server.plan.name);
    this.#ask = ask;
    this.#attempt = attempt;
    if (ask.plan.early) this.#respondLater();
  }

  #respondLater(): void {
    this.server.around.world.schedule(this.#ask!.plan.delayMs, () => this.#respond());
  }

  #respond(): void {
    if (this.#closed) return;
    const ask = this.#ask!;
    const attempt = this.#attempt!;
    const { world } = this.server.around;
    const { name } = this.server.plan;
    const { id, trouble, responseBytes, responsePieceBytes, responsePauseMs } = ask.plan;
    if (trouble === "hang") {
      world.fault(`${name} never answers`, id);
      return;
    }
    const breaks = trouble !== null;
    const isAtOnce = trouble === "reset" || trouble === "close";
    const until = isAtOnce ? 0 : breaks ? world.prng.below(responseBytes + 1) : responseBytes;
    const writer = this.#writer;
    for (let at = 0; at < until; at += responsePieceBytes) {
      writer.payload(responseTag(id, 0), at, Math.min(until, at + responsePieceBytes));
      writer.pause(responsePauseMs);
    }
    writer.then(() => {
      attempt.finAt = until;
      if (breaks) {
        world.fault(`${name}: ${trouble} after ${until} bytes`, id);
        this.conn.destroy(trouble === "reset" || trouble === "reset within");
        return;
      }
      attempt.completeAtMs = world.nowMs;
      this.conn.shutdown();
    }).pump();
  }

  #violated(what: string): never {
    throw new Violation(`${this.server.plan.name}, request ${this.#ask?.plan.id}: ${what}`);
  }
}

const SERVED: ConnHandler<ServerOpaque | ServedCall> = {
  open(conn) {
    if (conn.data instanceof ServedCall) return;
    const { style } = conn.data;
    const call = new ServedCall(conn.data, conn as Conn<unknown>);
    conn.data = call;
    if (style.tls === null) call.ready();
    else conn.startTls(style.tls.server);
  },
  secure(conn) {
    (conn.data as ServedCall).ready();
  },
  data(conn, chunk) {
    (conn.data as ServedCall).received(chunk);
  },
  drain(conn) {
    (conn.data as ServedCall).drained();
  },
  end(conn) {
    (conn.data as ServedCall).peerEnded();
  },
  close(conn) {
    if (conn.data instanceof ServedCall) conn.data.closed();
  },
};
