// hot
/**
 * The writing side of a connection: it takes everything, and keeps what the socket did not take. Who
 * feeds it looks at `blocked` and pauses its source, so that no more is kept than one turn brings.
 *
 * While the context gathers (`context.gather`), small writes to one connection are put together: a
 * head and a body that come as two events of another connection then leave in one system call.
 */

import { assert } from "../base/assert.ts";
import type { ByteBuffer } from "../base/bytes.ts";
import { BytesQueue } from "../base/bytes-queue.ts";
import { GATHER_BYTES_MAX } from "../base/limits.ts";
import type { Conn } from "../host/net.ts";
import type { TransportMetrics } from "./environment.ts";
import type { Gatherer } from "./gatherer.ts";

/** Writes to one connection. */
export class Outlet {
  readonly conn: Conn<unknown>;
  readonly metrics: TransportMetrics;
  /** Some bytes wait for the socket's `drain`. */
  blocked = false;
  /** `finish` or `resetFlushed` was called; nothing may be written any more. */
  finishing = false;
  /** The socket has taken something since whoever asks has last set this to false. */
  hasSent = false;
  /** What was gathered; the gatherer's to give and to take. */
  gathered: ByteBuffer | null = null;
  readonly #gatherer: Gatherer;
  /** What the socket did not take. */
  readonly #queue = new BytesQueue();
  #resets = false;

  constructor(conn: Conn<unknown>, metrics: TransportMetrics, gatherer: Gatherer) {
    this.conn = conn;
    this.metrics = metrics;
    this.#gatherer = gatherer;
  }

  /**
   * Writes `bytes[start, end)`. The array must never change when `lasting`; else what is not written
   * at once is copied. On a closed connection the bytes vanish: its `close` is on the way.
   */
  write(bytes: Uint8Array, start: number, end: number, lasting: boolean): void {
    assert(!this.finishing, "nothing is written behind the end");
    if (start === end) return;
    if (this.#gatherer.active && end - start <= GATHER_BYTES_MAX && !this.blocked) {
      this.#gatherer.take(this, bytes, start, end);
      return;
    }
    if (this.gathered !== null) this.#gatherer.release(this);
    this.#write(bytes, start, end, lasting);
  }

  /** Writes what was gathered; the gatherer calls it. */
  writeGathered(buffer: ByteBuffer): void {
    this.#write(buffer.bytes, buffer.start, buffer.end, false);
  }

  /** To be called on `drain`: writes what is kept. `blocked` tells whether all is out. */
  flush(): void {
    if (!this.blocked) return;
    const queue = this.#queue;
    while (queue.length > 0) {
      const { bytes, start, end } = queue.peek();
      const took = this.#send(bytes, start, end);
      queue.consume(took);
      if (took < end - start) return;
    }
    this.blocked = false;
    if (this.finishing) this.#endNow();
  }

  /** Sends FIN behind all that was written. */
  finish(): void {
    if (this.finishing) return;
    if (this.gathered !== null) this.#gatherer.release(this);
    this.finishing = true;
    if (!this.blocked) this.conn.shutdown();
  }

  /** Resets the connection when all that was written is out. */
  resetFlushed(): void {
    if (this.gathered !== null) this.#gatherer.release(this);
    this.finishing = true;
    this.#resets = true;
    if (!this.blocked) this.conn.destroy(true);
  }

  #write(bytes: Uint8Array, start: number, end: number, lasting: boolean): void {
    if (this.blocked) {
      this.#queue.push(bytes, start, end, lasting);
      return;
    }
    const took = this.conn.write(bytes, start, end - start);
    if (took < 0) return;
    this.#count(took);
    if (took === end - start) return;
    this.blocked = true;
    this.#queue.push(bytes, start + took, end, lasting);
  }

  #endNow(): void {
    if (this.#resets) this.conn.destroy(true);
    else this.conn.shutdown();
  }

  /** How many bytes are off our hands; all of them when the connection is closed. */
  #send(bytes: Uint8Array, start: number, end: number): number {
    const took = this.conn.write(bytes, start, end - start);
    if (took < 0) return end - start;
    this.#count(took);
    return took;
  }

  #count(took: number): void {
    if (took > 0) this.hasSent = true;
    this.metrics.wrote(took);
  }
}
