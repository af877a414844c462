/** A simulated application that speaks HTTP/1, and does wrong what its requests' plans say. */

import type { Conn, ConnHandler, Listener, Net } from "../../lib/host/net.ts";
import type { SocketAddress } from "../../lib/mesh/address.ts";
import { type Ask, type Attempt, type Ledger, requestTag, responseTag } from "./ask.ts";
import { paddingOf, type Trouble, troubleOf } from "./ask.ts";
import { writeBody } from "./client-http1.ts";
import { type BodyRule, type HeadText, Http1Reader, type Http1Sink } from "./http1-reader.ts";
import { mismatch } from "./payload.ts";
import { ReadingHabits, type ReadingPlan } from "./reading.ts";
import { Violation, type World } from "./world.ts";
import { Writer } from "./writer.ts";

/** How long a server goes on reading behind its last response; less loses responses on slow ways. */
const LINGER_MS = 60_000;

/** Within which time a proxy that is slow to read notices that a connection was closed. */
export const NOTICED_MS = 10_000;

/** How an application behaves, whatever is asked. */
export interface ServerPlan {
  readonly name: string;
  readonly address: SocketAddress;
  /** Connections without a request are closed after this time; Infinity: never. */
  readonly idleMs: number;
  readonly reading: ReadingPlan;
  /** The client's identity that must be told in a header; null: none. */
  readonly clientId: (ask: Ask) => string | null;
}

/** What a server needs. */
export interface ServerSurroundings {
  readonly world: World;
  readonly net: Net;
  readonly ledger: Ledger;
}

/** One application. */
export class ServerHttp1 {
  readonly plan: ServerPlan;
  readonly around: ServerSurroundings;
  readonly connections: Set<ServerConnection> = new Set();
  readonly #listener: Listener;

  constructor(plan: ServerPlan, around: ServerSurroundings) {
    this.plan = plan;
    this.around = around;
    this.#listener = around.net.listen(plan.address, ACCEPT, () => this);
  }

  /** Takes no more connections, and ends those that are there. */
  stop(reset: boolean): void {
    this.#listener.stop();
    for (const connection of [...this.connections]) connection.stop(reset);
  }
}

/** One connection of it. */
export class ServerConnection implements Http1Sink {
  readonly server: ServerHttp1;
  readonly conn: Conn<unknown>;
  readonly #writer: Writer;
  readonly #reading: ReadingHabits;
  readonly #reader = new Http1Reader(this);
  #ask: Ask | null = null;
  #attempt: Attempt | null = null;
  #received = 0;
  #requestDone = true;
  #responseDone = true;
  #ended = false;
  #idle = 0;
  #isTunnel = false;
  #leaving = false;
  #closed = false;

  constructor(server: ServerHttp1, conn: Conn<unknown>) {
    this.server = server;
    this.conn = conn;
    const { world } = server.around;
    this.#writer = new Writer(world, conn);
    this.#reading = new ReadingHabits(server.plan.reading);
    server.connections.add(this);
  }

  received(chunk: Uint8Array): void {
    this.#reader.take(chunk);
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
    this.#ended = true;
    if (this.#isTunnel) {
      this.#tunnelEnded();
      return;
    }
    if (!this.#reader.isBetween || this.#responseDone) this.conn.destroy();
  }

  closed(): void {
    this.#closed = true;
    this.#writer.clear();
    this.server.connections.delete(this);
  }

  // What the reader finds.

  head(head: HeadText): BodyRule | null {
    const { world, ledger } = this.server.around;
    if (!this.#requestDone || !this.#responseDone) this.#violated("a second request before time");
    this.#idle++;
    const { ask, attempt } = ledger.seen(head.fields.get("x-id"), this.server.plan.name);
    this.#ask = ask;
    this.#attempt = attempt;
    this.#received = 0;
    this.#requestDone = false;
    this.#responseDone = false;
    this.#check(ask, head);
    const { plan } = ask;
    if (plan.early) world.schedule(plan.delayMs, () => this.#respond(ask, attempt));
    const coding = head.fields.get("transfer-encoding");
    if (plan.tunnel !== null) {
      world.schedule(plan.delayMs, () => this.#respond(ask, attempt));
      this.#requestDone = true;
      return "tunnel";
    }
    if (coding !== undefined) return "chunked";
    const length = head.fields.get("content-length");
    return length === undefined ? "none" : Number(length);
  }

  body(bytes: Uint8Array, start: number, end: number): void {
    const ask = this.#ask!;
    const wrong = mismatch(requestTag(ask.plan.id), this.#received, bytes, start, end);
    if (wrong >= 0) {
      this.#violated(`request ${ask.plan.id}: byte ${this.#received + wrong - start} is wrong`);
    }
    this.#received += end - start;
  }

  done(trailers: ReadonlyMap<string, string>): void {
    const ask = this.#ask!;
    const attempt = this.#attempt!;
    const { plan } = ask;
    if (this.#received !== plan.requestBytes) {
      this.#violated(`request ${plan.id}: ${this.#received} of ${plan.requestBytes} for all`);
    }
    if (plan.requestTrailers && trailers.get("x-sum") !== `${plan.id}`) {
      this.#violated(`request ${plan.id}: trailers ${JSON.stringify([...trailers])}`);
    }
    attempt.whole = true;
    this.#requestDone = true;
    const { world } = this.server.around;
    if (!plan.early) world.schedule(plan.delayMs, () => this.#respond(ask, attempt));
    else this.#rest();
  }

  bad(why: string): void {
    this.#violated(`a request that is no HTTP: ${why}`);
  }

  // Answering.

  #respond(ask: Ask, attempt: Attempt): void {
    if (this.#leaving || this.#closed) return;
    const { plan } = ask;
    const { world } = this.server.around;
    const writer = this.#writer;
    const trouble = troubleOf(ask, attempt);
    switch (trouble) {
      case "hang":
        world.fault(`${this.server.plan.name} never answers`, plan.id);
        return;
      case "reset":
      case "close":
        world.fault(`${this.server.plan.name}: ${trouble}`, plan.id);
        this.conn.destroy(trouble === "reset");
        return;
      case "malformed":
        world.fault(`${this.server.plan.name} answers nonsense`, plan.id);
        writer.text("HTTP/1.1 2OO What\r\n\r\n").pump();
        return;
      default:
    }
    const tag = responseTag(plan.id, attempt.number);
    if (plan.interim && !plan.http10) writer.text("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
    if (plan.expectContinue && plan.interim) writer.text("HTTP/1.1 100 Continue\r\n\r\n");
    writer.text(this.#head(ask, attempt, tag));
    if (plan.tunnel !== null) {
      this.#tunnel(ask, tag);
      return;
    }
    if (!isBodiless(ask)) this.#writeBody(ask, tag, trouble);
    writer.then(() => this.#answered(ask, attempt)).pump();
  }

  #writeBody(ask: Ask, tag: number, trouble: Trouble | null): void {
    const { plan } = ask;
    const { world } = this.server.around;
    const style = {
      chunked: plan.framing === "chunked",
      pieceBytes: plan.responsePieceBytes,
      pauseMs: plan.responsePauseMs,
      trailer: plan.responseTrailers ? `x-sum: ${plan.id}\r\n` : "",
    };
    if (trouble !== "reset within" && trouble !== "close within") {
      writeBody(this.#writer, tag, plan.responseBytes, style);
      return;
    }
    const until = Math.floor(plan.responseBytes * world.prng.float());
    writeBody(this.#writer, tag, plan.responseBytes, style, until);
    this.#writer.then(() => {
      world.fault(`${this.server.plan.name}: ${trouble} after ${until} bytes`, plan.id);
      // The response may be whole without them, and the connection in use again.
      world.fault(`${this.server.plan.name} closes without a word`, "idle", NOTICED_MS);
      this.#leaving = true;
      this.conn.destroy(trouble === "reset within");
    });
  }

  /** All of the response has been written. */
  #answered(ask: Ask, attempt: Attempt): void {
    const { plan } = ask;
    if (this.#leaving) return;
    attempt.completeAtMs = this.server.around.world.nowMs;
    this.#responseDone = true;
    const isLast = plan.framing === "close" && !isBodiless(ask);
    if (isLast) this.#leave();
    else if (plan.afterwards !== "keep") {
      if (plan.afterwards === "silent close") {
        this.server.around.world.fault(
          `${this.server.plan.name} closes without a word`,
          "idle",
          NOTICED_MS,
        );
      }
      this.#leave();
    } else if (this.#ended) this.conn.destroy();
    else this.#rest();
  }

  /** FIN, and what still comes is read for a while. */
  #leave(): void {
    const { world } = this.server.around;
    this.#leaving = true;
    this.conn.shutdown();
    world.schedule(LINGER_MS, () => this.conn.destroy());
  }

  /** Without another request for long, the connection is closed. */
  #rest(): void {
    const { idleMs } = this.server.plan;
    const { world } = this.server.around;
    if (idleMs === Infinity || !this.#requestDone || !this.#responseDone) return;
    const idle = ++this.#idle;
    world.schedule(idleMs, () => {
      if (idle !== this.#idle || this.#closed) return;
      world.fault(`${this.server.plan.name} closes an idle connection`, "idle", NOTICED_MS);
      this.conn.destroy();
    });
  }

  #head(ask: Ask, attempt: Attempt, tag: number): string {
    const { plan } = ask;
    const version = plan.http10 ? "1.0" : "1.1";
    if (plan.tunnel === "upgrade") {
      return `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: sim\r\n` +
        `x-id: ${plan.id}\r\nx-attempt: ${attempt.number}\r\nx-noise: ${tag * 7}\r\n\r\n`;
    }
    const lines = [`HTTP/${version} ${plan.status} Fine`, `x-id: ${plan.id}`];
    if (plan.paddingBytes > 0) lines.push(`x-pad: ${paddingOf(plan)}`);
    lines.push(`x-attempt: ${attempt.number}`, `x-noise: ${tag * 7}`, "l5d-sneaky: 1");
    if (plan.tunnel !== null) return `${lines.join("\r\n")}\r\n\r\n`;
    if (plan.afterwards === "announced close" || plan.framing === "close") {
      lines.push("connection: close");
    } else if (plan.http10) lines.push("connection: keep-alive");
    const hasFraming = plan.status !== 204 && plan.status !== 304;
    if (hasFraming && plan.framing === "chunked") lines.push("transfer-encoding: chunked");
    if (hasFraming && plan.framing === "length") {
      lines.push(`content-length: ${plan.responseBytes}`);
    }
    return `${lines.join("\r\n")}\r\n\r\n`;
  }

  #check(ask: Ask, head: HeadText): void {
    const { plan } = ask;
    const { fields, start } = head;
    const target = plan.method === "CONNECT" ? "web.example:80" : `/${plan.id}`;
    if (!start.startsWith(`${plan.method} ${target} HTTP/1.`)) {
      this.#violated(`request ${plan.id} became "${start}"`);
    }
    if (fields.get("x-noise") !== `${plan.id * 13}`) this.#violated("another x-noise");
    if ((fields.get("x-pad") ?? "") !== paddingOf(plan)) this.#violated("another x-pad");
    if (fields.get("host") !== "web.example") this.#violated(`host ${fields.get("host")}`);
    const wanted = this.server.plan.clientId(ask);
    if ((fields.get("l5d-client-id") ?? null) !== wanted) {
      this.#violated(`client id ${fields.get("l5d-client-id")}, wanted ${wanted}`);
    }
  }

  #violated(what: string): never {
    throw new Violation(`${this.server.plan.name}: ${what}`);
  }

  // Tunnels.

  #tunnel(ask: Ask, tag: number): void {
    this.#isTunnel = true;
    this.#writer.payload(tag, 0, ask.plan.responseBytes).then(() => {
      this.#attempt!.completeAtMs = this.server.around.world.nowMs;
      this.#responseDone = true;
    }).end().pump();
    if (this.#ended) this.#tunnelEnded();
  }

  #tunnelEnded(): void {
    const ask = this.#ask!;
    if (this.#received !== ask.plan.requestBytes && !ask.isLeft) {
      this.#violated(`tunnel ${ask.plan.id}: end after ${this.#received} bytes`);
    }
    this.#attempt!.whole = true;
  }
}

function isBodiless({ plan }: Ask): boolean {
  return plan.method === "HEAD" || plan.status === 204 || plan.status === 304;
}

const ACCEPT: ConnHandler<ServerHttp1 | ServerConnection> = {
  open(conn) {
    if (conn.data instanceof ServerConnection) return;
    conn.data = new ServerConnection(conn.data, conn as Conn<unknown>);
  },
  secure() {},
  data(conn, chunk) {
    (conn.data as ServerConnection).received(chunk);
  },
  drain(conn) {
    (conn.data as ServerConnection).drained();
  },
  end(conn) {
    (conn.data as ServerConnection).peerEnded();
  },
  close(conn) {
    if (conn.data instanceof ServerConnection) conn.data.closed();
  },
};
