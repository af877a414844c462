/** The socket of a simulated program that speaks HTTP/2: sends what its session writes. */

import type { Conn, ConnHandler } from "../../lib/host/net.ts";
import { FrameType, writeFrameHead, writeUint32 } from "../../lib/wire/http2/frame.ts";
import { writeWindowUpdate } from "../../lib/wire/http2/frame.ts";
import {
  type Http2Events,
  Http2Session,
  type Http2Stream,
  SessionSpares,
} from "../../lib/wire/http2/mod.ts";
import type { ReadingHabits } from "./reading.ts";
import type { World } from "./world.ts";

/** Ids of settings (RFC 9113 §6.5.2). */
export const Setting = { TABLE: 1, STREAMS: 3, WINDOW: 4 } as const;

/** One connection of a program; `O` is what the program keeps at a stream. */
export class Http2End<O> {
  readonly session: Http2Session<O>;
  conn: Conn<unknown> | null = null;
  #isBlocked = false;
  #isEnding = false;
  #isShut = false;

  constructor(isServer: boolean, events: Http2Events<O>) {
    this.session = new Http2Session<O>(isServer, events, new SessionSpares());
  }

  start(settings: readonly (readonly [id: number, value: number])[]): void {
    this.session.start();
    this.announce(settings);
  }

  /** Tells the peer other settings. */
  announce(settings: readonly (readonly [id: number, value: number])[]): void {
    const { out } = this.session.sender;
    if (settings.length > 0) {
      writeFrameHead(out, settings.length * 6, FrameType.SETTINGS, 0, 0);
      for (const [id, value] of settings) {
        out.append(Uint8Array.of(0, id), 0, 2);
        writeUint32(out, value);
      }
    }
    this.pump();
  }

  /** So many bytes of a stream have been used: the peer learns of it at once, however few. */
  consumed(stream: Http2Stream<O>, count: number): void {
    this.session.consumed(stream, count);
    const { unacknowledged } = stream;
    if (!stream.closed && !stream.remoteEnded && unacknowledged > 0) {
      writeWindowUpdate(this.session.sender.out, stream.id, unacknowledged);
      stream.receiveWindow += unacknowledged;
      stream.unacknowledged = 0;
    }
    this.pump();
  }

  /** The same now or later, as the habits are. */
  consumedBy(
    habits: ReadingHabits,
    world: World,
    stream: Http2Stream<O>,
    count: number,
  ): void {
    const delayMs = habits.restMs(world, count);
    if (delayMs === 0) this.consumed(stream, count);
    else world.schedule(delayMs, () => this.consumed(stream, count));
  }

  received(chunk: Uint8Array): void {
    this.session.receive(chunk, 0, chunk.length);
    this.pump();
  }

  drained(): void {
    this.#isBlocked = false;
    this.pump();
  }

  /** FIN behind what is written. */
  end(): void {
    this.#isEnding = true;
    this.pump();
  }

  /** Sends what is written. */
  pump(): void {
    const { conn } = this;
    const { sender } = this.session;
    if (this.#isShut) return;
    while (conn !== null && !this.#isBlocked && sender.out.length > 0) {
      const { out } = sender;
      const took = conn.write(out.bytes, out.start, out.length);
      if (took < 0) return;
      this.#isBlocked = took < out.length;
      out.consume(took);
      if (!this.#isBlocked) sender.sent();
    }
    if (!this.#isEnding || this.#isBlocked) return;
    this.#isShut = true;
    conn?.shutdown();
  }

  /** The connection is closed. */
  closed(): void {
    this.conn = null;
    const { session } = this;
    for (const stream of session.streams.values()) {
      session.events.reset(stream, CONNECTION_LOST, false);
      if (!stream.closed) session.close(stream);
    }
  }
}

/** In place of an error code: the stream went with its connection. */
export const CONNECTION_LOST = 0xffff;

/** Has the events of its connection. */
export interface Http2Program {
  opened(): void;
  received(chunk: Uint8Array): void;
  drained(): void;
  peerEnded(): void;
  closed(reason: string): void;
}

/** The handler of all such connections. */
export const HTTP2_HANDLER: ConnHandler<Http2Program> = {
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
